"""Every screen source that can run here does what `ScreenSource` says; the fake as well."""

import os
import select
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agent.capabilities.screen.worker import open_masked
from agent.platform.interfaces import Area, Noticed, ScreenSource
from agent.platform.select import open_screen
from protocol.errors import BackendUnavailable
from tests.support.screen_stages import MASK, PRIVATE, SETTINGS, SIZE, Setting, Stage, served
from tests.support.x_painter import painter_on
from tests.support.xvfb import shared_segments_of, start_xvfb

pytestmark = [pytest.mark.real, pytest.mark.beside]


@pytest.fixture(params=SETTINGS)
def setting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    chosen = SETTINGS[request.param]
    with served(chosen, monkeypatch):
        yield chosen


@pytest.fixture
def stage(setting: Setting) -> Iterator[Stage]:
    with setting.stage(setting.name) as ready:
        yield ready


def pattern(width: int, height: int, seed: int = 1) -> np.ndarray:
    made = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    made[..., 3] = 0
    return made


def settle(source: ScreenSource) -> None:
    """Take what the start itself changed."""
    for _ in range(5):
        source.look()
        time.sleep(0.02)


def look_until(source: ScreenSource, has_come, limit_s: float = 3.0) -> Noticed:
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        if source.wake_fd is not None:
            select.select([source.wake_fd], [], [], 0.05)
        noticed = source.look()
        if has_come(noticed):
            return noticed
    raise AssertionError("the source did not notice it")


def is_covered(area: Area, damage: tuple[Area, ...]) -> bool:
    mask = np.zeros((area.height, area.width), np.bool_)
    for one in damage:
        cut = one.common_with(area)
        if cut is not None:
            mask[cut.y - area.y : cut.bottom - area.y, cut.x - area.x : cut.right - area.x] = True
    return bool(mask.all())


def test_the_displays_are_the_desktop_s(stage):
    shown = stage.source.displays()
    assert [one.area for one in shown] == [Area(0, 0, *SIZE)]
    assert all(one.name and one.scale > 0 for one in shown)


def test_what_is_grabbed_is_what_was_drawn(stage):
    drawn = pattern(200, 120)
    stage.painter.put(33, 71, drawn)
    grabbed = stage.source.grab(Area(33, 71, 200, 120))
    assert np.array_equal(grabbed[..., :3], drawn[..., :3])


def test_a_part_of_the_desktop_is_cut_at_the_right_place(stage):
    drawn = pattern(200, 120)
    stage.painter.put(0, 0, drawn)
    grabbed = stage.source.grab(Area(17, 5, 64, 1))
    assert np.array_equal(grabbed[..., :3], drawn[5:6, 17:81, :3])


def test_what_the_caller_writes_into_a_picture_is_not_in_the_next(stage):
    drawn = pattern(64, 32)
    stage.painter.put(10, 20, drawn)
    grabbed = stage.source.grab(Area(10, 20, 64, 32))
    if grabbed.flags.writeable:
        grabbed[:] = 0
    again = stage.source.grab(Area(10, 20, 64, 32))
    assert np.array_equal(again[..., :3], drawn[..., :3])


def test_an_area_outside_of_the_desktop_is_none_and_the_next_one_works(stage):
    assert stage.source.grab(Area(600, 400, 100, 100)) is None
    assert stage.source.grab(Area(0, 0, 10, 10)).shape == (10, 10, 4)


def test_damage_comes_after_drawing_and_covers_it(stage):
    settle(stage.source)
    stage.painter.put(300, 200, pattern(40, 30))
    noticed = look_until(stage.source, lambda one: one.damage)
    assert is_covered(Area(300, 200, 40, 30), noticed.damage)


def test_a_source_that_can_wake_us_is_silent_while_nothing_changes(stage):
    if stage.source.wake_fd is None and not stage.tells_news:
        assert stage.source.look().damage, "a source that cannot tell must name everything each time"
        return
    settle(stage.source)
    if stage.source.wake_fd is not None:
        assert select.select([stage.source.wake_fd], [], [], 0.3)[0] == []
    assert not stage.source.look().is_anything


def test_drawing_between_two_looks_is_noticed_once(stage):
    if stage.source.wake_fd is None and not stage.tells_news:
        return
    settle(stage.source)
    for seed in range(20):
        stage.painter.put(seed, seed, pattern(30, 30, seed))
    look_until(stage.source, lambda one: one.damage)
    settle(stage.source)
    assert not stage.source.look().is_anything


def test_another_cursor_shape_is_noticed(stage):
    before = stage.source.cursor()
    assert (before is None) == stage.has_no_cursor
    if before is None:
        return
    settle(stage.source)
    stage.painter.move_pointer(100, 100)
    stage.painter.set_cursor(68)
    look_until(stage.source, lambda one: one.is_cursor_new)
    after = stage.source.cursor()
    assert after.image is not before.image
    assert after.image.rgba != before.image.rgba
    assert len(after.image.rgba) == after.image.width * after.image.height * 4
    assert stage.source.cursor().image is after.image


def test_a_moved_pointer_wakes_us_and_has_the_new_place(stage):
    if stage.source.cursor() is None:
        return
    settle(stage.source)
    stage.painter.move_pointer_by_device(123, 45)
    look_until(stage.source, lambda one: one.is_cursor_new)
    cursor = stage.source.cursor()
    assert (cursor.x, cursor.y) == (123, 45)


def test_another_desktop_size_is_noticed_and_can_be_grabbed(stage):
    settle(stage.source)
    refusal = stage.painter.resize_screen(512, 384)
    if refusal:
        pytest.skip(f"this X server must be able to change its size by RandR (it said {refusal})")
    look_until(stage.source, lambda one: one.are_displays_new)
    assert [one.area for one in stage.source.displays()] == [Area(0, 0, 512, 384)]
    assert stage.source.grab(Area(0, 0, 512, 384)).shape == (384, 512, 4)
    assert stage.source.grab(Area(0, 0, *SIZE)) is None


def test_a_source_may_be_closed_twice(stage):
    stage.source.close()
    stage.source.close()


def test_fifty_times_open_and_close_leave_nothing_open(setting):
    def once() -> None:
        with setting.stage(setting.name) as ready:
            ready.source.look()
            ready.source.grab(Area(0, 0, 64, 64))

    once()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        once()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    assert shared_segments_of(os.getpid()) == 0


@pytest.mark.parametrize("name", ["xcffib", "mss", "masked xcffib", "masked mss"])
def test_a_server_that_dies_is_a_lost_screen_and_no_crash(name, monkeypatch):
    with start_xvfb(SIZE) as server:
        monkeypatch.setenv("DISPLAY", server.display)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        source = open_masked(name.removeprefix(MASK), PRIVATE if name.startswith(MASK) else [])
    with pytest.raises(BackendUnavailable):
        source.grab(Area(0, 0, 64, 64))
    source.close()
    source.close()


@pytest.mark.parametrize("name", ["xcffib", "mss"])
def test_a_display_that_does_not_exist_is_refused_with_a_remedy(name, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":54321")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(BackendUnavailable) as refused:
        open_screen(name)
    assert "start the agent inside the person's graphical session" in refused.value.detail


def test_a_depth_that_we_cannot_read_is_refused_with_a_remedy(monkeypatch):
    with start_xvfb(SIZE, depth=16) as server:
        monkeypatch.setenv("DISPLAY", server.display)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        with pytest.raises(BackendUnavailable) as refused:
            open_screen("xcffib")
        assert "depth is 16; set it to 24" in refused.value.detail


def test_the_painter_itself_reads_back_what_it_drew():
    """Without this, equal pictures could both be empty."""
    with start_xvfb(SIZE) as server, painter_on(server.display) as painter:
        drawn = pattern(*SIZE)
        painter.put(0, 0, drawn)
        assert np.array_equal(painter.read_root()[..., :3], drawn[..., :3])
