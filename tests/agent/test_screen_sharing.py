"""What is sent when, against a screen in memory and a clock by hand."""

import numpy as np
import pytest

from agent.capabilities.screen.pacing import (
    CURSOR_CHECK_INTERVAL_S,
    LOOK_INTERVAL_S,
    PICTURE_INTERVAL_S,
    POLL_ACTIVE_INTERVAL_S,
    POLL_IDLE_INTERVAL_S,
    LookPace,
)
from agent.capabilities.screen.rate import FIRST_PICTURES_AHEAD
from agent.capabilities.screen.sharing import ScreenShare
from agent.platform.interfaces import Area, CursorImage
from protocol.errors import BackendUnavailable, ErrorCode, PeerViolation
from protocol.messages.screen import (
    BandProof,
    CursorMoved,
    CursorShape,
    Displays,
    PicturePart,
    PictureSeen,
    ProofFailed,
    Refresh,
    ScreenRefused,
    ShowDisplay,
)
from tests.support.screen_source import FakeScreen
from tests.support.viewer import Viewer


class Session:
    """A share of a fake screen, and the viewer at the other end."""

    def __init__(self, screen: FakeScreen) -> None:
        self.screen = screen
        self.share = ScreenShare(screen)
        self.viewer = Viewer()
        self.now_s = 1000.0

    def step(
        self,
        after_s: float = 0.0,
        *,
        is_woken: bool = False,
        has_room: bool = True,
        acknowledges: bool = True,
    ):
        """Advance once; what was sent."""
        self.now_s += after_s
        sent = self.share.advance(self.now_s, is_woken=is_woken, has_room=has_room)
        for message in sent:
            seen = self.viewer.show(message)
            if seen and acknowledges:
                self.share.received(PictureSeen(seen), self.now_s)
        return sent

    def run(self, for_s: float) -> list:
        """As the worker's loop does: at each moment that the share asked for, until it is quiet."""
        sent, end_s = [], self.now_s + for_s
        while (wake_at_s := self.share.wake_at_s()) <= end_s:
            sent += self.step(max(0.0, wake_at_s - self.now_s))
        self.now_s = end_s
        return sent


def kinds(messages) -> list[type]:
    """A picture counts once, however many parts it has."""
    return [type(one) for one in messages if not isinstance(one, PicturePart) or one.is_last]


def pictures_in(messages) -> int:
    return kinds(messages).count(PicturePart)


@pytest.fixture
def screen():
    made = FakeScreen()
    yield made
    made.close()


@pytest.fixture
def session(screen):
    return Session(screen)


def test_first_come_the_displays_then_a_whole_picture_then_the_cursor(session):
    sent = session.step()
    assert kinds(sent) == [Displays, PicturePart, CursorShape, CursorMoved]
    assert sent[1].is_reset
    assert session.viewer.frame.shape == (200, 320, 4)


def test_nothing_is_grabbed_and_nothing_sent_while_nothing_changes(session):
    session.run(3.0)
    grabs, looks = len(session.screen.grabs), session.screen.looks
    assert session.run(60.0) == []
    assert len(session.screen.grabs) == grabs
    assert session.screen.looks - looks <= 2 * 60.0 / CURSOR_CHECK_INTERVAL_S


def test_the_first_change_after_quiet_is_sent_at_once(session):
    session.run(3.0)
    session.screen.draw(Area(10, 10, 5, 5), (1, 2, 3))
    sent = session.step(is_woken=True)
    assert kinds(sent) == [PicturePart]
    assert sent[0].captured_at_ms == int(session.now_s * 1000)
    assert session.viewer.frame[12, 12].tolist() == [3, 2, 1, 255]


def test_a_screen_that_never_rests_makes_at_most_sixty_pictures_a_second(session):
    session.run(3.0)
    pictures = 0
    for number in range(1000):
        session.screen.draw(Area(0, 0, 5, 5), (number % 200, 2, 3))
        pictures += pictures_in(session.step(0.001, is_woken=True))
    assert 55 <= pictures <= 61


def test_after_one_late_picture_of_sixty_a_second_the_next_ones_are_in_time(session):
    session.run(3.0)
    began_s = session.now_s + PICTURE_INTERVAL_S
    for number in range(60):
        due_s = began_s + number * PICTURE_INTERVAL_S + (0.01 if number == 5 else 0.0)
        session.screen.draw(Area(0, 0, 5, 5), (number, 2, 3))
        assert pictures_in(session.step(due_s - session.now_s, is_woken=True)) == 1


def test_a_viewer_that_is_behind_gets_no_more_pictures_and_then_the_newest(session):
    session.run(3.0)
    pictures = []
    for number in range(1, 100):
        session.screen.draw(Area(0, 0, 5, 5), (number, number, number))
        pictures += session.step(PICTURE_INTERVAL_S, is_woken=True, acknowledges=False)
    pictures = [one for one in pictures if isinstance(one, PicturePart)]
    assert len(pictures) == FIRST_PICTURES_AHEAD
    session.share.received(PictureSeen(pictures[-1].picture_no), session.now_s)
    session.step(PICTURE_INTERVAL_S)
    assert session.viewer.frame[0, 0].tolist() == [99, 99, 99, 255]


def test_a_viewer_that_is_behind_has_no_more_than_a_window_of_bytes_under_way(session):
    session.run(3.0)
    noise = np.random.default_rng(1)
    sent = []
    for _ in range(100):
        session.screen.pixels[...] = noise.integers(0, 256, session.screen.pixels.shape, np.uint8)
        session.screen.damage(Area(0, 0, 320, 200))
        sent += session.step(PICTURE_INTERVAL_S, is_woken=True, acknowledges=False)
    rate = session.share.rate
    assert rate.in_flight_bytes <= rate.window_bytes + 2 * rate.portion_bytes
    assert sum(len(one.compressed) for one in sent if isinstance(one, PicturePart)) < 320 * 200 * 3


def test_what_did_not_fit_is_sent_as_it_is_then_and_ends_exact(session):
    session.run(3.0)
    noise = np.random.default_rng(1)
    for _ in range(5):
        session.screen.pixels[...] = noise.integers(0, 256, session.screen.pixels.shape, np.uint8)
        session.screen.damage(Area(0, 0, 320, 200))
        session.step(PICTURE_INTERVAL_S, is_woken=True)
    session.run(3.0)
    assert np.array_equal(session.viewer.bgr(), session.screen.pixels[..., :3])
    assert session.run(60.0) == []


def test_while_the_socket_is_full_nothing_is_made_and_nothing_is_lost(session):
    session.run(3.0)
    grabs = len(session.screen.grabs)
    session.screen.draw(Area(0, 0, 5, 5), (9, 9, 9))
    session.screen.point(7, 8)
    assert session.step(is_woken=True, has_room=False) == []
    assert len(session.screen.grabs) == grabs
    assert kinds(session.run(0.1)) == [PicturePart, CursorMoved]
    assert session.viewer.cursor_place == (7, 8)


def test_a_pointer_that_moves_sends_places_and_no_pictures(session):
    session.run(3.0)
    session.screen.point(33, 44)
    assert session.step(is_woken=True) == [CursorMoved(33, 44)]


def test_another_shape_is_sent_once(session):
    session.run(3.0)
    session.screen.point(33, 44, CursorImage(1, 1, 0, 0, b"\0\0\0\xff"))
    assert kinds(session.step(is_woken=True)) == [CursorShape, CursorMoved]
    session.screen.point(34, 44)
    assert kinds(session.step(0.1, is_woken=True)) == [CursorMoved]


def test_a_hidden_cursor_has_no_size(session):
    session.run(3.0)
    session.screen.hide_cursor()
    (shape,) = session.step(is_woken=True)
    assert (shape.width, shape.height, shape.rgba) == (0, 0, b"")


def test_a_refresh_sends_everything_anew(session):
    session.run(3.0)
    session.viewer = Viewer()
    session.share.received(Refresh(), session.now_s)
    assert kinds(session.run(0.1)) == [Displays, PicturePart, CursorShape, CursorMoved]


def test_a_wrong_pixel_in_the_viewer_is_healed_within_two_seconds_and_then_all_is_quiet(session):
    session.run(3.0)
    session.screen.draw(Area(0, 0, 320, 200), (1, 2, 3))
    session.step(is_woken=True)
    session.viewer.frame[99, 99] = 0
    session.run(2.0)
    (failed,) = session.viewer.failed_proofs
    session.share.received(failed, session.now_s)
    sent = session.run(0.1)
    assert sent[0].is_reset
    assert session.share.heals == 1
    session.run(2.0)
    assert session.viewer.failed_proofs == [failed]
    assert session.run(60.0) == []


def test_a_viewer_that_always_complains_gets_no_more_than_one_whole_picture_a_second(session):
    session.run(3.0)
    resets = 0
    for _ in range(1000):
        session.share.received(ProofFailed(1 + resets, 0), session.now_s)
        resets += pictures_in(session.step(0.01))
    assert 1 <= resets <= 10


def test_endless_refreshes_do_not_make_more_than_sixty_pictures_a_second(session):
    session.run(3.0)
    pictures = 0
    for _ in range(1000):
        session.share.received(Refresh(), session.now_s)
        pictures += pictures_in(session.step(0.001, acknowledges=False))
    assert pictures <= 61


def test_another_size_sends_new_displays_and_a_reset(session):
    session.run(3.0)
    session.screen.resize(100, 90)
    sent = session.run(0.1) or session.step(is_woken=True)
    assert kinds(sent)[:2] == [Displays, PicturePart]
    assert session.viewer.frame.shape == (90, 100, 4)


def test_another_size_that_is_met_while_grabbing_is_no_failure(session):
    session.run(3.0)
    session.screen.draw(Area(300, 180, 5, 5), (1, 1, 1))
    session.screen.pixels = session.screen.pixels[:90, :100]
    session.screen._areas = [Area(0, 0, 100, 90)]
    session.step(is_woken=True)
    session.run(0.1)
    assert session.viewer.frame.shape == (90, 100, 4)


def test_another_display_can_be_shown_and_has_its_own_coordinates(screen):
    screen.resize(300, 100, [Area(0, 0, 100, 100), Area(100, 0, 200, 100)])
    session = Session(screen)
    session.run(3.0)
    screen.point(150, 10)
    session.share.received(ShowDisplay(1), session.now_s)
    sent = session.run(0.1)
    assert sent[0].shown_index == 1
    assert session.viewer.frame.shape == (100, 200, 4)
    assert session.viewer.cursor_place == (50, 10)
    screen.draw(Area(100, 0, 10, 10), (5, 6, 7))
    session.step(1.0, is_woken=True)
    assert session.viewer.frame[0, 0].tolist() == [7, 6, 5, 255]
    session.run(3.0)
    screen.draw(Area(0, 0, 50, 50), (5, 6, 7))
    assert session.step(1.0, is_woken=True) == []


def test_a_display_that_is_gone_is_answered_with_the_list(session):
    session.run(3.0)
    session.share.received(ShowDisplay(9), session.now_s)
    sent = session.run(0.1)
    assert kinds(sent)[:2] == [ScreenRefused, Displays]
    assert sent[0].code == ErrorCode.E_SCREEN_DISPLAY
    assert sent[1].shown_index == 0


def test_a_picture_that_was_never_sent_is_a_violation(session):
    session.run(3.0)
    with pytest.raises(PeerViolation):
        session.share.received(PictureSeen(999), session.now_s)


def test_a_lost_screen_is_raised(session):
    session.run(3.0)
    session.screen.break_down()
    with pytest.raises(BackendUnavailable):
        session.step(is_woken=True)


def test_a_source_that_cannot_wake_us_is_asked_now_and_then_and_sends_only_changes():
    screen = FakeScreen(can_wake=False)
    session = Session(screen)
    session.run(3.0)
    looks = screen.looks
    assert session.run(10.0) == []
    assert 90 <= screen.looks - looks <= 110
    screen.draw(Area(0, 0, 5, 5), (1, 2, 3))
    assert kinds(session.run(0.2)) == [PicturePart]
    assert kinds(session.run(3.0)) == [BandProof]


def test_replies_that_may_hide_events_are_followed_by_another_look():
    pace = LookPace(can_wake=True)
    pace.looked(10.0, is_active=True, is_held=False)
    assert pace.due_s == 10.0 + LOOK_INTERVAL_S
    assert not pace.may_wake(10.001)
    pace.looked(11.0, is_active=False, is_held=False)
    assert pace.may_wake(11.0)
    assert pace.due_s == 11.0 + CURSOR_CHECK_INTERVAL_S


def test_while_a_picture_is_held_back_the_source_does_not_wake_us_more_often_than_pictures_go():
    pace = LookPace(can_wake=True)
    pace.looked(10.0, is_active=True, is_held=True)
    assert not pace.may_wake(10.0 + PICTURE_INTERVAL_S * 0.99)
    assert pace.may_wake(10.0 + PICTURE_INTERVAL_S)


@pytest.mark.parametrize(
    ("is_active", "expected_s"), [(True, POLL_ACTIVE_INTERVAL_S), (False, POLL_IDLE_INTERVAL_S)]
)
def test_a_polled_source_is_asked_more_often_while_it_changes(is_active, expected_s):
    pace = LookPace(can_wake=False)
    pace.looked(10.0, is_active=is_active, is_held=False)
    assert pace.due_s == 10.0 + expected_s
    assert not pace.may_wake(20.0)


def test_what_a_picture_takes_to_be_made_is_no_time_on_the_link(screen):
    """Else a busy computer would think its link slow, and send small pictures that cost more time still."""
    screen.draw(Area(0, 0, 320, 200), (9, 9, 9))
    share = ScreenShare(screen, lambda began_s: began_s + 0.05)
    share.advance(1000.0, is_woken=True, has_room=True)
    share.received(PictureSeen(1), 1000.052)
    assert share.rate.link.round_trip_s == pytest.approx(0.002)
