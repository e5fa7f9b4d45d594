"""Mutual TLS 1.3 between the two ends of a session, in memory (sans-I/O).

The technician's end is the TLS client, the device's end the server. Both hold the organisation's root as
the only anchor. An end whose identity is a visitor's has no anchor: it takes exactly one certificate,
signed by itself, and a support code has to prove afterwards whose it is. No tickets, no resumption, no
early data. What travels is opaque bytes in order; how they are cut does not matter. A TLS 1.3 client
finishes before the server has judged its certificate (RFC 8446, 4.4.4): the technician knows it was
accepted only when the device's `session.ready` comes.

OpenSSL checks the chain here; `protocol.certificates.verify_chain` (or `verify_visitor`) has to be run by
the caller on `HandshakeDone.peer_chain` before anything else is done with the peer.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto

from protocol.errors import CertificateRefused, ErrorCode, PeerViolation, Refused, SupportError, WrongState
from protocol.identity import Identity
from protocol.limits import (
    CHAIN_LIMIT_CERTIFICATES,
    HANDSHAKE_LIMIT_BYTES,
    SESSION_MESSAGE_LIMIT_BYTES,
    TUNNEL_RECORDS_LIMIT,
)
from protocol.version import TUNNEL_ALPN

EXPORTER_LABEL: Final = b"EXPORTER-alongside-v1"
EXPORTER_BYTES: Final = 32
_READ_BYTES: Final = 64 << 10
_RECORD_BYTES: Final = 16 << 10  # of plaintext at most, RFC 8446 section 5.1

# every other verdict of OpenSSL is E_CERT_CHAIN
_VERIFY_CODES: Final = {
    SSL.X509VerificationCodes.ERR_CERT_NOT_YET_VALID: ErrorCode.E_CERT_NOT_YET,
    SSL.X509VerificationCodes.ERR_CERT_HAS_EXPIRED: ErrorCode.E_CERT_EXPIRED,
    SSL.X509VerificationCodes.ERR_INVALID_PURPOSE: ErrorCode.E_CERT_ROLE,
}
_SIGNED_BY_ITSELF: Final = SSL.X509VerificationCodes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT


class TunnelEnd(Enum):
    """Which end we are: the device is the TLS server, the technician the client."""

    DEVICE = auto()
    TECHNICIAN = auto()


@dataclass(frozen=True, slots=True)
class HandshakeDone:
    """The tunnel stands. `peer_chain` is DER, leaf first, without the root; `exporter` equals the peer's."""

    peer_chain: tuple[bytes, ...]
    group_name: str
    exporter: bytes


@dataclass(frozen=True, slots=True)
class Plaintext:
    """Bytes of the peer, in order; where they were cut means nothing."""

    content: bytes


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """The peer ended the tunnel in order (close_notify). Without it the end was a cut."""


TunnelEvent: TypeAlias = HandshakeDone | Plaintext | PeerClosed


class _State(Enum):
    NEW = auto()
    HANDSHAKE = auto()
    OPEN = auto()
    CLOSED = auto()
    FAILED = auto()


class Tunnel:
    """One end. Order of calls: `start`, then `feed` what came and send what `outgoing` returns.

    Look at `outgoing` after every call, `feed` too. After an exception `outgoing` may hold an alert for
    the peer; nothing else can be done with the tunnel.
    """

    def __init__(self, end: TunnelEnd, identity: Identity, roots: Sequence[bytes] = ()) -> None:
        """`roots` (DER) are the only anchors; without any it is the identity's own."""
        self._end = end
        self._state = _State.NEW
        self._handshake_bytes = 0
        self._sealed_records = 0
        self._has_heard = False
        self._refusal: SupportError | None = None
        self._failure: SupportError | None = None
        self._is_visitor = identity.is_visitor
        self._roots = tuple(roots) or (identity.root_der,)
        self._connection = SSL.Connection(self._context(identity), None)

    def start(self) -> None:
        """Begin the handshake; the technician's end has something in `outgoing` then."""
        if self._state is not _State.NEW:
            raise WrongState("the tunnel was started before")
        self._state = _State.HANDSHAKE
        if self._end is TunnelEnd.DEVICE:
            self._connection.set_accept_state()
        else:
            self._connection.set_connect_state()
        self._shake_hands()

    def feed(self, received: bytes) -> list[TunnelEvent]:
        """What these bytes of the peer brought, oldest first.

        Raises:
            PeerViolation: E_HANDSHAKE; not TLS 1.3, no certificate, wrong ALPN, or the peer refused ours.
                E_SEQ; a record was changed, repeated, left out or out of order.
            CertificateRefused: E_CERT_CHAIN, E_CERT_EXPIRED, E_CERT_NOT_YET or E_CERT_ROLE.
            WrongState: before `start`, or after the tunnel ended or failed.
        """
        if self._state not in (_State.HANDSHAKE, _State.OPEN):
            raise WrongState(f"bytes while {self._state.name}")
        if self._state is _State.HANDSHAKE:
            self._handshake_bytes += len(received)
            if self._handshake_bytes > HANDSHAKE_LIMIT_BYTES + SESSION_MESSAGE_LIMIT_BYTES:
                raise self._failed(f"{self._handshake_bytes} bytes and no handshake")
        if not received:
            return []
        self._write(received)
        events: list[TunnelEvent] = []
        if self._state is _State.HANDSHAKE:
            done = self._shake_hands()
            if done is None:
                if self._handshake_bytes > HANDSHAKE_LIMIT_BYTES:
                    raise self._failed(f"{self._handshake_bytes} bytes and no handshake")
                return events
            events.append(done)
        events.extend(self._read())
        return events

    def send(self, plaintext: bytes) -> None:
        """Seal these bytes; `outgoing` has them then.

        Raises:
            WrongState: the handshake is not done, or the tunnel ended.
            PeerViolation, CertificateRefused: it failed; the same as `feed` raised.
            Refused: E_TUNNEL_SPENT, its keys have sealed as much as they may (RFC 8446, section 5.5).
        """
        if self._failure is not None:  # who sends while the reader still says goodbye hears the real reason
            raise self._failure
        if self._state is not _State.OPEN:
            raise WrongState(f"plaintext while {self._state.name}")
        self._sealed_records += -(-len(plaintext) // _RECORD_BYTES)
        if self._sealed_records > TUNNEL_RECORDS_LIMIT:
            raise Refused(f"{TUNNEL_RECORDS_LIMIT} records are sealed", code=ErrorCode.E_TUNNEL_SPENT)
        rest = memoryview(plaintext)
        try:
            while rest:
                rest = rest[self._connection.send(rest) :]
        except SSL.Error as exc:
            raise self._failed(repr(exc)) from None

    def outgoing(self) -> list[bytes]:
        """Sealed bytes for the peer, to be sent in this order; each call hands them out once."""
        pieces = []
        while True:
            try:
                pieces.append(self._connection.bio_read(SESSION_MESSAGE_LIMIT_BYTES))
            except SSL.WantReadError:
                return pieces

    def close(self) -> None:
        """Queue close_notify. May be called twice, and in any state."""
        if self._state is _State.OPEN:
            with suppress(SSL.Error):
                self._connection.shutdown()
        if self._state is not _State.FAILED:
            self._state = _State.CLOSED

    def _context(self, identity: Identity) -> SSL.Context:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_max_proto_version(SSL.TLS1_3_VERSION)
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._on_verify)
        context.set_verify_depth(CHAIN_LIMIT_CERTIFICATES)
        context.use_privatekey(identity.key)
        leaf, *authorities = [x509.load_der_x509_certificate(der) for der in identity.chain]
        context.use_certificate(leaf)
        for authority in authorities:
            context.add_extra_chain_cert(authority)
        if not identity.is_visitor:
            store = context.get_cert_store()
            assert store is not None
            for root_der in self._roots:
                store.add_cert(crypto.X509.from_cryptography(x509.load_der_x509_certificate(root_der)))
            store.set_flags(crypto.X509StoreFlags.X509_STRICT)
        if self._end is TunnelEnd.DEVICE:
            context.set_alpn_select_callback(_select_alpn)
        else:
            context.set_alpn_protos([TUNNEL_ALPN])
        return context

    def _on_verify(
        self, connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, is_good: int
    ) -> bool:
        if self._is_visitor and depth == 0 and error == _SIGNED_BY_ITSELF:
            return True
        if not is_good and self._refusal is None:
            code = _VERIFY_CODES.get(error, ErrorCode.E_CERT_CHAIN)
            self._refusal = CertificateRefused(f"X509_V_ERR {error} at depth {depth}", code=code)
        return bool(is_good)

    def _write(self, received: bytes) -> None:
        rest = memoryview(received)
        while rest:
            rest = rest[self._connection.bio_write(rest) :]

    def _shake_hands(self) -> HandshakeDone | None:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return None
        except (SSL.Error, PeerViolation) as exc:
            raise self._failed(repr(exc)) from None
        if self._connection.get_alpn_proto_negotiated() != TUNNEL_ALPN:
            raise self._failed("the peer does not speak our protocol")
        self._state = _State.OPEN
        return HandshakeDone(
            peer_chain=self._peer_chain(),
            group_name=self._connection.get_group_name() or "",
            exporter=self._connection.export_keying_material(EXPORTER_LABEL, EXPORTER_BYTES),
        )

    def _peer_chain(self) -> tuple[bytes, ...]:
        verified = self._connection.get_verified_chain(as_cryptography=True)
        if not verified:
            raise self._failed("the peer sent no certificate")
        without_root = verified if self._is_visitor else verified[:-1]
        return tuple(certificate.public_bytes(Encoding.DER) for certificate in without_root)

    def _read(self) -> Iterator[TunnelEvent]:
        while True:
            try:
                content = self._connection.recv(_READ_BYTES)
                self._has_heard = True
                yield Plaintext(content)
            except SSL.WantReadError:
                return
            except SSL.ZeroReturnError:
                self._state = _State.CLOSED
                yield PeerClosed()
                return
            except SSL.Error as exc:
                raise self._failed(repr(exc)) from None

    def _failed(self, detail: str) -> SupportError:
        # a client's tunnel stands before the server has judged it: before its first word an alert refuses
        is_cut_into = self._state is _State.OPEN and (self._has_heard or "alert" not in detail)
        self._state = _State.FAILED
        code = ErrorCode.E_SEQ if is_cut_into else ErrorCode.E_HANDSHAKE
        self._failure = self._refusal or PeerViolation(detail[:300], code=code)
        return self._failure


def _select_alpn(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    # raising sends the fatal alert; a client that offers nothing at all is caught after the handshake
    if TUNNEL_ALPN in offered:
        return TUNNEL_ALPN
    raise PeerViolation("wrong ALPN", code=ErrorCode.E_HANDSHAKE)
