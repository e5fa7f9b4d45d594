"""The Windows source on a fake of dxcam: what the contract suite, which runs it as well, leaves open."""

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
