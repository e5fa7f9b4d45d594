"""The X11 source on real X servers: every way to read pixels, ten-bit colours, displays that come and go."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from agent.platform.interfaces import Area, Noticed
from agent.platform.x11.bindings import load_bindings
from agent.platform.x11.readers import BY_FILE, BY_SYSTEM_V
from agent.platform.x11.screen import X11Screen, open_x11_screen
from protocol.errors import BackendUnavailable
from tests.support.x_painter import XPainter, painter_on
from tests.support.x_source import opened_by
from tests.support.xorg import start_xorg, xrandr
from tests.support.xvfb import Xvfb, start_xvfb

pytestmark = [pytest.mark.real, pytest.mark.beside]

SIZE = (640, 480)
WAYS = {
    "X11, MIT-SHM by file descriptor": (BY_FILE,),
    "X11, MIT-SHM by System V segment": (BY_SYSTEM_V,),
    "X11, GetImage": (),
}
SERVERS = {"Xvfb": start_xvfb, "Xorg": start_xorg}


@contextmanager
def opened(server: Xvfb) -> Iterator[X11Screen]:
    source = open_x11_screen(server.display)
    try:
        for _ in range(5):
            source.look()
            time.sleep(0.02)
        yield source
    finally:
        source.close()


def hide_cursor(painter: XPainter) -> None:
    """As programs do it: a shape without an opaque pixel."""
    painter.set_colour_cursor(np.zeros((1, 1), np.uint32), (0, 0))


def pattern(width: int, height: int) -> np.ndarray:
    made = np.random.default_rng(1).integers(0, 256, (height, width, 4), dtype=np.uint8)
    made[..., 3] = 0
    return made


def look_until(source: X11Screen, has_come: Callable[[Noticed], bool]) -> Noticed:
    deadline_s = time.monotonic() + 3.0
    while time.monotonic() < deadline_s:
        noticed = source.look()
        if has_come(noticed):
            return noticed
        time.sleep(0.02)
    raise AssertionError("the source did not notice it")


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("detail", WAYS)
def test_each_way_gives_the_pixels_that_were_drawn_and_says_its_name(detail, server):
    with (
        SERVERS[server](SIZE) as started,
        painter_on(started.display) as painter,
        opened_by(started.display, WAYS[detail]) as source,
    ):
        drawn = pattern(*SIZE)
        painter.put(0, 0, drawn)
        assert source.detail == detail
        assert np.array_equal(source.grab(Area(0, 0, *SIZE))[..., :3], drawn[..., :3])
        assert np.array_equal(source.grab(Area(30, 7, 5, 3))[..., :3], drawn[7:10, 30:35, :3])


@pytest.mark.parametrize("detail", WAYS)
def test_each_way_reads_a_desktop_that_grew_and_one_that_shrank(detail):
    with (
        start_xvfb(SIZE) as started,
        painter_on(started.display) as painter,
        opened_by(started.display, WAYS[detail]) as source,
    ):
        for size in ((320, 240), SIZE):
            assert painter.resize_screen(*size) == ""
            drawn = pattern(*size)
            painter.put(0, 0, drawn)
            assert np.array_equal(source.grab(Area(0, 0, *size))[..., :3], drawn[..., :3])


def test_a_desktop_larger_than_at_the_start_is_read_whole():
    with start_xorg(SIZE) as started, opened(started) as source:
        xrandr(started.display, "--addmode", "DUMMY1", "640x480")
        xrandr(started.display, "--output", "DUMMY1", "--mode", "640x480", "--right-of", "DUMMY0")
        with painter_on(started.display) as painter:
            drawn = pattern(1280, 480)
            painter.put(0, 0, drawn)
            assert np.array_equal(source.grab(Area(0, 0, 1280, 480))[..., :3], drawn[..., :3])


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("detail", WAYS)
def test_ten_bit_colours_are_cut_to_eight(detail, server):
    with (
        SERVERS[server](SIZE, depth=30) as started,
        painter_on(started.display) as painter,
        opened_by(started.display, WAYS[detail]) as source,
    ):
        words = np.random.default_rng(2).integers(0, 1 << 30, (48, 64), dtype=np.uint32)
        painter.put_words(0, 0, words.view(np.uint8).reshape(48, 64, 4))
        expected = np.stack([(words >> shift) & 0xFF for shift in (2, 12, 22)], axis=-1)
        assert np.array_equal(source.grab(Area(0, 0, 64, 48))[..., :3], expected)
        assert source.detail == f"{detail}, 10-bit colours cut to 8"


@pytest.mark.parametrize("server", SERVERS)
def test_a_monitor_that_is_set_by_hand_is_noticed_and_named(server):
    with SERVERS[server](SIZE) as started, opened(started) as source:
        xrandr(started.display, "--setmonitor", "left", "320/100x480/100+0+0", "none")
        look_until(source, lambda noticed: noticed.are_displays_new)
        areas = {one.name: one.area for one in source.displays()}
        assert areas["left"] == Area(0, 0, 320, 480)
        xrandr(started.display, "--delmonitor", "left")
        look_until(source, lambda noticed: noticed.are_displays_new)
        assert [one.area for one in source.displays()] == [Area(0, 0, *SIZE)]


def test_a_second_screen_that_is_plugged_in_and_out_again_is_followed():
    with start_xorg(SIZE) as started, opened(started) as source:
        xrandr(started.display, "--addmode", "DUMMY1", "640x480")
        xrandr(started.display, "--output", "DUMMY1", "--mode", "640x480", "--right-of", "DUMMY0")
        look_until(source, lambda noticed: noticed.are_displays_new)
        assert [(one.name, one.area) for one in source.displays()] == [
            ("DUMMY0", Area(0, 0, 640, 480)),
            ("DUMMY1", Area(640, 0, 640, 480)),
        ]
        xrandr(started.display, "--output", "DUMMY1", "--primary")
        look_until(source, lambda noticed: noticed.are_displays_new)
        assert source.displays()[0].name == "DUMMY1"
        xrandr(started.display, "--output", "DUMMY1", "--off")
        look_until(source, lambda noticed: noticed.are_displays_new)
        assert [one.name for one in source.displays()] == ["DUMMY0"]


def test_when_the_only_screen_is_switched_off_the_desktop_is_still_shown_and_the_screen_comes_back():
    with start_xorg(SIZE) as started, opened(started) as source:
        xrandr(started.display, "--output", "DUMMY0", "--off")
        look_until(source, lambda noticed: noticed.are_displays_new)
        (whole,) = source.displays()
        assert whole.name == "screen"
        assert source.grab(whole.area).shape == (whole.area.height, whole.area.width, 4)
        xrandr(started.display, "--output", "DUMMY0", "--mode", "640x480")
        look_until(source, lambda noticed: noticed.are_displays_new)
        assert [(one.name, one.area) for one in source.displays()] == [("DUMMY0", Area(0, 0, *SIZE))]


def test_a_server_without_randr_has_one_display_that_is_read_exactly():
    with (
        start_xvfb(SIZE, extra=("-extension", "RANDR")) as started,
        painter_on(started.display) as painter,
        opened(started) as source,
    ):
        assert [(one.name, one.area) for one in source.displays()] == [("screen", Area(0, 0, *SIZE))]
        drawn = pattern(*SIZE)
        painter.put(0, 0, drawn)
        look_until(source, lambda noticed: noticed.damage)
        assert np.array_equal(source.grab(Area(0, 0, *SIZE))[..., :3], drawn[..., :3])


@pytest.mark.parametrize("extension", ["DAMAGE", "XFIXES"])
def test_a_server_without_an_extension_that_is_needed_is_refused_by_its_name(extension):
    with start_xvfb(SIZE, extra=("-extension", extension)) as started:
        with pytest.raises(BackendUnavailable) as refused:
            open_x11_screen(started.display)
        assert f"no {extension} extension; switch it on" in refused.value.detail


def test_another_mode_is_noticed_and_its_picture_is_exact():
    with start_xorg((1024, 768)) as started, opened(started) as source:
        for mode in ((800, 600), (1024, 768)):
            xrandr(started.display, "--output", "DUMMY0", "--mode", f"{mode[0]}x{mode[1]}")
            look_until(source, lambda noticed: noticed.are_displays_new)
            assert [one.area for one in source.displays()] == [Area(0, 0, *mode)]
            with painter_on(started.display) as painter:
                drawn = pattern(*mode)
                painter.put(0, 0, drawn)
                assert np.array_equal(source.grab(Area(0, 0, *mode))[..., :3], drawn[..., :3])


@pytest.mark.parametrize("server", SERVERS)
def test_a_cursor_without_an_opaque_pixel_is_hidden_and_comes_back(server):
    with SERVERS[server](SIZE) as started, painter_on(started.display) as painter, opened(started) as source:
        painter.move_pointer(100, 100)
        painter.set_cursor(68)
        look_until(source, lambda noticed: noticed.is_cursor_new)
        shown = source.cursor().image
        assert shown.width > 0
        hide_cursor(painter)
        look_until(source, lambda noticed: noticed.is_cursor_new)
        assert source.cursor().image.width == 0
        painter.set_cursor(68)
        look_until(source, lambda noticed: noticed.is_cursor_new)
        assert source.cursor().image.rgba == shown.rgba


def test_a_cursor_s_hot_spot_and_half_transparent_pixels_arrive_as_they_were_drawn():
    with start_xvfb(SIZE) as started, painter_on(started.display) as painter, opened(started) as source:
        painter.move_pointer(100, 100)
        # red, half transparent; premultiplied, as the Render extension wants it
        painter.set_colour_cursor(np.full((5, 3), 0x80800000, np.uint32), (2, 4))
        look_until(source, lambda noticed: noticed.is_cursor_new)
        image = source.cursor().image
        assert (image.width, image.height, image.hot_x, image.hot_y) == (3, 5, 2, 4)
        assert image.rgba == bytes([255, 0, 0, 128]) * 15


def test_a_program_that_hides_the_pointer_by_xfixes_is_not_known_to_others():
    """What README.md of the screen says about it; a server that tells others makes this fail."""
    with start_xvfb(SIZE) as started, opened(started) as source:
        shown = source.cursor().image
        bindings = load_bindings()
        program = bindings.xcffib.connect(display=started.display)
        xfixes = program(bindings.xfixes.key)
        xfixes.QueryVersion(4, 0).reply()
        xfixes.HideCursor(program.get_setup().roots[0].root, is_checked=True).check()
        assert not source.look().is_anything
        with opened(started) as another:
            assert another.cursor().image == shown
        program.disconnect()


def test_the_way_that_the_server_makes_the_memory_would_break_the_connection():
    """Why AttachFd and not CreateSegment; once libxcb and xcffib can do it, this fails and says so."""
    with start_xvfb(SIZE) as server:
        bindings = load_bindings()
        connection = bindings.xcffib.connect(display=server.display)
        asked = connection(bindings.shm.key).CreateSegment(connection.generate_id(), 4096, False)
        with pytest.raises(bindings.xcffib.ConnectionException):
            connection.wait_for_reply(asked.sequence)
