"""What a person at an X display does: sees our windows by name, moves the pointer, clicks, types (XTest)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import xcffib
import xcffib.xproto
import xcffib.xtest

PART = "_ALONGSIDE_PART"


@dataclass(frozen=True)
class Seen:
    """A window on the screen."""

    window: int
    x: int
    y: int
    width: int
    height: int

    @property
    def middle(self) -> tuple[int, int]:
        """Its middle."""
        return self.x + self.width // 2, self.y + self.height // 2


class XPerson:
    """Hands and eyes at one display."""

    def __init__(self, display: str) -> None:
        connect: Any = xcffib.Connection  # has no types
        self.connection: Any = connect(display)
        self.root = self.connection.setup.roots[self.connection.pref_screen].root
        self._xtest = self.connection(xcffib.xtest.key)

    def find(self, part: str) -> Seen | None:
        """The control of that name, if it can be seen."""
        return self._search(PART, part)

    def find_class(self, name: str) -> Seen | None:
        """The window of that WM_CLASS, if it can be seen."""
        return self._search("WM_CLASS", name)

    def count(self, part: str) -> int:
        """How many controls of that name can be seen."""
        return len(list(self._all(PART, part)))

    def name_of(self, window: int) -> str:
        """The window's name, as a window list or whoever reads it aloud gets it (_NET_WM_NAME)."""
        core, name = self.connection.core, "_NET_WM_NAME"
        atom = core.InternAtom(False, len(name), name).reply().atom
        return bytes(core.GetProperty(False, window, atom, 0, 0, 256).reply().value.buf()).decode()

    def click(self, x: int, y: int, button: int = 1) -> None:
        """Move there, press and release."""
        self._fake(6, 0, x, y)
        self._fake(4, button)
        self._fake(5, button)
        self.connection.core.GetInputFocus().reply()

    def key(self, keycode: int) -> None:
        """Press and release a key: 9 Escape, 23 Tab, 36 Return, 65 space on every PC keyboard."""
        self._fake(2, keycode)
        self._fake(3, keycode)
        self.connection.core.GetInputFocus().reply()

    def cover(self, place: Seen) -> int:
        """Put an override-redirect window over that place; returns it."""
        window = self.connection.generate_id()
        core = self.connection.core
        mask = xcffib.xproto.CW.BackPixel | xcffib.xproto.CW.OverrideRedirect
        core.CreateWindow(
            0, window, self.root, place.x, place.y, place.width, place.height, 0, 1, 0, mask, [0x888888, 1]
        )
        core.MapWindow(window)
        core.GetInputFocus().reply()
        return int(window)

    def topmost(self) -> int:
        """The uppermost mapped window of the display."""
        core = self.connection.core
        children = core.QueryTree(self.root).reply().children
        mapped = [w for w in children if core.GetWindowAttributes(w).reply().map_state == 2]
        return int(mapped[-1])

    def close(self) -> None:
        """Go away."""
        self.connection.disconnect()

    def _fake(self, kind: int, detail: int, x: int = 0, y: int = 0) -> None:
        self._xtest.FakeInput(kind, detail, 0, self.root, x, y, 0)

    def _search(self, name: str, value: str) -> Seen | None:
        return next(self._all(name, value), None)

    def _all(self, name: str, value: str) -> Iterator[Seen]:
        core = self.connection.core
        atom = core.InternAtom(False, len(name), name).reply().atom
        waiting = [self.root]
        while waiting:
            window = waiting.pop()
            try:
                content = bytes(core.GetProperty(False, window, atom, 0, 0, 256).reply().value.buf())
                if value.encode() in content.split(b"\0"):
                    seen = self._seen(window)
                    if seen:
                        yield seen
                waiting += list(core.QueryTree(window).reply().children)
            except (xcffib.xproto.WindowError, xcffib.xproto.DrawableError, struct.error):
                continue  # it went away while we looked

    def _seen(self, window: int) -> Seen | None:
        core = self.connection.core
        if core.GetWindowAttributes(window).reply().map_state != 2:
            return None
        size = core.GetGeometry(window).reply()
        at = core.TranslateCoordinates(window, self.root, 0, 0).reply()
        return Seen(window, at.dst_x, at.dst_y, size.width, size.height)
