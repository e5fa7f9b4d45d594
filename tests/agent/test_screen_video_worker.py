"""The real worker with a video on a real X display: pictures, bits, processor time, memory, and the end."""

import time

import numpy as np
import psutil
import pytest

from protocol.limits import SCREEN_MESSAGE_LIMIT_BYTES
from protocol.messages.screen import Decodes, KeyframeWanted, Refresh
from tests.support.moving_pictures import text_lines, video_frame
from tests.support.video_viewer import VideoViewer
from tests.support.worker_host import WorkerHost, screen_worker
from tests.support.x_painter import XPainter, painter_on
from tests.support.xvfb import xvfb

__all__ = ["xvfb"]

pytestmark = pytest.mark.real
FRAME_S = 1 / 30
FRAMES = 20


class Film:
    """Frames made before, and shown at their time."""

    def __init__(self, painter: XPainter, x: int, y: int, size: tuple[int, int]) -> None:
        self.painter, self.x, self.y, self.size = painter, x, y, size
        self._frames = [video_frame(*size, number) for number in range(FRAMES)]
        self._number = 0

    def play(self, host: WorkerHost, for_s: float) -> None:
        """Show frames, and take what the worker sends meanwhile."""
        end_s = next_s = time.monotonic()
        end_s += for_s
        while time.monotonic() < end_s:
            self.painter.put(self.x, self.y, self._frames[self._number % FRAMES])
            self._number += 1
            next_s += FRAME_S
            # also on a slow machine there is time for what the worker sends
            host.run(max(0.01, next_s - time.monotonic()))


def watching(host: WorkerHost, *codecs: str) -> VideoViewer:
    """A viewer that decodes these codecs, with its first picture."""
    viewer = host.viewer = VideoViewer(list(codecs))
    host.send(Decodes(list(codecs)))
    assert host.run_until(lambda: bool(viewer.pictures) and viewer.pictures[-1].is_last)
    return viewer


def until_a_region(film: Film, host: WorkerHost, viewer: VideoViewer) -> None:
    """Play as long as it takes until the film is shown as video."""
    for _ in range(30):
        film.play(host, 1.5)
        if viewer.regions:
            return


def is_exact(viewer: VideoViewer, painter: XPainter) -> bool:
    return np.array_equal(viewer.canvas[..., 2::-1], painter.read_root()[..., :3])


def loads_av(pid: int) -> bool:
    return any("libavcodec" in mapped.path for mapped in psutil.Process(pid).memory_maps())


def resident_mib(pid: int) -> float:
    return psutil.Process(pid).memory_info().rss / (1 << 20)


def cpu_s(pid: int) -> float:
    return sum(psutil.Process(pid).cpu_times()[:2])


@pytest.mark.parametrize("codec", ["avc1.42E033", "vp8"])
@pytest.mark.parametrize("size", [(640, 360), (1280, 720)], ids=["360p", "720p"])
def test_a_video_plays_and_is_exact_when_it_stops(xvfb, codec, size):
    with painter_on(xvfb.display) as painter, screen_worker(xvfb.environment) as host:
        painter.move_pointer(1279, 799)
        viewer = watching(host, codec)
        place = (101, 67) if size == (640, 360) else (0, 40)
        film = Film(painter, *place, size)
        until_a_region(film, host, viewer)
        assert viewer.regions
        frames, received, used_s = len(viewer.video.frames), host.received_bytes, cpu_s(host.process.pid)
        began_s = time.monotonic()
        film.play(host, 3.0)
        took_s = time.monotonic() - began_s
        frames_per_s = (len(viewer.video.frames) - frames) / took_s
        kbit_s = (host.received_bytes - received) * 8 / 1000 / took_s
        cpu_percent = 100 * (cpu_s(host.process.pid) - used_s) / took_s
        memory_mib = resident_mib(host.process.pid)
        painter.sync()
        assert host.run_until(lambda: not viewer.regions, 3.0)
        host.run(0.3)
        figures = f"{frames_per_s:.1f}/s, {kbit_s:.0f} kbit/s, {cpu_percent:.0f} %, {memory_mib:.0f} MiB"
        print(f"{codec} {size[0]}x{size[1]}: {figures}")
        assert is_exact(viewer, painter)
        assert not viewer.failed_proofs
        assert frames_per_s > 2
        assert kbit_s < 20_000, "a film costs ten times that as exact tiles"
        assert memory_mib < 160


def test_text_scrolls_exactly_beside_a_video(xvfb):
    with painter_on(xvfb.display) as painter, screen_worker(xvfb.environment) as host:
        painter.move_pointer(1279, 799)
        viewer = watching(host, "vp8")
        film = Film(painter, 64, 64, (640, 360))
        until_a_region(film, host, viewer)
        for step in range(40):
            painter.put(800, 64, text_lines(400, 640, step))
            film.play(host, FRAME_S)
        assert viewer.regions
        host.run(0.1)
        root = painter.read_root()
        assert np.array_equal(viewer.canvas[:, 800:1200, 2::-1], root[:, 800:1200, :3])
        assert host.run_until(lambda: not viewer.regions, 3.0)
        host.run(0.3)
        assert is_exact(viewer, painter)


def test_a_session_without_video_never_loads_the_encoders(xvfb):
    with painter_on(xvfb.display) as painter, screen_worker(xvfb.environment) as host:
        watching(host, "vp8")
        for step in range(30):
            painter.put(64, 64, text_lines(800, 600, step * 5))
            host.run(FRAME_S)
        assert not loads_av(host.process.pid)
        film = Film(painter, 64, 64, (640, 360))
        assert any(film.play(host, 3.0) or loads_av(host.process.pid) for _ in range(4))


def test_a_keyframe_and_a_refresh_come_in_the_middle_of_a_video(xvfb):
    with painter_on(xvfb.display) as painter, screen_worker(xvfb.environment) as host:
        painter.move_pointer(1279, 799)
        viewer = watching(host, "vp8")
        film = Film(painter, 64, 64, (640, 360))
        until_a_region(film, host, viewer)
        keys = sum(frame.is_key for frame in viewer.video.frames)
        host.send(KeyframeWanted(max(viewer.regions)))
        film.play(host, 0.3)
        assert sum(frame.is_key for frame in viewer.video.frames) > keys
        host.send(Refresh())
        until_a_region(film, host, viewer)
        assert len(viewer.regions) == 1
        assert host.run_until(lambda: not viewer.regions, 3.0)
        host.run(0.3)
        assert is_exact(viewer, painter)
        assert max(len(frame.encoded) for frame in viewer.video.frames) < SCREEN_MESSAGE_LIMIT_BYTES
