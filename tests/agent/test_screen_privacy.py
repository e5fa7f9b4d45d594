"""Where covers lie, and what a masked source says and shows, without a window system."""

import numpy as np
import pytest

from agent.capabilities.screen.privacy import (
    COVERS_LIMIT,
    EVERYWHERE,
    LINGER_S,
    STRIPES,
    MaskedSource,
    PrivateWindows,
    painted_over,
)
from agent.platform.interfaces import Area, SeenWindow
from protocol.private_windows import PrivateWindow
from tests.support.screen_source import FakeScreen
from tests.support.window_watch import FakeWatch, window, words

PLACE, OTHER, THIRD = Area(10, 10, 50, 40), Area(100, 20, 30, 30), Area(200, 100, 20, 20)
VAULT = words(7, "Vault", "passwords", owner=100, process_id=4711, leader=6)
SECRET = (1, 2, 3)


BY_CLASS = (PrivateWindow(window_class="vault"),)
WHOLE = Area(0, 0, 320, 200)


def covers_of(*windows: SeenWindow, entries=BY_CLASS):
    return PrivateWindows(entries).covers(windows, 0.0, is_after_grab=True)


def test_every_place_of_a_private_window_is_covered_and_no_place_of_another():
    editor = window(words(8, "Editor", owner=200), THIRD)
    assert covers_of(window(VAULT, PLACE, OTHER), editor) == {PLACE, OTHER}


def test_a_private_window_in_a_frame_covers_the_frame():
    frame = SeenWindow(1, (PLACE,), True, True, False, words(1, owner=50), (words(1, owner=50), VAULT))
    assert covers_of(frame) == {PLACE}


@pytest.mark.parametrize(
    "popup",
    [
        words(9, owner=100),
        words(9, owner=200, process_id=4711),
        words(9, owner=200, leader=6),
        words(9, owner=200, transient_for=7),
        words(9, "Vault", owner=200),
    ],
)
def test_a_popup_of_the_private_program_is_covered(popup):
    assert covers_of(window(VAULT), window(popup, OTHER, is_popup=True)) == {OTHER}


def test_a_popup_of_another_program_and_the_window_manager_s_are_not_covered():
    frame = SeenWindow(1, (PLACE,), True, True, False, words(1, owner=50), (words(1, owner=50), VAULT))
    switcher = window(words(2, owner=50), OTHER, is_popup=True)
    stranger = window(words(3, owner=60, process_id=1, leader=2, transient_for=8), THIRD, is_popup=True)
    assert covers_of(frame, switcher, stranger) == {PLACE}


def test_an_ordinary_window_of_the_same_program_is_not_covered_but_its_dialogs_are():
    entries = (PrivateWindow(title="passwords"),)
    ordinary = window(words(8, "Vault", "help", owner=100, process_id=4711, leader=6), OTHER)
    dialog = window(words(9, "Vault", "save?", owner=100, transient_for=7), THIRD)
    of_dialog = window(words(10, "Vault", "sure?", owner=100, transient_for=9), PLACE)
    assert covers_of(window(VAULT), ordinary, dialog, of_dialog, entries=entries) == {THIRD, PLACE}


def test_a_window_that_could_not_be_asked_is_covered():
    assert covers_of(window(words(8), PLACE, is_known=False)) == {PLACE}


def test_a_title_that_nobody_could_read_matters_only_for_the_picture_that_was_read_meanwhile():
    editor = window(words(8, "Editor"), PLACE, has_missed_titles=True)
    private = PrivateWindows([PrivateWindow(title="secret")])
    assert private.covers([editor], 0.0, is_after_grab=False) == frozenset()
    assert private.covers([editor], 0.0, is_after_grab=True) == {PLACE}
    assert private.covers([window(words(8, "Editor"), PLACE)], 0.0, is_after_grab=True) == frozenset()


def test_once_its_title_fitted_a_window_stays_private_until_it_is_gone():
    private = PrivateWindows([PrivateWindow(title="secret")])

    def at(now_s: float, *windows: SeenWindow):
        return private.covers(windows, now_s, is_after_grab=True)

    assert at(0.0, window(words(8, title="secret"), PLACE)) == {PLACE}
    assert at(100.0, window(words(8, title="news"), OTHER)) == {OTHER}
    assert at(200.0) == frozenset()
    assert at(300.0, window(words(8, title="news"), PLACE)) == frozenset(), "another window with its number"


def test_after_a_change_of_the_list_a_window_is_private_while_an_entry_that_it_fitted_is_there():
    secret, diary = PrivateWindow(title="secret"), PrivateWindow(title="diary")
    private = PrivateWindows([secret])
    renamed = [window(words(8, title="news"), PLACE), window(words(9, title="diary"), OTHER)]

    def after(*entries: PrivateWindow, at_s: float):
        private.change(entries)
        return private.covers(renamed, at_s, is_after_grab=True)

    assert private.covers([window(words(8, title="secret"), PLACE)], 0.0, is_after_grab=True) == {PLACE}
    assert after(secret, diary, at_s=100.0) == {PLACE, OTHER}
    assert after(diary, at_s=200.0) == {OTHER}
    assert after(secret, diary, at_s=300.0) == {OTHER}
    assert after(at_s=400.0) == frozenset()


def test_a_place_stays_covered_for_a_while_after_it_was_left():
    private = PrivateWindows([PrivateWindow(window_class="vault")])
    private.covers([window(VAULT, PLACE)], 1.0, is_after_grab=True)
    moved = [window(VAULT, OTHER)]
    assert private.covers(moved, 1.0 + LINGER_S * 0.9, is_after_grab=True) == {PLACE, OTHER}
    assert private.covers(moved, 1.0 + LINGER_S * 1.1, is_after_grab=True) == {OTHER}


@pytest.mark.parametrize("at_once", [True, False])
def test_however_many_places_there_are_few_areas_hold_them_all(at_once):
    private = PrivateWindows([PrivateWindow(window_class="vault")])
    places = [Area(3 * step, 2 * step, 40, 30) for step in range(500)]
    for step in range(1 if at_once else len(places)):
        moved = window(VAULT, *(places if at_once else places[step : step + 1]))
        covers = private.covers([moved], step * 0.0001, is_after_grab=True)
    assert len(covers) <= COVERS_LIMIT + 1
    assert all(any(cover.common_with(place) == place for cover in covers) for place in places)


def test_the_same_desktop_and_clock_give_the_same_picture_and_only_covers_are_painted():
    noise = np.random.default_rng(1).integers(0, 256, (100, 120, 4), dtype=np.uint8)
    where, cover = Area(5, 7, 120, 100), Area(-20, 40, 60, 300)
    once, again = (painted_over(noise.copy(), where, [cover]) for _ in range(2))
    assert np.array_equal(once, again)
    assert np.array_equal(once[:33], noise[:33])
    assert np.array_equal(once[:, 35:], noise[:, 35:])
    assert set(once[33:, :35].view(np.uint32).ravel().tolist()) == set(STRIPES)


def test_stripes_belong_to_the_desktop_so_a_part_of_it_shows_the_same():
    blank = np.zeros((90, 90, 4), np.uint8)
    whole = painted_over(blank.copy(), Area(0, 0, 90, 90), [EVERYWHERE])
    part = painted_over(blank[:40, :30].copy(), Area(33, 21, 30, 40), [Area(40, 0, 50, 50)])
    assert np.array_equal(part[:29, 7:], whole[21:50, 40:63])


def test_a_picture_that_cannot_be_written_to_is_copied():
    frozen = np.frombuffer(bytes(400), np.uint8).reshape(10, 10, 4)
    assert painted_over(frozen, Area(0, 0, 10, 10), [EVERYWHERE]).any()
    assert not frozen.any()
    assert painted_over(frozen, Area(0, 0, 10, 10), [Area(50, 50, 5, 5)]) is frozen


class Stage:
    """A fake screen behind a mask; the private window is painted in its colour wherever it is."""

    def __init__(self, *, can_wake: bool = True) -> None:
        self.now_s, self.told = 0.0, list[str]()
        self.screen, self.watch = FakeScreen(can_wake=can_wake), FakeWatch()
        entries = [PrivateWindow(window_class="vault")]
        self.source = MaskedSource(self.screen, self.watch, entries, self.told.append, lambda: self.now_s)

    def put(self, area: Area) -> None:
        self.watch.windows = (window(VAULT, area),)
        self.screen.draw(area, SECRET)

    def secrets(self, area: Area = WHOLE) -> int:
        return int((self.source.grab(area)[..., :3] == SECRET).all(axis=-1).sum())


@pytest.fixture
def stage():
    made = Stage()
    yield made
    made.source.close()


def test_a_window_that_is_private_is_in_no_picture(stage):
    stage.put(PLACE)
    assert stage.secrets() == 0
    assert stage.secrets(Area(20, 20, 10, 10)) == 0


def test_what_a_private_window_paints_is_no_damage_and_what_lies_beside_it_is(stage):
    stage.put(PLACE)
    assert PLACE in stage.source.look().damage
    stage.screen.damage(Area(12, 12, 5, 5))
    assert stage.source.look().damage == ()
    stage.screen.damage(Area(0, 0, 20, 20))
    assert stage.source.look().damage == (Area(0, 0, 20, 20),)


def test_both_the_old_and_the_new_place_are_damage_so_the_picture_heals(stage):
    stage.put(PLACE)
    stage.source.look()
    stage.put(OTHER)
    assert OTHER in stage.source.look().damage
    stage.now_s += LINGER_S + 0.1
    assert stage.source.look().damage == (PLACE,)
    assert stage.source.look().damage == ()


def test_a_cover_that_only_one_picture_had_is_damage_at_the_next_look(stage):
    stage.source.look()
    stage.watch.windows = (window(words(8, "Editor"), THIRD, has_missed_titles=True),)
    stage.source.grab(Area(0, 0, 320, 200))
    stage.watch.windows = (window(words(8, "Editor"), THIRD),)
    assert stage.source.look().damage == (THIRD,)
    assert stage.source.look().damage == ()


def test_a_cover_that_came_with_a_part_of_the_picture_is_damage_as_a_whole(stage):
    stage.source.look()
    stage.watch.windows = (window(VAULT, PLACE),)
    stage.source.grab(Area(0, 0, 20, 20))
    assert stage.source.look().damage == (PLACE,)


def test_when_windows_cannot_be_told_any_more_everything_is_covered_and_the_reason_is_told_once(stage):
    stage.screen.draw(Area(0, 0, 320, 200), SECRET)
    stage.source.look()
    stage.watch.failure = "no answer"
    [area] = stage.source.look().damage
    assert area.common_with(Area(0, 0, 320, 200)) == Area(0, 0, 320, 200)
    assert stage.secrets() == 0
    stage.watch.failure = ""
    assert stage.secrets() == 0
    assert len(stage.told) == 1
    assert "no answer" in stage.told[0]


def test_a_window_that_comes_while_the_picture_is_read_is_not_in_it():
    watch = FakeWatch()

    class Late(FakeScreen):
        """The window is there when the pixels are read, and was not when the reading began."""

        def grab(self, area: Area):
            watch.windows = (window(VAULT, PLACE),)
            self.draw(PLACE, SECRET)
            return super().grab(area)

    source = MaskedSource(Late(), watch, [PrivateWindow(window_class="vault")], print)
    assert not (source.grab(Area(0, 0, 320, 200))[..., :3] == SECRET).all(axis=-1).any()
    source.close()


def test_an_area_that_is_not_on_the_desktop_is_still_none(stage):
    assert stage.source.grab(Area(300, 190, 100, 100)) is None


def test_a_source_that_cannot_wake_stays_one(stage):
    polled = Stage(can_wake=False)
    assert polled.source.wake_fd is None
    polled.put(PLACE)
    assert polled.secrets() == 0
    polled.source.close()
    polled.source.close()
