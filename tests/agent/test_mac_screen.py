"""The macOS source on a fake of its frameworks: what the contract suite leaves open, which runs it too."""

import select

import numpy as np
import pytest

from agent.platform.interfaces import Area
from agent.platform.macos.screen import open_mac_screen
from agent.platform.select import open_first, screen_candidates
from protocol.errors import BackendUnavailable
from tests.support.fake_mac import AUDIO, IDLE, FakeDisplay, FakeMac, FakeRect


def test_the_main_display_is_first_and_sizes_are_in_pixels():
    mac = FakeMac(FakeDisplay(5, Area(-40, 0, 40, 30)), FakeDisplay(1, Area(0, 0, 60, 50), scale=2))
    source = open_mac_screen(mac.bindings)
    assert [(one.area, one.scale) for one in source.displays()] == [
        (Area(0, 0, 120, 100), 2.0),
        (Area(-40, 0, 40, 30), 1.0),
    ]
    source.close()
    assert not any(stream.is_running for stream in mac.streams)


def test_only_the_display_with_a_new_picture_is_damaged_and_it_wakes_us():
    mac = FakeMac(FakeDisplay(1, Area(0, 0, 60, 50)), FakeDisplay(2, Area(60, 0, 40, 30)))
    source = open_mac_screen(mac.bindings)
    source.look()
    assert select.select([source.wake_fd], [], [], 0)[0] == []
    drawn = np.full((5, 6, 4), 9, np.uint8)
    mac.put(2, 3, 4, drawn)
    assert select.select([source.wake_fd], [], [], 0)[0] == [source.wake_fd]
    assert source.look().damage == (Area(63, 4, 6, 5),)
    assert np.array_equal(source.grab(Area(63, 4, 6, 5)), drawn)
    assert mac.locked == 0
    source.close()


def looked(scale: int = 1, **sample) -> tuple[Area, ...]:
    """The damage of one more sample of a display of 60 x 50 points."""
    mac = FakeMac(FakeDisplay(1, Area(0, 0, 60, 50), scale=scale))
    source = open_mac_screen(mac.bindings, lambda: 0.0)
    source.look()
    mac.streams[0].emit(**sample)
    damage = source.look().damage
    source.close()
    return damage


def test_a_changed_rectangle_is_named_as_pixels_and_as_points_on_a_display_of_high_density():
    rectangle = FakeRect(Area(3, 4, 6, 5))
    for dirty in (rectangle.as_dictionary, rectangle.as_value):
        assert set(looked(scale=2, dirty=[dirty])) == {Area(3, 4, 6, 5), Area(6, 8, 12, 10)}


@pytest.mark.parametrize(
    "dirty", [None, [], [{"no": "rectangle"}], [FakeRect(Area(0, 0, 1, 1)).as_value] * 65]
)
def test_where_the_changed_rectangles_cannot_be_told_the_whole_display_is_named(dirty):
    assert looked(dirty=dirty) == (Area(0, 0, 60, 50),)


def test_a_rectangle_is_cut_at_the_edge_of_the_display():
    assert looked(dirty=[FakeRect(Area(55, -5, 20, 10)).as_value]) == (Area(55, 0, 5, 5),)


def test_many_samples_between_two_looks_become_one_area():
    mac = FakeMac(FakeDisplay(1, Area(0, 0, 60, 50)))
    source = open_mac_screen(mac.bindings, lambda: 0.0)
    source.look()
    for number in range(65):
        mac.put(1, number % 50, 0, np.full((1, 1, 4), 9, np.uint8))
    assert source.look().damage == (Area(0, 0, 60, 50),)
    source.close()


def test_a_second_after_the_last_change_the_whole_display_is_named_once():
    now_s = [0.0]
    mac = FakeMac(FakeDisplay(1, Area(0, 0, 60, 50)))
    source = open_mac_screen(mac.bindings, lambda: now_s[0])
    source.look()
    mac.put(1, 3, 4, np.full((5, 6, 4), 9, np.uint8))
    assert source.look().damage == (Area(3, 4, 6, 5),)
    now_s[0] = 0.9
    assert not source.look().is_anything
    now_s[0] = 1.0
    assert source.look().damage == (Area(0, 0, 60, 50),)
    now_s[0] = 5.0
    assert not source.look().is_anything
    source.close()


def test_a_picture_that_cannot_be_locked_is_a_lost_screen_and_raises_nothing_on_the_system_s_thread():
    mac = FakeMac(FakeDisplay(1, Area(0, 0, 60, 50)))
    source = open_mac_screen(mac.bindings)
    mac.refuses_locks = True
    mac.streams[0].emit()
    with pytest.raises(BackendUnavailable, match="could not be read"):
        source.look()
    source.close()


@pytest.mark.parametrize("sample", [{"status": IDLE}, {"kind": AUDIO}], ids=["idle", "audio"])
def test_a_sample_without_a_new_picture_changes_nothing(sample):
    mac = FakeMac(FakeDisplay(1, Area(0, 0, 60, 50)))
    source = open_mac_screen(mac.bindings)
    source.look()
    mac.streams[0].emit(**sample)
    assert not source.look().is_anything
    source.close()


def test_a_capture_that_the_system_ends_is_a_lost_screen():
    mac = FakeMac(FakeDisplay(1, Area(0, 0, 60, 50)))
    source = open_mac_screen(mac.bindings)
    mac.streams[0].receiver.on_stop("the person stopped it")
    with pytest.raises(BackendUnavailable, match="the person stopped it"):
        source.look()
    source.close()


def test_a_display_that_is_unplugged_is_a_lost_screen():
    mac = FakeMac(FakeDisplay(1, Area(0, 0, 60, 50)))
    source = open_mac_screen(mac.bindings)
    mac.shown.clear()
    with pytest.raises(BackendUnavailable, match="unplugged"):
        source.look()
    source.close()


def test_without_permission_the_place_in_the_settings_is_named():
    with pytest.raises(BackendUnavailable, match=r"declined.*Screen & System Audio Recording"):
        open_mac_screen(FakeMac(refusal="declined").bindings)


def test_a_stream_that_takes_no_output_is_refused_with_the_system_s_words():
    mac = FakeMac(FakeDisplay(1, Area(0, 0, 60, 50)))
    mac.takes_outputs = False
    with pytest.raises(BackendUnavailable, match="no output taken"):
        open_mac_screen(mac.bindings)


def test_on_a_mac_screencapturekit_comes_before_mss_and_its_absence_is_explained():
    candidates = screen_candidates("macos", {})
    assert [one.name for one in candidates] == ["screencapturekit", "mss"]
    with pytest.raises(BackendUnavailable, match="ScreenCaptureKit cannot be loaded"):
        open_first(candidates, "screencapturekit")
