"""The X11 source where the server does not take the memory that it offers: one refusal after the other."""

import os
import shutil

import numpy as np
import pytest

from agent.platform.interfaces import Area
from agent.platform.x11.readers import SharedWay
from agent.platform.x11.screen import X11Screen
from protocol.errors import BackendUnavailable
from tests.support.x_painter import XPainter, painter_on
from tests.support.x_relay import bytes_only
from tests.support.x_source import opened_by
from tests.support.xvfb import start_xvfb

pytestmark = [pytest.mark.real, pytest.mark.beside]

SIZE = (640, 480)
NO_FILE = "not MIT-SHM by file descriptor: the server cannot attach our memory: MatchError"
NO_SEGMENT = "not MIT-SHM by System V segment: the server cannot attach our memory: AccessError"


def is_exact(source: X11Screen, painter: XPainter) -> bool:
    """Twice, with other pixels each time, so that old ones would be noticed."""
    for seed in (1, 2):
        drawn = np.random.default_rng(seed).integers(0, 256, (*SIZE[::-1], 4), dtype=np.uint8)
        painter.put(0, 0, drawn)
        if not np.array_equal(source.grab(Area(0, 0, *SIZE))[..., :3], drawn[..., :3]):
            return False
    return True


def elsewhere() -> tuple[str, ...]:
    """Runs a server that finds no System V segment of ours, as one in another container."""
    as_person = () if os.getuid() == 0 else ("--user", "--map-current-user")
    if shutil.which("unshare") is None:
        pytest.skip("unshare must be installed: apt-get install util-linux")
    return ("unshare", *as_person, "--ipc")


def test_a_descriptor_that_gets_lost_is_refused_by_the_server_and_a_segment_taken():
    with (
        start_xvfb(SIZE) as server,
        painter_on(server.display) as painter,
        bytes_only(server.display) as display,
        opened_by(display) as source,
    ):
        assert source.detail == f"X11, MIT-SHM by System V segment, because: {NO_FILE}"
        assert is_exact(source, painter)


def test_a_server_in_another_container_is_handed_a_descriptor_that_it_can_use():
    with (
        start_xvfb(SIZE, run_by=elsewhere()) as server,
        painter_on(server.display) as painter,
        opened_by(server.display) as source,
    ):
        assert source.detail == "X11, MIT-SHM by file descriptor"
        assert is_exact(source, painter)


def test_a_server_that_refuses_descriptor_and_segment_is_read_through_the_socket():
    with (
        start_xvfb(SIZE, run_by=elsewhere()) as server,
        painter_on(server.display) as painter,
        bytes_only(server.display) as display,
        opened_by(display) as source,
    ):
        assert source.detail == f"X11, GetImage, because: {NO_FILE}; {NO_SEGMENT}"
        assert is_exact(source, painter)


def test_over_tcp_neither_kind_of_memory_can_be_shared_and_both_reasons_are_said():
    with (
        start_xvfb(SIZE, extra=("-listen", "tcp")) as server,
        painter_on(server.display) as painter,
        opened_by(f"127.0.0.1{server.display}") as source,
    ):
        assert is_exact(source, painter)
        assert source.detail == (
            "X11, GetImage, because: not MIT-SHM by file descriptor: the server is reached by TCP, which "
            f"passes no descriptors; {NO_SEGMENT}"
        )


def test_without_shared_memory_the_reason_is_kept_and_the_pixels_are_the_same():
    with (
        start_xvfb(SIZE, extra=("-extension", "MIT-SHM")) as server,
        painter_on(server.display) as painter,
        opened_by(server.display) as source,
    ):
        assert source.detail == "X11, GetImage, because: the server has no MIT-SHM extension"
        assert is_exact(source, painter)


def test_where_no_way_to_share_works_each_one_s_reason_is_said():
    def refuse(desk: object, server_segment: int, size_bytes: int):
        raise BackendUnavailable(f"{size_bytes} bytes are too many")

    ways = (SharedWay("one way", refuse), SharedWay("another way", refuse))
    with start_xvfb(SIZE) as server, opened_by(server.display, ways) as source:
        assert source.detail == (
            "X11, GetImage, because: not one way: 1228800 bytes are too many; "
            "not another way: 1228800 bytes are too many"
        )
        assert source.grab(Area(0, 0, 9, 9)).shape == (9, 9, 4)
