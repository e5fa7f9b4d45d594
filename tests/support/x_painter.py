"""Draws on a real X display as any program would: its own connection, its own override-redirect window."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


def ten_bit(bgrx: np.ndarray) -> np.ndarray:
    """The words of depth 30 for 8-bit pixels: black stays black, and white white."""
    blue, green, red = (bgrx[..., channel].astype(np.uint32) for channel in range(3))
    blue, green, red = ((one << 2) | (one >> 6) for one in (blue, green, red))
    words = (red << 20) | (green << 10) | blue
    return words.astype("<u4")[..., np.newaxis].view(np.uint8)


class XPainter:
    """One client with one window that covers the whole root window."""

    def __init__(self, display: str) -> None:
        self._xcffib = importlib.import_module("xcffib")
        self._xproto = importlib.import_module("xcffib.xproto")
        self._randr = importlib.import_module("xcffib.randr")
        self._connection: Any = self._xcffib.connect(display=display)
        self._core = self._connection.core
        self._screen = self._connection.get_setup().roots[0]
        self.width, self.height = self._screen.width_in_pixels, self._screen.height_in_pixels
        self._context = self._connection.generate_id()
        self._window = self._open_window()

    def put(self, x: int, y: int, bgrx: np.ndarray) -> None:
        """Show these pixels; a server with ten bits for each colour gets the nearest ones that it has."""
        self.put_words(x, y, ten_bit(bgrx) if self._screen.root_depth == 30 else bgrx)

    def put_words(self, x: int, y: int, bgrx: np.ndarray) -> None:
        """Show these 32-bit words of the server's own, a band at a time because a request is bounded."""
        height, width, _ = bgrx.shape
        rows = max(1, 200_000 // (width * 4))
        for top in range(0, height, rows):
            band = bgrx[top : top + rows]
            self._core.PutImage(
                self._xproto.ImageFormat.ZPixmap,
                self._window,
                self._context,
                width,
                len(band),
                x,
                y + top,
                0,
                self._screen.root_depth,
                band.size,
                band.tobytes(),
                is_checked=True,
            ).check()

    def scroll(self, lines: int) -> None:
        """Move everything up, as a terminal does."""
        copied = (0, lines, 0, 0, self.width, self.height - lines)
        self._core.CopyArea(self._window, self._window, self._context, *copied)
        self.sync()

    def set_cursor(self, glyph: int) -> None:
        """Another shape from the standard cursor font (X11/cursorfont.h)."""
        font, cursor = self._connection.generate_id(), self._connection.generate_id()
        self._core.OpenFont(font, len("cursor"), "cursor")
        self._core.CreateGlyphCursor(cursor, font, font, glyph, glyph + 1, 0, 0, 0, 65535, 65535, 65535)
        self._core.ChangeWindowAttributes(
            self._window, self._xproto.CW.Cursor, [cursor], is_checked=True
        ).check()
        self._core.FreeCursor(cursor)
        self._core.CloseFont(font)
        self.sync()

    def set_colour_cursor(self, argb: np.ndarray, hot: tuple[int, int]) -> None:
        """A shape of our own: premultiplied ARGB words, by the Render extension."""
        render_module = importlib.import_module("xcffib.render")
        render = self._connection(render_module.key)
        render.QueryVersion(0, 11).reply()
        found = render.QueryPictFormats().reply().formats
        argb_format = next(one for one in found if one.depth == 32 and one.direct.alpha_mask == 0xFF)
        height, width = argb.shape
        pixmap, context, picture, cursor = (self._connection.generate_id() for _ in range(4))
        self._core.CreatePixmap(32, pixmap, self._screen.root, width, height)
        self._core.CreateGC(context, pixmap, 0, [])
        content = argb.astype("<u4").tobytes()
        self._core.PutImage(
            self._xproto.ImageFormat.ZPixmap,
            pixmap,
            context,
            width,
            height,
            0,
            0,
            0,
            32,
            len(content),
            content,
        )
        render.CreatePicture(picture, pixmap, argb_format.id, 0, [])
        render.CreateCursor(cursor, picture, *hot, is_checked=True).check()
        self._core.ChangeWindowAttributes(
            self._window, self._xproto.CW.Cursor, [cursor], is_checked=True
        ).check()
        self._core.FreeCursor(cursor)
        self._core.FreePixmap(pixmap)
        self.sync()

    def move_pointer(self, x: int, y: int) -> None:
        """As a program may, without a device."""
        self._core.WarpPointer(0, self._screen.root, 0, 0, 0, 0, x, y, is_checked=True).check()

    def move_pointer_by_device(self, x: int, y: int) -> None:
        """As a hand does, through XTEST."""
        xtest = self._connection(importlib.import_module("xcffib.xtest").key)
        xtest.FakeInput(6, 0, 0, self._screen.root, x, y, 0, is_checked=True).check()

    def resize_screen(self, width: int, height: int) -> str:
        """Another size of the root window by RandR; why the server refused, or ""."""
        randr = self._connection(self._randr.key)
        randr.QueryVersion(1, 5).reply()
        try:
            resources = randr.GetScreenResources(self._screen.root).reply()
            for crtc in resources.crtcs:
                facts = randr.GetCrtcInfo(crtc, resources.config_timestamp).reply()
                randr.SetCrtcConfig(
                    crtc, 0, resources.config_timestamp, 0, 0, 0, facts.rotation, 0, []
                ).reply()
            randr.SetScreenSize(self._screen.root, width, height, 300, 200, is_checked=True).check()
        except self._xcffib.Error as exc:
            return type(exc).__name__
        self._core.ConfigureWindow(
            self._window, self._xproto.ConfigWindow.Width | self._xproto.ConfigWindow.Height, [width, height]
        )
        self.sync()
        self.width, self.height = width, height
        return ""

    def read_root(self) -> np.ndarray:
        """What the server says is on the whole root window (plain GetImage)."""
        geometry = self._core.GetGeometry(self._screen.root).reply()
        size = (0, 0, geometry.width, geometry.height)
        asked = self._core.GetImage(self._xproto.ImageFormat.ZPixmap, self._screen.root, *size, 0xFFFFFFFF)
        content = self._connection.wait_for_reply(asked.sequence).buf
        flat = np.frombuffer(content, np.uint8, geometry.width * geometry.height * 4, 32)
        return flat.reshape(geometry.height, geometry.width, 4).copy()

    def unmap(self) -> None:
        """Take its window away, to be a reader only."""
        self._core.UnmapWindow(self._window, is_checked=True).check()
        self.sync()

    def sync(self) -> None:
        """Wait until the server has done everything."""
        self._core.GetInputFocus().reply()

    def close(self) -> None:
        """Its window goes away."""
        self._connection.disconnect()

    def _open_window(self) -> int:
        window = self._connection.generate_id()
        whole = (0, 0, self.width, self.height, 0)
        self._core.CreateWindow(
            self._screen.root_depth,
            window,
            self._screen.root,
            *whole,
            self._xproto.WindowClass.InputOutput,
            self._screen.root_visual,
            self._xproto.CW.BackPixel | self._xproto.CW.OverrideRedirect,
            [0x203040, 1],
            is_checked=True,
        ).check()
        self._core.MapWindow(window, is_checked=True).check()
        self._core.CreateGC(self._context, window, 0, [], is_checked=True).check()
        self.sync()
        return window


@contextmanager
def painter_on(display: str) -> Iterator[XPainter]:
    """A painter, disconnected at the end."""
    painter = XPainter(display)
    try:
        yield painter
    finally:
        painter.close()
