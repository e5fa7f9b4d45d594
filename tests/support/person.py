"""A person at the device's desktop: looks at windows and uses the real pointer, as XTest events."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import xcffib
import xcffib.xproto as x
import xcffib.xtest

from tests.support.x_screen import connected

WAIT_S = 20.0
ARMED_AFTER_S = 1.7
LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Area:
    """A visible window in pixels of the root."""

    window: int
    x: int
    y: int
    width: int
    height: int

    @property
    def middle(self) -> tuple[int, int]:
        """Where one would click."""
        return self.x + self.width // 2, self.y + self.height // 2


class Person:
    """Everything is done through the X server alone; nothing of the product is asked or told."""

    def __init__(self, screen: dict[str, str]) -> None:
        self._screen = screen
        self._prompt_seen_s = 0.0

    def sees(self, wm_class: str) -> bool:
        """Whether a visible window of this class is on the screen."""
        with connected(self._screen) as connection:
            return bool(_visible(connection, wm_class))

    def wait_for_window(self, wm_class: str) -> Area:
        """Wait for a window of this class; its area."""
        deadline_s = time.monotonic() + WAIT_S
        while time.monotonic() < deadline_s:
            with connected(self._screen) as connection:
                found = _visible(connection, wm_class)
            if found:
                return found[0]
            time.sleep(LOOK_EVERY_S)
        raise AssertionError(f"no window of class {wm_class} within {WAIT_S:.0f} s")

    def wait_for_prompt(self) -> Area:
        """Wait for the consent prompt."""
        area = self.wait_for_window("alongside-prompt")
        self._prompt_seen_s = time.monotonic()
        return area

    def allow(self) -> None:
        """Click Allow once it is armed."""
        time.sleep(max(0.0, self._prompt_seen_s + ARMED_AFTER_S - time.monotonic()))
        self._click_leaf("alongside-prompt", _rightmost_of_bottom_row)

    def refuse(self) -> None:
        """Click Don't allow."""
        self._click_leaf("alongside-prompt", _left_of_rightmost_of_bottom_row)

    def untick(self, row: int) -> None:
        """Click the box of the capability in this row, 0 being the first."""
        self._click_leaf("alongside-prompt", lambda areas: _boxes(areas)[row])

    def press_stop(self) -> float:
        """Press Stop in the indicator; the monotonic time of the press."""
        return self._click_leaf("alongside-indicator", lambda areas: max(areas, key=lambda area: area.x))

    def _click_leaf(self, wm_class: str, choose) -> float:
        with connected(self._screen) as connection:
            top = _visible(connection, wm_class)[0]
            return _click(connection, choose(list(_leaves(connection, top.window))).middle)


def _click(connection: xcffib.Connection, at: tuple[int, int]) -> float:
    xtest = connection(xcffib.xtest.key)
    root = connection.get_setup().roots[0].root
    xtest.FakeInput(6, 0, 0, root, *at, 0, is_checked=True).check()  # MotionNotify
    time.sleep(0.05)
    pressed_s = time.monotonic()
    xtest.FakeInput(4, 1, 0, root, 0, 0, 0, is_checked=True).check()  # ButtonPress
    xtest.FakeInput(5, 1, 0, root, 0, 0, 0, is_checked=True).check()  # ButtonRelease
    return pressed_s


def _visible(connection: xcffib.Connection, wm_class: str) -> list[Area]:
    root = connection.get_setup().roots[0].root
    return [
        area
        for area in _tree(connection, root, 0, 0)
        if wm_class.encode() in _class_of(connection, area.window).lower().split(b"\0")
    ]


def _tree(connection: xcffib.Connection, window: int, left: int, top: int) -> Iterator[Area]:
    """Every viewable window below this one."""
    for child in connection.core.QueryTree(window).reply().children:
        try:
            state = connection.core.GetWindowAttributes(child).reply().map_state
            shape = connection.core.GetGeometry(child).reply()
        except (x.WindowError, x.DrawableError):
            continue
        if state == x.MapState.Viewable:
            area = Area(child, left + shape.x, top + shape.y, shape.width, shape.height)
            yield area
            yield from _tree(connection, child, area.x, area.y)


def _leaves(connection: xcffib.Connection, window: int) -> Iterator[Area]:
    at = connection.core.TranslateCoordinates(window, connection.get_setup().roots[0].root, 0, 0).reply()
    for area in _tree(connection, window, at.dst_x, at.dst_y):
        if not connection.core.QueryTree(area.window).reply().children:
            yield area


def _class_of(connection: xcffib.Connection, window: int) -> bytes:
    try:
        value = (
            connection.core.GetProperty(False, window, x.Atom.WM_CLASS, x.Atom.STRING, 0, 64).reply().value
        )
    except x.WindowError:
        return b""
    return value.buf() if len(value) else b""


def _bottom_row(areas: list[Area]) -> list[Area]:
    lowest = max(areas, key=lambda area: (area.middle[1], area.x))
    return sorted((a for a in areas if abs(a.middle[1] - lowest.middle[1]) < 12), key=lambda area: area.x)


def _rightmost_of_bottom_row(areas: list[Area]) -> Area:
    return max((a for a in areas if 30 <= a.height <= 80 and a.width >= 60), key=lambda a: (a.y, a.x))


def _left_of_rightmost_of_bottom_row(areas: list[Area]) -> Area:
    allow = _rightmost_of_bottom_row(areas)
    row = [a for a in areas if abs(a.y - allow.y) < 8 and a.x < allow.x and 30 <= a.height <= 80]
    return max(row, key=lambda a: a.x)


def _boxes(areas: list[Area]) -> list[Area]:
    """The tick boxes: about square, one below the other."""
    boxes = [a for a in areas if 14 <= a.width <= 40 and abs(a.width - a.height) <= 6]
    return sorted(boxes, key=lambda area: area.y)
