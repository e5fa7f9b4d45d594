"""A program with private windows: its own connection, windows full of one colour that nobody may see."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

SECRET_BGR = (0x17, 0xD3, 0xFE)
SECRET_WORD = 0xFED317  # the same, as the server has it
PLAIN_WORD = 0x203040


class SecretProgram:
    """Every window is painted wholly by the server itself the moment it is seen."""

    def __init__(self, display: str) -> None:
        self.xcffib = importlib.import_module("xcffib")
        self.xproto = importlib.import_module("xcffib.xproto")
        self.connection: Any = self.xcffib.connect(display=display)
        self.core = self.connection.core
        self._screen = self.connection.get_setup().roots[0]
        self.root: int = self._screen.root

    def open(
        self,
        area: tuple[int, int, int, int],
        *,
        names: tuple[str, str] = ("", ""),
        word: int = SECRET_WORD,
        is_popup: bool = False,
        parent: int = 0,
    ) -> int:
        """A window that is not mapped yet. `names`: class and title, "" for none."""
        window = self.connection.generate_id()
        self.core.CreateWindow(
            self._screen.root_depth,
            window,
            parent or self.root,
            *area,
            0,
            self.xproto.WindowClass.InputOutput,
            self._screen.root_visual,
            self.xproto.CW.BackPixel | self.xproto.CW.OverrideRedirect,
            [word, int(is_popup)],
        )
        if names[0]:
            self.text(window, 67, f"{names[0].lower()}\0{names[0]}\0")
        if names[1]:
            self.title(window, names[1])
        return window

    def text(self, window: int, atom: int, text: str) -> None:
        """Set a property of type STRING."""
        content = text.encode()
        self.core.ChangeProperty(0, window, atom, 31, 8, len(content), content)

    def title(self, window: int, title: str) -> None:
        """Set WM_NAME."""
        self.text(window, 39, title)

    def number(self, window: int, name: str, number: int) -> None:
        """Set a property of one 32-bit number."""
        atom = self.core.InternAtom(False, len(name), name).reply().atom
        self.core.ChangeProperty(0, window, atom, 6, 32, 1, number.to_bytes(4, "little"))

    def show(self, window: int) -> None:
        """Map it."""
        self.core.MapWindow(window)
        self.sync()

    def hide(self, window: int) -> None:
        """Unmap it."""
        self.core.UnmapWindow(window)
        self.sync()

    def destroy(self, window: int) -> None:
        """It is gone."""
        self.core.DestroyWindow(window)
        self.sync()

    def move(self, window: int, x: int, y: int) -> None:
        """Move it without waiting."""
        both = self.xproto.ConfigWindow.X | self.xproto.ConfigWindow.Y
        self.core.ConfigureWindow(window, both, [x, y])
        self.connection.flush()

    def resize(self, window: int, width: int, height: int) -> None:
        """Another size, without waiting."""
        both = self.xproto.ConfigWindow.Width | self.xproto.ConfigWindow.Height
        self.core.ConfigureWindow(window, both, [width, height])
        self.connection.flush()

    def stack(self, window: int, *, is_raised: bool) -> None:
        """To the top, or to the bottom."""
        mode = self.xproto.StackMode.Above if is_raised else self.xproto.StackMode.Below
        self.core.ConfigureWindow(window, self.xproto.ConfigWindow.StackMode, [mode])
        self.connection.flush()

    def paint(self, window: int, word: int) -> None:
        """Fill it with another colour."""
        self.core.ChangeWindowAttributes(window, self.xproto.CW.BackPixel, [word])
        self.core.ClearArea(False, window, 0, 0, 0, 0)
        self.connection.flush()

    def sync(self) -> None:
        """Wait until the server has done everything."""
        self.core.GetInputFocus().reply()

    def close(self) -> None:
        """Its windows go away."""
        self.connection.disconnect()


@contextmanager
def secret_program(display: str) -> Iterator[SecretProgram]:
    """A program, disconnected at the end."""
    program = SecretProgram(display)
    try:
        yield program
    finally:
        program.close()


def secret_pixels(bgr: np.ndarray) -> int:
    """How many pixels have the colour (height x width x 3 or more)."""
    blue, green, red = (bgr[..., channel] == value for channel, value in enumerate(SECRET_BGR))
    return int(np.count_nonzero(blue & green & red))
