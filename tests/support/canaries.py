"""Random strings that must stay secret, and whether somebody who heard bytes could have read one.

A search that finds nothing shows nothing by itself: every test that uses it runs the same search over the
plaintext of an end, where it has to find every one.
"""

import base64
import secrets
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import zstandard

CANARY_BYTES = 32
_INFLATED_LIMIT_BYTES = 1 << 22
_ZLIB_HEADS = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_GZIP_HEAD, _ZSTD_HEAD = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Canary:
    """A secret and where it was put; `secret` is text of letters and digits, or pixels."""

    place: str
    secret: bytes

    def forms(self) -> set[bytes]:
        """Every way it could have been written, and a part of each that is long enough to be no accident."""
        return set(self._forms())

    def _forms(self) -> Iterator[bytes]:
        yield self.secret
        yield self.secret[::-1]
        yield self.secret.hex().encode()
        yield self.secret.hex().upper().encode()
        for skipped in range(3):
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                # without the ends, which depend on what stands beside it
                yield encode(self.secret[skipped:])[: 4 * ((CANARY_BYTES - 3) // 3)]
        text = self.secret.decode("latin-1")
        yield text.encode("utf-16-le")
        yield text.encode("utf-16-be")
        yield text.encode()


def text_canary(place: str) -> Canary:
    """A fresh secret that can be typed, printed and named."""
    return Canary(place, secrets.token_hex(CANARY_BYTES // 2).encode())


def pixel_canary(place: str, pixels: bytes) -> Canary:
    """Pixels as they are in one form on their way; random ones."""
    return Canary(place, pixels[:CANARY_BYTES])


class Overheard:
    """Every byte that somebody heard, each stream in order and whole."""

    def __init__(self) -> None:
        self._streams: dict[str, bytearray] = defaultdict(bytearray)

    def add(self, stream: str, heard: bytes) -> None:
        """These bytes came next in this stream."""
        self._streams[stream] += heard

    @property
    def size(self) -> int:
        """How much there is to look through."""
        return sum(map(len, self._streams.values()))

    def spoken(self) -> bytes:
        """All of it, one stream after the other."""
        return b"".join(map(bytes, self._streams.values()))

    def found(self, *canaries: Canary) -> set[str]:
        """The places of the canaries that are in it, written or compressed in any way we know."""
        texts = [text for stream in self._streams.values() for text in _readings(bytes(stream))]
        return {
            canary.place
            for canary in canaries
            for form in canary.forms()
            if any(form in text for text in texts)
        }


def _readings(heard: bytes) -> Iterator[bytes]:
    yield heard
    for head in (*_ZLIB_HEADS, _GZIP_HEAD):
        for at in _places(heard, head):
            yield _inflated(heard[at:], 47)  # 32 + 15: the header says whether it is zlib or gzip
    for at in _places(heard, _ZSTD_HEAD):
        yield _unpacked(heard[at:])


def _places(heard: bytes, head: bytes) -> Iterator[int]:
    at = heard.find(head)
    while at >= 0:
        yield at
        at = heard.find(head, at + 1)


def _inflated(packed: bytes, window_bits: int) -> bytes:
    try:
        return zlib.decompressobj(window_bits).decompress(packed, _INFLATED_LIMIT_BYTES)
    except zlib.error:
        return b""


def _unpacked(packed: bytes) -> bytes:
    try:
        return zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj().decompress(packed)
    except zstandard.ZstdError:
        return b""
