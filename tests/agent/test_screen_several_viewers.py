"""Several viewers of one display, each with a worker of its own: none waits for another (decision 0012)."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from tests.agent.test_screen_narrow_link import turn_pages
from tests.support.shaped_link import ShapedLink
from tests.support.simulated_link import LOOPBACK, LinkProfile, megabits
from tests.support.worker_host import screen_worker
from tests.support.x_painter import painter_on
from tests.support.xvfb import start_xvfb

pytestmark = pytest.mark.real

SLOW = LinkProfile(0.300, megabits(2))
SLICE_S = 0.005
SETTLE_S, LOAD_S, REST_S = 2.0, 4.0, 8.0


def run_all(links: list[ShapedLink], for_s: float) -> None:
    """All of them at once, in turns that are short beside a picture."""
    end_s = time.monotonic() + for_s
    while time.monotonic() < end_s:
        for link in links:
            link.run(SLICE_S)


def test_a_slow_viewer_holds_up_no_fast_one_and_both_end_exact():
    with start_xvfb((1280, 720)) as server, painter_on(server.display) as painter:
        turning = threading.Event()
        turner = threading.Thread(target=turn_pages, args=(painter, turning))
        with screen_worker(server.environment) as near, screen_worker(server.environment) as far:
            fast, slow = ShapedLink(near, LOOPBACK), ShapedLink(far, SLOW)
            run_all([fast, slow], SETTLE_S)
            turner.start()
            try:
                run_all([fast, slow], LOAD_S)
                pictures = len(fast.shown), len(slow.shown)
            finally:
                turning.set()
                turner.join()
            # the slow one is two pictures behind at most, and then exact too
            run_all([fast, slow], REST_S)
            shown = painter.read_root()[..., :3]
            assert np.array_equal(fast.viewer.bgr(), shown)
            assert np.array_equal(slow.viewer.bgr(), shown)
    assert pictures[0] > 2 * pictures[1] > 0, pictures


def test_the_end_of_one_viewers_worker_is_the_end_of_no_other():
    with (
        start_xvfb((640, 480)) as server,
        painter_on(server.display) as painter,
        screen_worker(server.environment) as one,
        screen_worker(server.environment) as other,
    ):
        assert one.run_until(lambda: bool(one.viewer.pictures))
        assert other.run_until(lambda: bool(other.viewer.pictures))
        # as a revoke does
        os.kill(one.process.pid, signal.SIGKILL)
        one.process.wait(10)
        before = len(other.viewer.pictures)
        painter.put(0, 0, np.full((480, 640, 4), 77, np.uint8))
        assert other.run_until(lambda: len(other.viewer.pictures) > before)
        other.run(0.3)
        assert np.array_equal(other.viewer.bgr(), painter.read_root()[..., :3])
