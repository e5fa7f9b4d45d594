"""A full-screen window that workloads draw on, below what wants to stay on top, with the counter in it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import xcffib
import xcffib.xproto as x

from tests.bench.stamp import draw_stamp

STAMP_AT = (64, 128)
REQUEST_BYTES = 200_000  # below what every server takes in one request
BACKGROUND = 0x203040

Pixels = npt.NDArray[np.uint8]


_connect: Any = xcffib.connect  # has no types


class XBoard:
    """One connection; coordinates are pixels of the display. Drawn is what was asked for before `done`."""

    def __init__(self, display: str) -> None:
        self.connection: Any = _connect(display)
        self.core: Any = self.connection.core
        self.screen = self.connection.get_setup().roots[0]
        self.width, self.height = self.screen.width_in_pixels, self.screen.height_in_pixels
        self.window = self._open()
        self._context = self.connection.generate_id()
        # a copy that cannot be hidden needs no answer from the server
        self.core.CreateGC(self._context, self.window, x.GC.GraphicsExposures, [0])
        self.sync()

    def pixmap(self, bgrx: Pixels) -> int:
        """Keep these pixels in the server."""
        height, width, _ = bgrx.shape
        made = self.connection.generate_id()
        self.core.CreatePixmap(self.screen.root_depth, made, self.screen.root, width, height)
        self.put(bgrx, (0, 0), made)
        self.sync()
        return int(made)

    def put(self, bgrx: Pixels, at: tuple[int, int], drawable: int | None = None) -> None:
        """Send pixels, a band at a time."""
        height, width, _ = bgrx.shape
        rows = max(1, REQUEST_BYTES // (width * 4))
        for top in range(0, height, rows):
            band = np.ascontiguousarray(bgrx[top : top + rows])
            self.core.PutImage(
                x.ImageFormat.ZPixmap, drawable or self.window, self._context, width, len(band),
                at[0], at[1] + top, 0, self.screen.root_depth, band.size, band.tobytes(),
            )  # fmt: skip

    def copy(
        self, source: int, at: tuple[int, int], to: tuple[int, int], size: tuple[int, int], target: int = 0
    ) -> None:
        """Copy inside the server."""
        self.core.CopyArea(source, target or self.window, self._context, *at, *to, *size)

    def child(self, size: tuple[int, int], background: int) -> int:
        """A window on the board whose content the server repaints by itself."""
        made = self.connection.generate_id()
        self.core.CreateWindow(
            self.screen.root_depth, made, self.window, 0, 0, *size, 0, x.WindowClass.InputOutput,
            self.screen.root_visual, x.CW.BackPixmap, [background],
        )  # fmt: skip
        self.core.MapWindow(made)
        self.sync()
        return int(made)

    def set_background(self, pixmap: int) -> None:
        """What the server paints where a child was."""
        self.core.ChangeWindowAttributes(self.window, x.CW.BackPixmap, [pixmap])
        self.core.ClearArea(False, self.window, 0, 0, self.width, self.height)
        self.sync()

    def stamp(self, counter: int) -> int:
        """Draw the counter after everything else; the monotonic time (ns) when the server had done it all."""
        self.put(draw_stamp(counter), STAMP_AT)
        return self.done()

    def done(self) -> int:
        """The monotonic time (ns) when the server had done everything so far."""
        self.sync()
        return time.monotonic_ns()

    def take_keys(self) -> None:
        """Have the keyboard."""
        self.core.SetInputFocus(
            x.InputFocus.PointerRoot, self.window, x.Time.CurrentTime, is_checked=True
        ).check()

    def wait_for_press(self) -> None:
        """The next key press on the board."""
        while not isinstance(self.connection.wait_for_event(), x.KeyPressEvent):
            pass

    def sync(self) -> None:
        """Until the server has done everything so far."""
        self.core.GetInputFocus().reply()

    def close(self) -> None:
        """The board goes away."""
        self.connection.disconnect()

    def _open(self) -> int:
        window = self.connection.generate_id()
        mask = x.CW.BackPixel | x.CW.OverrideRedirect | x.CW.EventMask
        self.core.CreateWindow(
            self.screen.root_depth, window, self.screen.root, 0, 0, self.width, self.height, 0,
            x.WindowClass.InputOutput, self.screen.root_visual, mask, [BACKGROUND, 1, x.EventMask.KeyPress],
        )  # fmt: skip
        self.core.ConfigureWindow(window, x.ConfigWindow.StackMode, [x.StackMode.Below])
        self.core.MapWindow(window, is_checked=True).check()
        return int(window)


class XLook:
    """Reads pixels of a display as its root window shows them."""

    def __init__(self, display: str) -> None:
        self.connection: Any = _connect(display)
        self.screen = self.connection.get_setup().roots[0]

    def read(self, at: tuple[int, int], size: tuple[int, int]) -> Pixels:
        """Rows by columns by BGRX."""
        asked = self.connection.core.GetImage(x.ImageFormat.ZPixmap, self.screen.root, *at, *size, 0xFFFFFFFF)
        content = self.connection.wait_for_reply(asked.sequence).buf
        return np.frombuffer(content, np.uint8, size[0] * size[1] * 4, 32).reshape(size[1], size[0], 4)

    def read_all(self) -> Pixels:
        """The whole root window, without the fourth byte that means nothing."""
        size = (self.screen.width_in_pixels, self.screen.height_in_pixels)
        return self.read((0, 0), size)[:, :, :3].copy()

    def close(self) -> None:
        """Disconnect."""
        self.connection.disconnect()


@contextmanager
def looking_at(display: str) -> Iterator[XLook]:
    """A reader, disconnected at the end."""
    look = XLook(display)
    try:
        yield look
    finally:
        look.close()
