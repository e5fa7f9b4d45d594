"""Two monitors on a real X server: each mode is exact, and the pointer lands where it points."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import xcffib

from agent.capabilities.screen.sharing import ScreenShare
from agent.platform.interfaces import Area
from agent.platform.x11.input import XTestInjector
from agent.platform.x11.screen import open_x11_screen
from protocol.errors import ErrorCode
from protocol.limits import ALL_DISPLAYS_INDEX
from protocol.messages.input import PointerMove
from protocol.messages.screen import (
    DisplayMode,
    Follow,
    FromTechnician,
    PictureSeen,
    ScreenRefused,
    ShowAll,
    ShowDisplay,
)
from tests.support.viewer import Viewer
from tests.support.x_painter import XPainter, painter_on
from tests.support.xorg import xrandr
from tests.support.xvfb import start_xvfb

pytestmark = pytest.mark.real

SIZE = (640, 480)
LEFT, RIGHT = Area(0, 0, 240, 300), Area(240, 100, 400, 380)
BOX = Area(0, 0, 640, 480)
TIMEOUT_S = 20.0


class Desk:
    """A painted desktop with two monitors, one viewer, and an injector as the desktop process has it."""

    def __init__(self, display: str, painter: XPainter) -> None:
        self.display = display
        self.painter = painter
        self.painted = np.random.default_rng(5).integers(0, 256, (SIZE[1], SIZE[0], 4), np.uint8)
        painter.put(0, 0, self.painted)
        self.source = open_x11_screen(display)
        self.injector = XTestInjector(display)
        self.share = ScreenShare(self.source)
        self.viewer = Viewer()
        self.refusals: list[str] = []
        self._eyes = xcffib.connect(display=display)

    def close(self) -> None:
        """Let go of the display."""
        self._eyes.disconnect()
        self.injector.close()
        self.source.close()

    def run_until(self, is_so: Callable[[], bool]) -> None:
        """As the worker does, until it is so and the viewer has everything."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while not is_so():
            assert time.monotonic() < deadline_s, f"{self.viewer.displays}, {self.refusals}"
            for message in self.share.advance(time.monotonic(), is_woken=True, has_room=True):
                if isinstance(message, ScreenRefused):
                    self.refusals.append(message.code)
                if seen := self.viewer.show(message):
                    self.share.received(PictureSeen(seen), time.monotonic())
            time.sleep(0.005)

    def wish(self, wish: FromTechnician) -> None:
        """The technician chooses."""
        self.share.received(wish, time.monotonic())

    def shows(self, index: int, mode: DisplayMode, area: Area) -> Callable[[], bool]:
        """Whether this is shown, and every pixel of it is the painted one, or black where no monitor is."""
        expected = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        for one in (LEFT, RIGHT):
            place = np.s_[one.y : one.bottom, one.x : one.right]
            expected[place] = self.painted[place][..., 2::-1]
        wanted = expected[area.y : area.bottom, area.x : area.right]

        def is_so() -> bool:
            told = self.viewer.displays
            is_told = told is not None and (told.shown_index, told.mode) == (index, mode)
            return is_told and np.array_equal(self.viewer.frame[..., :3], wanted)

        return is_so

    def point(self, x: int, y: int, landing: tuple[int, int]) -> None:
        """The technician points at this pixel of what is shown; the pointer must come to that place."""
        assert self.viewer.displays is not None
        self.injector.inject(PointerMove(x, y), self.viewer.displays.shown_index)
        deadline_s = time.monotonic() + TIMEOUT_S
        while (place := self._pointer()) != landing:
            assert time.monotonic() < deadline_s, f"{place} instead of {landing}"
            time.sleep(0.005)

    def _pointer(self) -> tuple[int, int]:
        found = self._eyes.core.QueryPointer(self._eyes.get_setup().roots[0].root).reply()
        return found.root_x, found.root_y


@pytest.fixture
def desk() -> Iterator[Desk]:
    with start_xvfb(SIZE) as server, painter_on(server.display) as painter:
        xrandr(server.display, "--setmonitor", "left", "240/60x300/80+0+0", "screen")
        xrandr(server.display, "--setmonitor", "right", "400/100x380/95+240+100", "none")
        made = Desk(server.display, painter)
        order = [one.area for one in made.source.displays()]
        assert order == [LEFT, RIGHT]
        yield made
        made.close()


def test_each_display_is_exact_and_takes_the_pointer_where_it_points(desk: Desk) -> None:
    desk.run_until(desk.shows(0, DisplayMode.ONE, LEFT))
    desk.point(30, 40, (30, 40))
    desk.wish(ShowDisplay(1))
    desk.run_until(desk.shows(1, DisplayMode.ONE, RIGHT))
    desk.point(30, 40, (270, 140))
    desk.point(9999, 9999, (639, 479))


def test_all_displays_are_exact_and_take_the_pointer_where_it_points(desk: Desk) -> None:
    desk.wish(ShowAll())
    desk.run_until(desk.shows(ALL_DISPLAYS_INDEX, DisplayMode.ALL, BOX))
    desk.point(30, 40, (30, 40))
    desk.point(270, 140, (270, 140))
    desk.painted[90:200, 200:300] = 77
    desk.painter.put(200, 90, np.ascontiguousarray(desk.painted[90:200, 200:300]))
    desk.run_until(desk.shows(ALL_DISPLAYS_INDEX, DisplayMode.ALL, BOX))


def test_the_pointer_is_followed_to_another_display_and_back(desk: Desk) -> None:
    desk.injector.inject(PointerMove(10, 10), 0)
    desk.wish(Follow())
    desk.run_until(desk.shows(0, DisplayMode.FOLLOW, LEFT))
    desk.injector.inject(PointerMove(10, 10), 1)
    desk.run_until(desk.shows(1, DisplayMode.FOLLOW, RIGHT))
    desk.point(5, 6, (245, 106))
    desk.injector.inject(PointerMove(10, 10), 0)
    desk.run_until(desk.shows(0, DisplayMode.FOLLOW, LEFT))
    desk.point(5, 6, (5, 6))
    assert desk.refusals == []


def test_a_chosen_display_that_is_unplugged_gives_way_to_another_with_a_reason(desk: Desk) -> None:
    desk.wish(ShowDisplay(1))
    desk.run_until(desk.shows(1, DisplayMode.ONE, RIGHT))
    desk.point(30, 40, (270, 140))
    xrandr(desk.display, "--delmonitor", "right")
    desk.run_until(desk.shows(0, DisplayMode.ONE, LEFT))
    assert desk.refusals == [ErrorCode.E_SCREEN_DISPLAY]
    desk.point(30, 40, (30, 40))
    desk.injector.inject(PointerMove(30, 41), 1)
    desk.point(31, 40, (31, 40))


def test_input_finds_a_display_that_another_one_came_before(desk: Desk) -> None:
    desk.run_until(desk.shows(0, DisplayMode.ONE, LEFT))
    desk.point(30, 40, (30, 40))
    xrandr(desk.display, "--delmonitor", "right")
    xrandr(desk.display, "--delmonitor", "left")
    xrandr(desk.display, "--setmonitor", "other", "240/60x300/80+300+0", "screen")

    def is_moved() -> bool:
        told = desk.viewer.displays
        return told is not None and [one.x for one in told.displays] == [300]

    desk.run_until(is_moved)
    desk.point(30, 40, (330, 40))
