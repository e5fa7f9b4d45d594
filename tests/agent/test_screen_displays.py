"""Which part of the desktop is shown: one display, all as one picture, or the one with the pointer."""

import numpy as np
import pytest

from agent.capabilities.screen.displays import FOLLOW_AFTER_S, ShownDisplays
from agent.capabilities.screen.sharing import ScreenShare
from agent.platform.interfaces import Area, DisplayArea
from protocol.limits import ALL_DISPLAYS_INDEX, DISPLAY_SIDE_LIMIT_PIXELS
from protocol.messages.screen import (
    DisplayMode,
    Displays,
    Follow,
    PictureSeen,
    ScreenRefused,
    ShowAll,
    ShowDisplay,
)
from tests.support.screen_source import FakeScreen
from tests.support.viewer import Viewer

LEFT, RIGHT = Area(0, 0, 100, 100), Area(100, 20, 200, 60)


def named(*areas: Area) -> list[DisplayArea]:
    return [DisplayArea(f"display {number}", area, 1.0) for number, area in enumerate(areas)]


class Desk:
    """A share of two displays side by side, and its viewer."""

    def __init__(self, *areas: Area) -> None:
        self.screen = FakeScreen()
        self.screen.resize(300, 100, list(areas or (LEFT, RIGHT)))
        self.share, self.viewer, self.now_s = ScreenShare(self.screen), Viewer(), 1000.0
        self.run(2.0)

    def run(self, for_s: float) -> list:
        sent, end_s = [], self.now_s + for_s
        while (wake_at_s := self.share.wake_at_s()) <= end_s:
            self.now_s = max(self.now_s, wake_at_s)
            sent += self.step(is_woken=False)
        self.now_s = end_s
        return sent

    def step(self, *, is_woken: bool = True) -> list:
        sent = self.share.advance(self.now_s, is_woken=is_woken, has_room=True)
        for message in sent:
            if seen := self.viewer.show(message):
                self.share.received(PictureSeen(seen), self.now_s)
        return sent

    def wish(self, wish) -> list:
        self.share.received(wish, self.now_s)
        return [*self.step(is_woken=False), *self.run(0.2)]

    def point(self, x: int, y: int) -> list:
        self.screen.point(x, y)
        return [*self.step(), *self.run(0.1)]


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.screen.close()


def test_all_displays_are_one_picture_that_is_black_where_there_is_none(desk):
    desk.screen.draw(Area(95, 0, 30, 100), (1, 2, 3))
    (shown, *_) = desk.wish(ShowAll())
    assert (shown.mode, shown.shown_index) == (DisplayMode.ALL, ALL_DISPLAYS_INDEX)
    frame = desk.viewer.frame[..., :3]
    assert frame.shape[:2] == (100, 300)
    expected = desk.screen.pixels[..., 2::-1].copy()
    expected[:20, 100:] = expected[80:, 100:] = 0
    assert np.array_equal(frame, expected)


def test_what_changes_on_any_display_is_shown_at_its_place_while_all_are(desk):
    desk.wish(ShowAll())
    for area in (Area(10, 10, 4, 4), Area(250, 30, 4, 4), Area(98, 40, 6, 3)):
        desk.screen.draw(area, (7, 8, 9))
        desk.step()
        desk.run(0.1)
        assert desk.viewer.frame[area.y, area.x].tolist() == [9, 8, 7, 255]


def test_the_pointer_is_followed_once_it_has_stayed_on_another_display(desk):
    desk.screen.point(10, 10)
    desk.step()
    (shown, *_) = desk.wish(Follow())
    assert (shown.mode, shown.shown_index) == (DisplayMode.FOLLOW, 0)
    assert not any(isinstance(one, Displays) for one in desk.point(150, 30))
    (shown,) = [one for one in desk.run(FOLLOW_AFTER_S) if isinstance(one, Displays)]
    assert (shown.mode, shown.shown_index) == (DisplayMode.FOLLOW, 1)
    assert desk.viewer.frame.shape == (60, 200, 4)
    assert desk.viewer.cursor_place == (50, 10)


def test_a_pointer_on_its_way_across_a_display_is_not_followed(desk):
    desk.screen.point(10, 10)
    desk.step()
    desk.wish(Follow())
    desk.point(150, 30)
    desk.point(20, 20)
    assert not any(isinstance(one, Displays) for one in desk.run(3 * FOLLOW_AFTER_S))


def test_a_display_that_is_chosen_is_not_left_for_the_pointer(desk):
    desk.wish(Follow())
    desk.wish(ShowDisplay(0))
    desk.point(150, 30)
    assert not any(isinstance(one, Displays) for one in desk.run(3 * FOLLOW_AFTER_S))


def test_the_chosen_display_stays_while_another_is_plugged_in_or_out(desk):
    desk.wish(ShowDisplay(1))
    desk.screen.resize(300, 100, [LEFT, RIGHT, Area(0, 90, 10, 10)])
    sent = [*desk.step(), *desk.run(0.2)]
    assert [one.shown_index for one in sent if isinstance(one, Displays)] == [1]


def test_when_the_chosen_display_is_unplugged_the_first_is_shown(desk):
    desk.wish(ShowDisplay(1))
    desk.screen.resize(100, 100, [LEFT])
    (shown, *_) = [one for one in [*desk.step(), *desk.run(0.2)] if isinstance(one, Displays)]
    assert (shown.mode, shown.shown_index, len(shown.displays)) == (DisplayMode.ONE, 0, 1)
    assert desk.viewer.frame.shape == (100, 100, 4)


def test_all_stays_all_when_a_display_comes(desk):
    desk.wish(ShowAll())
    desk.screen.resize(400, 100, [LEFT, RIGHT, Area(300, 0, 100, 100)])
    sent = [*desk.step(), *desk.run(0.2)]
    assert [one.mode for one in sent if isinstance(one, Displays)] == [DisplayMode.ALL]
    assert desk.viewer.frame.shape == (100, 400, 4)


def test_following_is_refused_where_nobody_tells_the_pointer_s_place(desk, monkeypatch):
    monkeypatch.setattr(desk.screen, "cursor", lambda: None)
    sent = desk.wish(Follow())
    assert [one.code for one in sent if isinstance(one, ScreenRefused)] == ["E_SCREEN_POINTER"]
    assert [one.mode for one in sent if isinstance(one, Displays)] == [DisplayMode.ONE]


def test_displays_that_are_too_large_together_are_refused_and_the_shown_one_stays():
    far = Area(DISPLAY_SIDE_LIMIT_PIXELS, 0, 100, 100)
    shown = ShownDisplays(named(LEFT, far))
    shown.show(1)
    assert not shown.show_all()
    assert (shown.mode, shown.shown_index) == (DisplayMode.ONE, 1)


def test_all_become_one_when_a_display_comes_that_makes_them_too_large():
    shown = ShownDisplays(named(LEFT, RIGHT))
    assert shown.show_all()
    assert not shown.read(named(LEFT, RIGHT, Area(DISPLAY_SIDE_LIMIT_PIXELS, 0, 100, 100)))
    assert (shown.mode, shown.area) == (DisplayMode.ONE, LEFT)
