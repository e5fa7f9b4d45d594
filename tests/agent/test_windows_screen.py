"""The Windows source on a fake of dxcam: what the contract suite, which runs it as well, leaves open."""

import threading
import time

import numpy as np
import pytest

from agent.platform.interfaces import Area
from agent.platform.select import open_first, screen_candidates
from agent.platform.windows.screen import open_dxcam_screen, outputs_of
from protocol.errors import BackendUnavailable
from tests.support.fake_dxcam import FakeDxcam

LEFT, RIGHT = Area(-40, 10, 40, 30), Area(0, 0, 60, 50)


def test_the_primary_output_is_first_and_places_may_be_negative():
    source = open_dxcam_screen(FakeDxcam(LEFT, RIGHT, primary=1).bindings)
    assert [one.area for one in source.displays()] == [RIGHT, LEFT]
    source.close()


def test_only_the_output_with_a_new_picture_is_damaged():
    fake = FakeDxcam(LEFT, RIGHT)
    source = open_dxcam_screen(fake.bindings)
    source.look()
    fake.cameras[1].put(3, 4, np.full((5, 5, 4), 9, np.uint8))
    assert source.look().damage == (RIGHT,)
    assert not source.look().is_anything
    source.close()


def test_an_area_over_two_outputs_has_both_and_black_between_them():
    fake = FakeDxcam(LEFT, RIGHT)
    source = open_dxcam_screen(fake.bindings)
    fake.cameras[0].put(0, 0, np.full((30, 40, 4), 7, np.uint8))
    fake.cameras[1].put(0, 0, np.full((50, 60, 4), 9, np.uint8))
    grabbed = source.grab(Area(-40, 0, 100, 50))
    expected = np.zeros((50, 100, 4), np.uint8)
    expected[10:40, :40] = 7
    expected[:, 40:] = 9
    assert np.array_equal(grabbed, expected)
    assert source.grab(Area(-41, 0, 10, 10)) is None
    source.close()


def test_between_two_modes_nothing_of_the_old_picture_is_handed_out():
    fake = FakeDxcam(RIGHT)
    source = open_dxcam_screen(fake.bindings)
    fake.cameras[0].move_to(Area(0, 0, 30, 20))
    fake.cameras[0].has_news = False
    assert source.look().are_displays_new
    assert source.displays()[0].area == Area(0, 0, 30, 20)
    assert source.grab(Area(0, 0, 30, 20)) is None


def test_a_lost_output_is_a_lost_screen_and_everything_is_released():
    fake = FakeDxcam(LEFT, RIGHT)
    source = open_dxcam_screen(fake.bindings)
    fake.cameras[1].is_lost = True
    with pytest.raises(BackendUnavailable, match="cannot read the screen any more"):
        source.look()
    source.close()
    assert all(one.is_released for one in fake.cameras)


def test_names_and_scales_are_those_of_windows():
    fake = FakeDxcam(LEFT, RIGHT)
    fake.cameras[0].scale, fake.cameras[1].scale = 1.5, 0
    source = open_dxcam_screen(fake.bindings)
    assert [(one.name, one.scale) for one in source.displays()] == [("DISPLAY1", 1.5), ("DISPLAY2", 1.0)]
    fake.cameras[0].scale = 2.0
    assert source.look().are_displays_new
    source.close()


def test_dxcam_is_never_called_on_the_caller_s_thread_where_it_would_take_over_a_signal():
    fake = FakeDxcam(LEFT, RIGHT)
    open_dxcam_screen(fake.bindings).close()
    assert len(fake.threads) == 2
    assert threading.get_ident() not in fake.threads


def test_while_windows_shows_its_secure_desktop_the_last_picture_stays_and_then_the_new_one_comes():
    fake = FakeDxcam(RIGHT)
    source = open_dxcam_screen(fake.bindings, lambda: 0.0)
    source.look()
    fake.cameras[0].may_go_on.clear()
    fake.cameras[0].put(0, 0, np.full((1, 1, 4), 9, np.uint8))
    assert not source.look().is_anything
    assert source.grab(Area(0, 0, 1, 1)).tolist() == [[[0] * 4]]
    fake.cameras[0].may_go_on.set()
    assert source.grab(Area(0, 0, 1, 1)) is not None
    deadline_s = time.monotonic() + 3
    while not (damage := source.look().damage):
        assert time.monotonic() < deadline_s
    assert damage == (RIGHT,)
    assert source.grab(Area(0, 0, 1, 1)).tolist() == [[[9] * 4]]
    source.close()


def test_a_screen_that_is_withheld_for_minutes_is_lost_with_what_to_do():
    now_s = [0.0]
    fake = FakeDxcam(RIGHT)
    source = open_dxcam_screen(fake.bindings, lambda: now_s[0])
    fake.cameras[0].may_go_on.clear()
    source.look()
    now_s[0] = 149.0
    source.look()
    now_s[0] = 150.0
    with pytest.raises(BackendUnavailable, match="unlock the session"):
        source.look()
    source.close()
    fake.cameras[0].may_go_on.set()


def test_an_unplugged_output_leaves_the_others_and_is_released_when_dxcam_lets_go():
    fake = FakeDxcam(LEFT, RIGHT)
    source = open_dxcam_screen(fake.bindings)
    fake.cameras[0].unplug()
    assert source.look().are_displays_new
    assert [one.name for one in source.displays()] == ["DISPLAY2"]
    assert not source.look().are_displays_new
    fake.cameras[1].unplug()
    with pytest.raises(BackendUnavailable, match="unplugged or switched off"):
        source.look()
    source.close()
    for camera in fake.cameras:
        camera.may_go_on.set()
    deadline_s = time.monotonic() + 3
    while not all(one.is_released for one in fake.cameras):
        assert time.monotonic() < deadline_s


def test_an_output_that_dxcam_replaced_by_another_is_not_shown_under_its_name():
    fake = FakeDxcam(LEFT, RIGHT)
    source = open_dxcam_screen(fake.bindings)
    fake.cameras[0]._output.devicename = fake.cameras[1]._output.devicename
    source.look()
    assert [one.area for one in source.displays()] == [RIGHT]
    source.close()


def test_a_refusal_at_the_start_has_a_remedy_and_releases_what_was_open():
    fake = FakeDxcam(LEFT, RIGHT)
    fake.cameras[1].is_lost = True
    with pytest.raises(BackendUnavailable):
        open_dxcam_screen(fake.bindings)
    assert all(one.is_released for one in fake.cameras)


def test_without_an_output_the_reason_is_said():
    with pytest.raises(BackendUnavailable, match="shows no display"):
        open_dxcam_screen(FakeDxcam().bindings)


def test_lines_that_name_no_output_are_left_out():
    said = (
        "nothing\nDevice[0] Output[0]: Res:(1, 2) Rot:0 Primary:False\n"
        "Device[1] Output[2]: Res:(3, 4) Rot:90 Primary:True\n"
    )
    assert outputs_of(said) == [(1, 2), (0, 0)]


def test_on_windows_dxcam_comes_before_mss_and_its_absence_is_explained():
    candidates = screen_candidates("windows", {})
    assert [one.name for one in candidates] == ["dxcam", "mss"]
    with pytest.raises(BackendUnavailable, match="dxcam: dxcam cannot be loaded"):
        open_first(candidates, "dxcam")
