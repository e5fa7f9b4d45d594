"""Pictures and cursor shapes as the page gets them: binary, little-endian, RGBA ready for the canvas.

    picture part   u8 kind=1 | u8 flags (1 last, 2 reset) | u16 rectangles | u32 sequence | f64 captured_at
                   | u32 width | u32 height | per rectangle u16 x, y, width, height | RGBA of each, in order
    cursor shape   u8 kind=2 | u8 0 | u16 width | u16 height | u16 hot_x | u16 hot_y | u16 0 | RGBA

`captured_at` is the time of day (ms since 1970) on this machine's clock, which the page shares.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from protocol.errors import ErrorCode, PeerViolation
from protocol.messages.screen import CursorShape

KIND_PICTURE = 1
KIND_CURSOR = 2
FLAG_LAST = 1
FLAG_RESET = 2
_PICTURE = struct.Struct("<BBHIdII")
_RECTANGLE = struct.Struct("<HHHH")
_CURSOR = struct.Struct("<BBHHHHH")
_BYTES_PER_PIXEL = 4


class DecodedPixels(Protocol):
    """One rectangle of exact pixels; `rgba` has width * height * 4 bytes."""

    @property
    def x(self) -> int: ...
    @property
    def y(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def rgba(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class PartHead:
    """What a part says about its picture."""

    sequence: int
    captured_at_unix_ms: float
    width: int
    height: int
    is_last: bool
    is_reset: bool


def pack_part(head: PartHead, rectangles: Sequence[DecodedPixels]) -> bytes:
    """One picture part for the page.

    Raises:
        PeerViolation: a rectangle lies outside of the picture.
    """
    flags = (FLAG_LAST if head.is_last else 0) | (FLAG_RESET if head.is_reset else 0)
    pieces = [
        _PICTURE.pack(
            KIND_PICTURE,
            flags,
            len(rectangles),
            head.sequence,
            head.captured_at_unix_ms,
            head.width,
            head.height,
        )
    ]
    for part in rectangles:
        if part.x + part.width > head.width or part.y + part.height > head.height:
            raise PeerViolation("rectangle outside of its picture", code=ErrorCode.E_MESSAGE_FORMAT)
        pieces.append(_RECTANGLE.pack(part.x, part.y, part.width, part.height))
    pieces += [part.rgba for part in rectangles]
    return b"".join(pieces)


def pack_cursor(shape: CursorShape) -> bytes:
    """A cursor shape for the page.

    Raises:
        PeerViolation: the pixels do not match the size.
    """
    if len(shape.rgba) != shape.width * shape.height * _BYTES_PER_PIXEL:
        raise PeerViolation("cursor shape and size differ", code=ErrorCode.E_MESSAGE_FORMAT)
    head = _CURSOR.pack(KIND_CURSOR, 0, shape.width, shape.height, shape.hot_x, shape.hot_y, 0)
    return head + shape.rgba
