"""What the real worker holds in memory at 1920x1080, its history full, without and with video."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from protocol.limits import ZSTD_WINDOW_LOG
from tests.agent.test_screen_video_worker import Film, watching
from tests.support.moving_pictures import text_lines
from tests.support.worker_host import WorkerHost, screen_worker
from tests.support.x_painter import XPainter, painter_on
from tests.support.xvfb import start_xvfb

pytestmark = pytest.mark.real
SIZE = (1920, 1080)
PICTURE_S = 1 / 30
EXACT_LIMIT_MIB = 100
NOISE_SIZE = (1900, 1000)
NOISE_MIB = NOISE_SIZE[0] * NOISE_SIZE[1] * 3 / (1 << 20)
"""A picture of noise does not compress: whole, as long as it waits for the socket, it may come on top."""
VIDEO_LIMIT_MIB = 160


@dataclass(frozen=True, slots=True)
class Held:
    """MiB. `proportional` counts what is shared in part; `largest` is the peak of `resident`."""

    resident: float
    proportional: float
    largest: float


def held_by(pid: int) -> Held:
    """What the kernel counts."""
    now = psutil.Process(pid).memory_full_info()
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    peak_kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    return Held(now.rss / (1 << 20), now.pss / (1 << 20), peak_kib / 1024)


def fill_history(host: WorkerHost, painter: XPainter) -> None:
    """More raw pixels than the stream remembers, none of which compress."""
    sent = 0
    while sent < 1.25 * (1 << ZSTD_WINDOW_LOG):
        noise = np.random.default_rng(sent).integers(0, 256, (*NOISE_SIZE[::-1], 4), dtype=np.uint8)
        before = host.received_bytes
        painter.put(0, 0, noise)
        assert host.run_until(lambda before=before: host.received_bytes - before > 4 << 20)
        sent += noise.size * 3 // 4
    host.run(0.5)


def scroll(host: WorkerHost, painter: XPainter) -> None:
    """Lines of text that move up, all over the display."""
    for step in range(40):
        painter.put(0, 0, text_lines(1900, 1000, step * 3))
        host.run(PICTURE_S)


def note(record_property, what: str, held: Held) -> None:
    """The figures, where a person and a program find them."""
    figures = f"{held.resident:.0f} resident, {held.proportional:.0f} proportional, peak {held.largest:.0f}"
    print(f"{what}, MiB: {figures}")
    record_property(f"{what}, MiB", held.largest)


def test_without_video_a_worker_holds_no_more_than_100_mib(record_property):
    with (
        start_xvfb(SIZE) as server,
        painter_on(server.display) as painter,
        screen_worker(server.environment) as host,
    ):
        assert host.run_until(lambda: host.viewer.cursor_place is not None)
        note(record_property, "idle", held_by(host.process.pid))
        fill_history(host, painter)
        scroll(host, painter)
        held = held_by(host.process.pid)
        note(record_property, "exact under load", held)
        assert held.resident <= EXACT_LIMIT_MIB
        assert held.largest <= EXACT_LIMIT_MIB + NOISE_MIB


@pytest.mark.parametrize(
    ("codec", "size"),
    [("avc1.42E033", SIZE), ("avc1.42E033", (1280, 720)), ("vp8", SIZE), ("vp8", (1280, 720))],
    ids=["H.264-1080p", "H.264-720p", "VP8-1080p", "VP8-720p"],
)
def test_with_a_video_a_worker_stays_within_its_limit(record_property, codec, size):
    with start_xvfb(SIZE) as server, painter_on(server.display) as painter:
        painter.move_pointer(SIZE[0] - 1, SIZE[1] - 1)
        with screen_worker(server.environment) as host:
            viewer = watching(host, codec, "jpeg")
            scroll(host, painter)
            Film(painter, 0, 0, size).play(host, 3.0)
            assert viewer.regions
            held = held_by(host.process.pid)
            note(record_property, f"{codec} {size[0]}x{size[1]}", held)
            assert held.largest <= VIDEO_LIMIT_MIB
