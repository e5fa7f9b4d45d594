"""The reference decoder: from picture parts to pixels, by the zstandard package (the page has its own)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, cast

import numpy as np
import zstandard
from numpy.typing import NDArray

from protocol.errors import PeerViolation
from protocol.limits import SCREEN_MESSAGE_LIMIT_BYTES, ZSTD_WINDOW_LOG
from protocol.messages.screen import PicturePart

OPAQUE = 0xFF000000


@dataclass(frozen=True, slots=True)
class DecodedRectangle:
    """Pixels of the shown display: `rgba` row by row, alpha always 255, as a canvas takes them."""

    x: int
    y: int
    width: int
    height: int
    rgba: bytes


class _Starved(Exception):
    """The decompressor asks for more than the peer has sent."""


class _Received:
    """What came and is not decompressed yet. Never says "end of file": more parts may come."""

    def __init__(self) -> None:
        self._rest = memoryview(b"")

    def add(self, compressed: bytes) -> None:
        self._rest = memoryview(compressed)

    def read(self, size: int = -1) -> memoryview:
        if not self._rest:
            raise _Starved
        chunk, self._rest = self._rest[:size], self._rest[size:]
        return chunk


class _BoundedStream:
    """One zstd stream that is never inflated beyond what was announced. Holds at most its 16 MiB window."""

    def __init__(self) -> None:
        self._received = _Received()
        decompressor = zstandard.ZstdDecompressor(max_window_size=1 << ZSTD_WINDOW_LOG)
        self._reader = decompressor.stream_reader(
            cast("IO[bytes]", self._received), read_size=SCREEN_MESSAGE_LIMIT_BYTES
        )

    def decode(self, compressed: bytes, size_bytes: int) -> bytes:
        """Exactly `size_bytes`. Raises PeerViolation if there are fewer or more, or they are damaged.

        Always asks for one byte more than is left, so that zstd can keep nothing back; `read1` loses
        nothing when it finds the source empty, which `read` would.
        """
        self._received.add(compressed)
        chunks: list[bytes] = []
        missing_bytes = size_bytes
        try:
            while missing_bytes >= 0:
                chunk = self._reader.read1(missing_bytes + 1)
                if not chunk:
                    raise PeerViolation("the picture stream ended")
                chunks.append(chunk)
                missing_bytes -= len(chunk)
        except _Starved:
            if missing_bytes:
                raise PeerViolation(f"{missing_bytes} bytes of pixels are missing") from None
        except zstandard.ZstdError as exc:
            raise PeerViolation(f"damaged picture stream: {exc}") from None
        if missing_bytes < 0:
            raise PeerViolation("a part holds more than its rectangles")
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class PictureDecoder:
    """Feed it checked parts in their order. After a PeerViolation it must not be used again."""

    def __init__(self) -> None:
        self._stream: _BoundedStream | None = None

    def feed(self, part: PicturePart) -> list[DecodedRectangle]:
        """The pixels of this part.

        Raises:
            PeerViolation: the stream is not what PROTOCOL.md says.
        """
        if part.is_reset:
            self._stream = _BoundedStream()
        if self._stream is None:
            raise PeerViolation("the first picture is not a reset")
        if not part.rectangles:
            return []
        size_bytes = sum(one.width * one.height * 3 for one in part.rectangles)
        raw = np.frombuffer(self._stream.decode(part.compressed, size_bytes), np.uint8)
        decoded: list[DecodedRectangle] = []
        start = 0
        for one in part.rectangles:
            end = start + one.width * one.height * 3
            rgba = bgr_to_rgba(bgr_of(raw[start:end].reshape(one.height, one.width, 3)))
            decoded.append(DecodedRectangle(one.x, one.y, one.width, one.height, rgba))
            start = end
        return decoded


def bgr_of(residues: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows x columns x (B-G, G, R-G, each less its left neighbour's) to bytes B, G, R."""
    sums = np.cumsum(residues, axis=1, dtype=np.uint8)
    sums[:, :, 0] += sums[:, :, 1]
    sums[:, :, 2] += sums[:, :, 1]
    return sums.reshape(-1)


def residues_of(bgr: NDArray[np.uint8]) -> bytes:
    """The other way: rows x columns x B, G, R, as PROTOCOL.md describes it and not as the agent does it."""
    wide = bgr.astype(np.int16)
    wide[:, :, 0] -= wide[:, :, 1]
    wide[:, :, 2] -= wide[:, :, 1]
    return np.diff(wide, axis=1, prepend=np.int16(0)).astype(np.uint8).tobytes()


def bgr_to_rgba(bgr: NDArray[np.uint8]) -> bytes:
    """Four bytes for three, opaque (0.8 ms a megapixel).

    Read as overlapping little-endian words B, G, R, next B; swapped to next B, R, G, B; shifted down.
    """
    padded = np.empty(bgr.size + 1, np.uint8)
    padded[:-1] = bgr
    words: NDArray[np.uint32] = np.ndarray((bgr.size // 3,), np.dtype("<u4"), padded.data, 0, (3,)).byteswap()
    words >>= 8
    words |= OPAQUE
    return words.tobytes()
