"""The cursor's shape and place, by XFixes and QueryPointer."""

from __future__ import annotations

from typing import Any

from agent.platform.interfaces import NO_CURSOR, Cursor, CursorImage
from agent.platform.x11.connection import Desk
from protocol.limits import CURSOR_SIDE_LIMIT_PIXELS

REPLY_HEADER_BYTES = 32


class CursorReader:
    """Asks for the shape only after `shape_changed`; the place costs one round trip (0.06 ms)."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._xfixes: Any = desk.connection(desk.bindings.xfixes.key)
        self._image = NO_CURSOR
        self._is_stale = True

    def shape_changed(self) -> None:
        """The server said so (CursorNotify)."""
        self._is_stale = True

    def read(self) -> Cursor:
        """The hot spot's place on the root window, and the shape."""
        if self._is_stale:
            self._image = self._read_image()
            self._is_stale = False
        pointer = self._desk.connection.core.QueryPointer(self._desk.root).reply()
        return Cursor(pointer.root_x, pointer.root_y, self._image)

    def _read_image(self) -> CursorImage:
        reply = self._xfixes.GetCursorImage().reply()
        image = straight_rgba(reply.cursor_image.raw, reply.width, reply.height)
        sides = (reply.width, reply.height, reply.xhot, reply.yhot)
        width, height, hot_x, hot_y = (min(side, CURSOR_SIDE_LIMIT_PIXELS) for side in sides)
        if not any(image[3::4]):
            return NO_CURSOR
        rows = (image[y * reply.width * 4 : (y * reply.width + width) * 4] for y in range(height))
        return CursorImage(width, height, hot_x, hot_y, b"".join(rows))


def straight_rgba(premultiplied_argb: bytes, width: int, height: int) -> bytes:
    """RGBA, not premultiplied, of little-endian ARGB words as XFixes gives them.

    Source: fixesproto.txt, section 7 ("cursor images are ... with pre-multiplied alpha").
    """
    import numpy as np

    bgra = np.frombuffer(premultiplied_argb, np.uint8, width * height * 4).reshape(-1, 4).astype(np.uint16)
    alpha = bgra[:, 3:4]
    divisor = np.maximum(alpha, 1)
    colours = np.minimum((bgra[:, 2::-1] * 255 + divisor // 2) // divisor, 255)
    return np.hstack((colours * (alpha > 0), alpha)).astype(np.uint8).tobytes()
