"""What stands for TLS in most schedules, and refuses as TLS does, at a small part of the cost.

A handshake of three messages: both ends give a random share and their chain, and prove over all that was said
that they hold the chain's key. Signatures and the key agreement are played (a proof is a keyed hash under a
secret that only the holder of that key can ask for; the keys come from both shares and a secret that
no network knows); records are real ChaCha20-Poly1305 with a counter of each direction. So: anything changed,
missing, repeated, out of order or of another connection is E_HANDSHAKE and the end of the tunnel, a cut is a
cut, the technician's end is done before the device has judged its chain, and nothing comes out that was not
put in.
"""

import hashlib
import hmac
import struct
from collections.abc import Callable

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from protocol.errors import ErrorCode, PeerViolation, WrongState
from protocol.identity import Identity
from protocol.limits import HANDSHAKE_LIMIT_BYTES
from protocol.tunnel import HandshakeDone, PeerClosed, Plaintext, TunnelEnd, TunnelEvent

_HEADER = struct.Struct(">BI")
_NONCE = struct.Struct(">IQ")
_HELLO, _DATA, _CLOSE = 1, 2, 3
_RECORD_BYTES = 16_384
_SEALED_LIMIT_BYTES = _RECORD_BYTES + 16
_UNKNOWN_TO_NETWORKS = b"what a key agreement gives both ends and nobody else"
GROUP_NAME = "played"


class _Hello(msgspec.Struct, frozen=True, array_like=True):
    share: bytes
    chain: list[bytes]
    proof: bytes


def _proof(leaf: bytes, said: bytes) -> bytes:
    return hmac.digest(hashlib.sha256(b"the key of" + leaf).digest(), said, "sha256")


class PlayedTunnel:
    """The shape of `protocol.tunnel.Tunnel`; `random_bytes` gives the shares, so that a seed repeats them."""

    def __init__(self, end: TunnelEnd, identity: Identity, random_bytes: Callable[[int], bytes]) -> None:
        self._is_device = end is TunnelEnd.DEVICE
        self._chain = list(identity.chain)
        self._share = random_bytes(16)
        self._out: list[bytes] = []
        self._pending = bytearray()
        self._said = b""
        self._heard_bytes = 0
        self._state = "new"
        self._peer_chain: list[bytes] = []
        self._keys: tuple[ChaCha20Poly1305, ChaCha20Poly1305] | None = None
        self._sent = self._got = 0

    def start(self) -> None:
        """See `Tunnel.start`."""
        if self._state != "new":
            raise WrongState("started before")
        self._state = "handshake"
        if not self._is_device:
            self._say_hello()

    def feed(self, received: bytes) -> list[TunnelEvent]:
        """See `Tunnel.feed`."""
        if self._state not in ("handshake", "open"):
            raise WrongState(f"bytes while {self._state}")
        self._pending += received
        self._heard_bytes += len(received)
        events: list[TunnelEvent] = []
        while len(self._pending) >= _HEADER.size and self._state in ("handshake", "open"):
            kind, length = _HEADER.unpack_from(self._pending)
            limit = HANDSHAKE_LIMIT_BYTES if self._state == "handshake" else _SEALED_LIMIT_BYTES
            if kind not in (_HELLO, _DATA, _CLOSE) or length > limit:
                raise self._failed("no record")
            end = _HEADER.size + length
            if len(self._pending) < end:
                break
            content = bytes(self._pending[_HEADER.size : end])
            del self._pending[:end]
            events += self._take(kind, content)
        return events

    def send(self, plaintext: bytes) -> None:
        """See `Tunnel.send`."""
        if self._state != "open":
            raise WrongState(f"plaintext while {self._state}")
        for start in range(0, len(plaintext), _RECORD_BYTES):
            self._seal(_DATA, plaintext[start : start + _RECORD_BYTES])

    def outgoing(self) -> list[bytes]:
        """See `Tunnel.outgoing`."""
        out, self._out = self._out, []
        return out

    def close(self) -> None:
        """See `Tunnel.close`."""
        if self._state == "open":
            self._seal(_CLOSE, b"")
        if self._state != "failed":
            self._state = "closed"

    def _take(self, kind: int, content: bytes) -> list[TunnelEvent]:
        if self._state == "handshake":
            if kind != _HELLO:
                raise self._failed("a record before the handshake")
            return self._hear_hello(content)
        if kind == _HELLO:
            raise self._failed("a second handshake")
        assert self._keys is not None
        try:
            opened = self._keys[0].decrypt(_NONCE.pack(0, self._got), content, bytes([kind]))
        except InvalidTag:
            raise self._failed("a record that the peer did not send now") from None
        self._got += 1
        if kind == _DATA:
            return [Plaintext(opened)] if opened else []
        self._state = "closed"
        return [PeerClosed()]

    def _hear_hello(self, content: bytes) -> list[TunnelEvent]:
        try:
            hello = msgspec.msgpack.decode(content, type=_Hello)
        except msgspec.DecodeError:
            raise self._failed("no hello") from None
        is_expected_bare = self._is_device and not self._said
        if not (hello.chain and hello.share) and not is_expected_bare:
            raise self._failed("no chain")
        is_first = self._is_device and not self._said
        if not is_first:
            said = self._said + msgspec.msgpack.encode([hello.share, hello.chain])
            if not hmac.compare_digest(hello.proof, _proof(hello.chain[0], said)):
                raise self._failed("who says this does not hold the key")
            self._peer_chain = hello.chain
        self._said += content
        if is_first:
            self._say_hello()
            return []
        if not self._is_device:
            self._say_hello()
        return [self._done()]

    def _say_hello(self) -> None:
        is_first = not self._is_device and not self._said
        chain = [] if is_first else self._chain
        proof = b""
        if not is_first:
            proof = _proof(chain[0], self._said + msgspec.msgpack.encode([self._share, chain]))
        content = msgspec.msgpack.encode(_Hello(self._share, chain, proof))
        self._said += content
        self._out.append(_HEADER.pack(_HELLO, len(content)) + content)

    def _done(self) -> HandshakeDone:
        secret = hmac.digest(_UNKNOWN_TO_NETWORKS, self._said, "sha256")
        device, technician = (
            ChaCha20Poly1305(hmac.digest(secret, word, "sha256")) for word in (b"device", b"technician")
        )
        self._keys = (technician, device) if self._is_device else (device, technician)
        self._state = "open"
        return HandshakeDone(tuple(self._peer_chain), GROUP_NAME, hmac.digest(secret, b"exporter", "sha256"))

    def _seal(self, kind: int, content: bytes) -> None:
        assert self._keys is not None
        sealed = self._keys[1].encrypt(_NONCE.pack(0, self._sent), content, bytes([kind]))
        self._sent += 1
        self._out.append(_HEADER.pack(kind, len(sealed)) + sealed)

    def _failed(self, detail: str) -> PeerViolation:
        self._state = "failed"
        return PeerViolation(detail, code=ErrorCode.E_HANDSHAKE)
