"""The coloured edge around every display while somebody is here: four thin windows a display, without Tk.

The X server paints them by itself from their background, so they cost nothing while nothing changes. Clicks
go through them (X Nonrectangular Window Shape Extension 1.1: an empty input shape). They are thin windows and
not one with a hole, because whoever judges which windows cover which (`private_windows`) takes a window for a
whole rectangle. They stand right below the indicator's bar: two windows that both want the top would draw
each other anew for ever.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from agent.platform.x11.monitors import monitors
from protocol.messages.diagnostics import Display

WINDOW_CLASS = "alongside-edge"
# X11 protocol: CreateWindow and ConfigureWindow value masks, SETofEVENT, stack modes, predefined atoms
_BACK_PIXEL, _OVERRIDE_REDIRECT = 1 << 1, 1 << 9
_SIBLING, _STACK_MODE = 1 << 5, 1 << 6
_ABOVE, _BELOW = 0, 1
_INPUT_OUTPUT, _VIEWABLE = 1, 2
_WM_CLASS_ATOM, _STRING_ATOM = 67, 31
_SHAPE_SET, _SHAPE_INPUT, _UNSORTED = 0, 2, 0


@dataclass(frozen=True, slots=True)
class Strip:
    """One side of one display's edge, in pixels of the desktop."""

    x: int
    y: int
    width: int
    height: int


def strips(displays: Sequence[Display], thickness: int) -> tuple[Strip, ...]:
    """The four sides of every display, inside it; no two of one display overlap."""
    return tuple(strip for display in displays for strip in _around(display, thickness))


def _around(display: Display, thickness: int) -> Iterator[Strip]:
    thick = max(1, min(thickness, display.width // 2, display.height // 2))
    between = display.height - 2 * thick
    yield Strip(display.x, display.y, display.width, thick)
    yield Strip(display.x, display.y + display.height - thick, display.width, thick)
    if between > 0:
        yield Strip(display.x, display.y + thick, thick, between)
        yield Strip(display.x + display.width - thick, display.y + thick, thick, between)


class Edges:
    """Shows them, has them follow the displays, and puts them back; without xcffib there are none."""

    def __init__(self, display: str | None, thickness: int) -> None:
        """`thickness` in pixels."""
        self._thickness = thickness
        self._windows: dict[Strip, int] = {}
        self._colour = ""
        self._connection: Any = None
        self._shape: Any = None
        self._errors: tuple[type[Exception], ...] = (ImportError, OSError)
        self._late_error: type[Exception] = OSError
        with contextlib.suppress(*self._errors):
            xcffib = import_module("xcffib")
            shape = import_module("xcffib.shape")
            import_module("xcffib.randr")
            self._errors = (xcffib.XcffibException, OSError, KeyError)
            self._late_error = xcffib.Error
            with contextlib.suppress(*self._errors):
                self._connection = xcffib.Connection(display)
                screen = self._connection.setup.roots[self._connection.pref_screen]
                self._root, self._visual = int(screen.root), int(screen.root_visual)
                self._depth, self._colours = int(screen.root_depth), int(screen.default_colormap)
                self._shape = self._connection(shape.key)

    def show(self, colour: str, below: int) -> None:
        """Have them on every display in "#rrggbb", right below that child of the root window.

        Call it again whenever displays or windows may have changed: what is right is left alone.
        """
        if self._connection is None:
            return
        with contextlib.suppress(*self._errors):
            self._drop_news()
            if colour != self._colour:
                self._close_windows(self._windows)
                self._colour = colour
            wanted = strips(monitors(self._connection, self._root), self._thickness)
            self._close_windows(set(self._windows) - set(wanted) | set(self._lost()))
            for strip in wanted:
                if strip not in self._windows:
                    self._windows[strip] = self._open(strip, below)
            self._stack(below)
            self._connection.flush()

    def hide(self) -> None:
        """Take them away."""
        if self._connection is None:
            return
        with contextlib.suppress(*self._errors):
            self._close_windows(self._windows)
            self._connection.flush()

    def close(self) -> None:
        """Take them away and disconnect. May be called twice."""
        connection, self._connection = self._connection, None
        self._windows.clear()
        if connection is not None:
            connection.disconnect()

    def _open(self, strip: Strip, below: int) -> int:
        core = self._connection.core
        window = int(self._connection.generate_id())
        core.CreateWindow(
            self._depth,
            window,
            self._root,
            strip.x,
            strip.y,
            strip.width,
            strip.height,
            0,
            _INPUT_OUTPUT,
            self._visual,
            _BACK_PIXEL | _OVERRIDE_REDIRECT,
            [self._pixel(), 1],
        )
        name = f"{WINDOW_CLASS}\0{WINDOW_CLASS}\0".encode()
        core.ChangeProperty(0, window, _WM_CLASS_ATOM, _STRING_ATOM, 8, len(name), name)
        self._shape.Rectangles(_SHAPE_SET, _SHAPE_INPUT, _UNSORTED, window, 0, 0, 0, [])
        if below:
            core.ConfigureWindow(window, _SIBLING | _STACK_MODE, [below, _BELOW])
        core.MapWindow(window)
        return window

    def _stack(self, below: int) -> None:
        """Each right below the one before; the server does nothing, and says nothing, where that holds."""
        core = self._connection.core
        for window in self._windows.values():
            if below:
                core.ConfigureWindow(window, _SIBLING | _STACK_MODE, [below, _BELOW])
            else:
                core.ConfigureWindow(window, _STACK_MODE, [_ABOVE])
            below = window

    def _lost(self) -> list[Strip]:
        """Which other programs unmapped, moved or destroyed."""
        core = self._connection.core
        asked = [
            (strip, core.GetWindowAttributes(window), core.GetGeometry(window))
            for strip, window in self._windows.items()
        ]
        lost = []
        for strip, attributes, geometry in asked:
            is_there = False
            with contextlib.suppress(*self._errors):
                at = geometry.reply()
                place = Strip(int(at.x), int(at.y), int(at.width), int(at.height))
                is_there = attributes.reply().map_state == _VIEWABLE and place == strip
            if not is_there:
                lost.append(strip)
        return lost

    def _drop_news(self) -> None:
        """A window that went away between two requests is found by `_lost`; its error says nothing more.

        Raises what says that the server is gone.
        """
        while True:
            with contextlib.suppress(self._late_error):
                if self._connection.poll_for_event() is None:
                    return

    def _pixel(self) -> int:
        red, green, blue = (int(self._colour[at : at + 2], 16) * 257 for at in (1, 3, 5))
        return int(self._connection.core.AllocColor(self._colours, red, green, blue).reply().pixel)

    def _close_windows(self, which: "set[Strip] | dict[Strip, int]") -> None:
        for strip in list(which):
            window = self._windows.pop(strip, 0)
            if window:
                self._connection.core.DestroyWindow(window)
