"""What is shown of several displays: one, all as one picture, the one with the pointer. A clock by hand."""

from collections.abc import Iterator

import numpy as np
import pytest

from agent.capabilities.screen.displays import FOLLOW_AFTER_S, ShownDisplays
from agent.capabilities.screen.encoded import EncodedShare
from agent.capabilities.screen.pacing import CURSOR_CHECK_INTERVAL_S
from agent.capabilities.screen.sharing import ScreenShare
from agent.platform.interfaces import Area, DisplayArea, EncodedNews, Steering
from protocol.errors import ErrorCode
from protocol.limits import ALL_DISPLAYS_INDEX, DISPLAY_SIDE_LIMIT_PIXELS
from protocol.messages.screen import (
    DisplayMode,
    Displays,
    Follow,
    FromAgent,
    FromTechnician,
    PicturePart,
    PictureSeen,
    ScreenRefused,
    ShowAll,
    ShowDisplay,
)
from tests.support.screen_source import FakeScreen
from tests.support.viewer import Viewer

LEFT, RIGHT = Area(0, 0, 100, 100), Area(100, 20, 200, 60)
BLACK, RED, GREEN = [0, 0, 0, 255], [255, 0, 0, 255], [0, 255, 0, 255]


class Desk:
    """Two displays of different heights, red and green, blue where no display is; and a viewer."""

    def __init__(self) -> None:
        self.screen = FakeScreen()
        self.screen.resize(300, 100, [LEFT, RIGHT])
        self.screen.pixels[:, :, :3] = (255, 0, 0)
        self.screen.draw(LEFT, (0, 0, 255))
        self.screen.draw(RIGHT, (0, 255, 0))
        self.screen.point(50, 50)
        self.viewer = Viewer()
        self.now_s = 1000.0
        self.share = ScreenShare(self.screen)
        self.run(3.0)

    def run(self, for_s: float) -> list[FromAgent]:
        """As the worker's loop does, with a source that woke it once."""
        sent, end_s, is_woken = [], self.now_s + for_s, True
        while is_woken or self.share.wake_at_s() <= end_s:
            self.now_s = max(self.now_s, self.share.wake_at_s()) if not is_woken else self.now_s
            for message in self.share.advance(self.now_s, is_woken=is_woken, has_room=True):
                sent.append(message)
                if seen := self.viewer.show(message):
                    self.share.received(PictureSeen(seen), self.now_s)
            is_woken = False
        self.now_s = end_s
        return sent

    def wish(self, wish: FromTechnician) -> list[FromAgent]:
        """The viewer wishes for something; what comes of it."""
        self.share.received(wish, self.now_s)
        return self.run(0.2)

    @property
    def shown(self) -> tuple[int, DisplayMode]:
        """What the viewer was told last."""
        assert self.viewer.displays is not None
        return self.viewer.displays.shown_index, self.viewer.displays.mode

    def at(self, x: int, y: int) -> list[int]:
        """The viewer's pixel."""
        pixel: list[int] = self.viewer.frame[y, x].tolist()
        return pixel


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.screen.close()


def refusals(sent: list[FromAgent]) -> list[str]:
    return [message.code for message in sent if isinstance(message, ScreenRefused)]


def test_all_displays_are_one_picture_that_is_black_where_none_is(desk: Desk) -> None:
    sent = desk.wish(ShowAll())
    assert isinstance(sent[0], Displays)
    assert desk.shown == (ALL_DISPLAYS_INDEX, DisplayMode.ALL)
    assert desk.viewer.frame.shape == (100, 300, 4)
    assert desk.at(99, 99) == RED
    assert desk.at(100, 20) == desk.at(299, 79) == GREEN
    assert desk.at(100, 19) == desk.at(100, 80) == BLACK
    assert desk.viewer.cursor_place == (50, 50)


def test_a_change_across_two_displays_comes_exactly_in_one_picture(desk: Desk) -> None:
    desk.wish(ShowAll())
    desk.screen.draw(Area(90, 10, 20, 20), (9, 8, 7))
    sent = desk.run(0.2)
    assert len({one.picture_no for one in sent if isinstance(one, PicturePart)}) == 1
    assert desk.at(90, 10) == desk.at(109, 29) == [7, 8, 9, 255]
    assert desk.at(109, 19) == BLACK


def test_another_display_begins_with_a_reset_even_if_it_is_as_large(desk: Desk) -> None:
    desk.screen.resize(200, 100, [LEFT, Area(100, 0, 100, 100)])
    desk.run(3.0)
    sent = desk.wish(ShowDisplay(1))
    assert [type(one) for one in sent[:2]] == [Displays, PicturePart]
    assert isinstance(sent[1], PicturePart)
    assert sent[1].is_reset


def test_a_mirrored_display_begins_with_a_reset_though_its_place_is_the_same(desk: Desk) -> None:
    desk.screen.resize(100, 100, [LEFT, LEFT])
    desk.run(3.0)
    shown, picture = desk.wish(ShowDisplay(1))[:2]
    assert isinstance(shown, Displays)
    assert shown.shown_index == 1
    assert isinstance(picture, PicturePart)
    assert picture.is_reset


def test_the_display_where_the_pointer_stays_is_followed_and_not_one_that_it_crosses(desk: Desk) -> None:
    desk.wish(Follow())
    assert desk.shown == (0, DisplayMode.FOLLOW)
    desk.screen.point(150, 50)
    desk.run(FOLLOW_AFTER_S * 0.9)
    desk.screen.point(50, 50)
    desk.run(FOLLOW_AFTER_S * 2)
    assert desk.shown == (0, DisplayMode.FOLLOW)
    desk.screen.point(150, 50)
    sent = desk.run(FOLLOW_AFTER_S * 1.5)
    assert desk.shown == (1, DisplayMode.FOLLOW)
    assert desk.viewer.frame.shape == (60, 200, 4)
    assert desk.viewer.cursor_place == (50, 30)
    assert refusals(sent) == []


def test_a_pointer_between_displays_changes_nothing(desk: Desk) -> None:
    desk.wish(Follow())
    desk.screen.point(150, 5)
    assert [one for one in desk.run(CURSOR_CHECK_INTERVAL_S * 3) if isinstance(one, Displays)] == []


def test_following_without_a_pointer_that_can_be_read_is_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.screen, "cursor", lambda: None)
    assert refusals(desk.wish(Follow())) == [ErrorCode.E_SCREEN_POINTER]
    assert desk.shown == (0, DisplayMode.ONE)


def test_a_pointer_that_is_lost_while_it_is_followed_moves_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.screen.point(150, 50)
    desk.wish(Follow())
    desk.run(FOLLOW_AFTER_S * 2)
    monkeypatch.setattr(desk.screen, "cursor", lambda: None)
    desk.run(CURSOR_CHECK_INTERVAL_S * 3)
    assert desk.shown == (1, DisplayMode.FOLLOW)


def test_who_chose_a_display_is_told_when_it_is_unplugged_and_sees_another(desk: Desk) -> None:
    desk.wish(ShowDisplay(1))
    desk.screen.resize(100, 100, [LEFT])
    desk.screen.draw(LEFT, (0, 0, 255))
    sent = desk.run(0.3)
    assert refusals(sent) == [ErrorCode.E_SCREEN_DISPLAY]
    assert desk.shown == (0, DisplayMode.ONE)
    assert desk.viewer.frame.shape == (100, 100, 4)
    assert desk.at(50, 50) == RED


def test_nobody_is_told_of_a_display_that_was_not_shown(desk: Desk) -> None:
    desk.screen.resize(100, 100, [LEFT])
    assert refusals(desk.run(0.3)) == []
    assert desk.viewer.displays is not None
    assert len(desk.viewer.displays.displays) == 1


@pytest.mark.parametrize("wish", [ShowAll(), Follow()])
def test_all_and_follow_go_on_with_the_displays_that_are_left(desk: Desk, wish: FromTechnician) -> None:
    desk.wish(wish)
    mode = desk.shown[1]
    desk.screen.resize(100, 100, [LEFT])
    assert refusals(desk.run(0.3)) == []
    assert desk.shown[1] is mode
    assert desk.viewer.frame.shape == (100, 100, 4)


def test_displays_that_are_too_large_together_are_refused_at_the_wish_and_later() -> None:
    far = DISPLAY_SIDE_LIMIT_PIXELS
    near = [DisplayArea("a", LEFT, 1.0), DisplayArea("b", RIGHT, 1.0)]
    apart = [near[0], DisplayArea("b", Area(far, 0, 100, 100), 1.0)]
    shown = ShownDisplays(apart)
    assert shown.show_all() is ErrorCode.E_SCREEN_TOGETHER
    assert shown.mode is DisplayMode.ONE
    shown = ShownDisplays(near)
    assert shown.show_all() is None
    assert shown.read(apart) is ErrorCode.E_SCREEN_TOGETHER
    assert (shown.shown_index, shown.area) == (0, LEFT)


def test_no_source_is_asked_for_pixels_across_two_displays() -> None:
    asked: list[Area] = []

    def grab(area: Area) -> np.ndarray:
        asked.append(area)
        return np.full((area.height, area.width, 4), 7, np.uint8)

    shown = ShownDisplays([DisplayArea("a", LEFT, 1.0), DisplayArea("b", RIGHT, 1.0)])
    shown.show_all()
    pixels = shown.grab(Area(64, 0, 128, 64), grab)
    assert pixels is not None
    assert pixels.shape == (64, 128, 4)
    assert asked == [Area(64, 0, 36, 64), Area(100, 20, 92, 44)]


class EncodedScreen:
    """A screen that comes as video only, and says nothing; an `EncodedScreenSource`."""

    name, detail, wake_fd, codecs = "encoded", "in memory", 0, ("vp8",)

    def __init__(self) -> None:
        self.areas = [LEFT, RIGHT]
        self.are_new = False

    def displays(self) -> list[DisplayArea]:
        """As the test says."""
        return [DisplayArea(str(area.x), area, 1.0) for area in self.areas]

    def look(self) -> EncodedNews:
        """Nothing but other displays."""
        return EncodedNews(are_displays_new=self.are_new)

    def stream(self, index: int, codec: str, steering: Steering) -> None:
        """No packet comes."""

    def steer(self, steering: Steering) -> None:
        """No packet comes."""

    def close(self) -> None:
        """There is nothing to let go of."""


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        (ShowAll(), ErrorCode.E_SCREEN_TOGETHER),
        (Follow(), ErrorCode.E_SCREEN_POINTER),
        (ShowDisplay(2), ErrorCode.E_SCREEN_DISPLAY),
    ],
)
def test_video_only_goes_on_with_the_display_it_has_and_says_why(wish: FromTechnician, code: str) -> None:
    share = EncodedShare(EncodedScreen())
    share.received(ShowDisplay(1), 1.0)
    share.advance(1.0, is_woken=True, has_room=True)
    share.received(wish, 2.0)
    refused, shown = share.advance(2.0, is_woken=False, has_room=True)
    assert refused == ScreenRefused(code)
    assert isinstance(shown, Displays)
    assert (shown.shown_index, shown.mode) == (1, DisplayMode.ONE)


def test_video_only_says_that_the_chosen_display_is_gone() -> None:
    source = EncodedScreen()
    share = EncodedShare(source)
    share.received(ShowDisplay(1), 1.0)
    share.advance(1.0, is_woken=True, has_room=True)
    source.areas, source.are_new = [LEFT], True
    refused, shown = share.advance(2.0, is_woken=True, has_room=True)
    assert refused == ScreenRefused(ErrorCode.E_SCREEN_DISPLAY)
    assert isinstance(shown, Displays)
    assert shown.shown_index == 0
