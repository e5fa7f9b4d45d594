"""Pictures and cursor shapes as the page gets them: binary, little-endian.

    part     u8 kind=1 | u8 flags (1 last, 2 reset) | u16 rectangles | u32 sequence | f64 captured_at
             | u32 width | u32 height | per rectangle u16 x, y, width, height | compressed, as it came
    cursor   u8 kind=2 | u8 0 | u16 width | u16 height | u16 hot_x | u16 hot_y | u16 0 | RGBA
    copies   u8 kind=3 | u8 0 | u16 copies | u32 sequence | per copy u16 x, y, width, height, to_x, to_y
    proof    u8 kind=4 | u8 0 | u16 0 | u32 sequence | u16 y | u16 height | SHA-256 of the rows' BGR bytes
    video    u8 kind=5 | u8 flags (1 key) | u16 codec bytes | u32 sequence | u32 region
             | u16 x, y, width, height | codec | encoded, as it came
    ended    u8 kind=6 | u8 0 | u16 0 | u32 sequence | u32 region

`captured_at` is the time of day (ms since 1970) on this machine's clock, which the page shares; NaN while the
device's clock is not known.
"""

import struct
from dataclasses import dataclass
from math import nan

from protocol.errors import ErrorCode, PeerViolation
from protocol.messages.screen import (
    BandProof,
    CursorShape,
    PicturePart,
    ScrollCopies,
    VideoEnded,
    VideoFrame,
)

KIND_PART = 1
KIND_CURSOR = 2
KIND_COPIES = 3
KIND_PROOF = 4
KIND_VIDEO = 5
KIND_VIDEO_ENDED = 6
FLAG_LAST = 1
FLAG_RESET = 2
FLAG_KEY = 1
_PART = struct.Struct("<BBHIdII")
_RECTANGLE = struct.Struct("<HHHH")
_CURSOR = struct.Struct("<BBHHHHH")
_COPIES = struct.Struct("<BBHI")
_COPY = struct.Struct("<HHHHHH")
_PROOF = struct.Struct("<BBHIHH")
_VIDEO = struct.Struct("<BBHIIHHHH")
_VIDEO_ENDED = struct.Struct("<BBHII")
_BYTES_PER_PIXEL = 4


@dataclass(frozen=True, slots=True)
class Shown:
    """Our own number of a picture, which the page acknowledges; when it was captured, if that is known."""

    sequence: int
    captured_at_unix_ms: float | None


def pack_part(shown: Shown, part: PicturePart) -> bytes:
    """One checked picture part."""
    flags = (FLAG_LAST if part.is_last else 0) | (FLAG_RESET if part.is_reset else 0)
    head = _PART.pack(
        KIND_PART,
        flags,
        len(part.rectangles),
        shown.sequence,
        nan if shown.captured_at_unix_ms is None else shown.captured_at_unix_ms,
        part.width,
        part.height,
    )
    places = [_RECTANGLE.pack(one.x, one.y, one.width, one.height) for one in part.rectangles]
    return b"".join((head, *places, part.compressed))


def pack_copies(sequence: int, message: ScrollCopies) -> bytes:
    """Checked copies of the picture with this number."""
    head = _COPIES.pack(KIND_COPIES, 0, len(message.copies), sequence)
    copies = [_COPY.pack(one.x, one.y, one.width, one.height, one.to_x, one.to_y) for one in message.copies]
    return b"".join((head, *copies))


def pack_proof(sequence: int, proof: BandProof) -> bytes:
    """A checked proof of the picture with this number."""
    return _PROOF.pack(KIND_PROOF, 0, 0, sequence, proof.y, proof.height) + proof.sha256


def pack_video(sequence: int, frame: VideoFrame) -> bytes:
    """A checked frame of the picture with this number."""
    codec = frame.codec.encode("ascii")
    flags = FLAG_KEY if frame.is_key else 0
    one = frame.rectangle
    place = (one.x, one.y, one.width, one.height)
    return (
        _VIDEO.pack(KIND_VIDEO, flags, len(codec), sequence, frame.region_no, *place) + codec + frame.encoded
    )


def pack_video_ended(sequence: int, message: VideoEnded) -> bytes:
    """The checked end of a region, with the picture with this number."""
    return _VIDEO_ENDED.pack(KIND_VIDEO_ENDED, 0, 0, sequence, message.region_no)


def pack_cursor(shape: CursorShape) -> bytes:
    """A cursor shape.

    Raises:
        PeerViolation: the pixels do not match the size.
    """
    if len(shape.rgba) != shape.width * shape.height * _BYTES_PER_PIXEL:
        raise PeerViolation("cursor shape and size differ", code=ErrorCode.E_MESSAGE_FORMAT)
    head = _CURSOR.pack(KIND_CURSOR, 0, shape.width, shape.height, shape.hot_x, shape.hot_y, 0)
    return head + shape.rgba
