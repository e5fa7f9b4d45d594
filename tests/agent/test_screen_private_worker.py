"""Private windows through the real worker: what a viewer decodes, and when nothing is shown at all."""

import itertools
import random
import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from agent.capabilities.screen.worker import open_masked, share_screen
from agent.capabilities.screen.worker_link import WorkerLink
from agent.desktop.ipc_messages import TO_WORKER_CODEC, CoverWindows, StartScreen
from agent.desktop.screen_workers import ScreenWorkers, WorkerTerms
from protocol.errors import BackendUnavailable, ErrorCode
from protocol.messages.screen import Decodes, FromAgent, PicturePart, VideoFrame
from protocol.private_windows import PrivateWindow, decode_private_windows, encode_private_windows
from tests.support.moving_pictures import video_frame
from tests.support.secret_window import SecretProgram, secret_pixels, secret_program
from tests.support.video_viewer import VideoViewer
from tests.support.viewer import Viewer
from tests.support.worker_host import TICKET, WorkerHost, screen_worker
from tests.support.x_painter import painter_on
from tests.support.xvfb import xvfb

__all__ = ["xvfb"]
pytestmark = pytest.mark.real

VIDEO_CODEC = "vp8"
VAULT = PrivateWindow(window_class="Vault")


class WatchfulViewer(Viewer):
    """Looks at its canvas after every single message, and not only when a picture is complete."""

    def __init__(self) -> None:
        super().__init__()
        self.leaked = 0

    def show(self, message: FromAgent) -> int:
        shown = super().show(message)
        if self.frame.size:
            self.leaked += secret_pixels(self.frame[..., 2::-1])
        return shown


def listed(*entries: PrivateWindow) -> bytes:
    """What follows the ticket."""
    encoded = encode_private_windows(entries)
    return len(encoded).to_bytes(4, "big") + encoded


def drag_about(program: SecretProgram, window: int, host: WorkerHost) -> None:
    places = random.Random(11)
    for step in range(250):
        program.move(window, places.randrange(-50, 1200), places.randrange(-50, 750))
        if step % 50 == 20:
            program.hide(window)
            program.show(window)
        host.run(0.006)


@pytest.mark.parametrize("source", ["xcffib", "mss"])
def test_a_viewer_never_decodes_a_pixel_of_a_private_window(xvfb, source):
    with secret_program(xvfb.display) as program:
        window = program.open((100, 100, 150, 120), names=("Vault", "my passwords"))
        program.show(window)
        with screen_worker(xvfb.environment, source, listed(VAULT)) as host:
            viewer = host.viewer = WatchfulViewer()
            host.run_until(lambda: host.viewer.frame.size > 0)
            drag_about(program, window, host)
            assert len(viewer.pictures) > 20
            assert viewer.leaked == 0


class WatchfulVideoViewer(VideoViewer):
    """Looks at every frame of video for anything of the window's colour, which coding may have changed."""

    def __init__(self) -> None:
        super().__init__([VIDEO_CODEC])
        self.leaked = 0

    def show(self, message: FromAgent) -> int:
        shown = super().show(message)
        if isinstance(message, VideoFrame | PicturePart):
            red, blue = (self.canvas[..., channel].astype(np.int16) for channel in (0, 2))
            self.leaked += int((red - blue > 60).sum())
        return shown


@pytest.mark.parametrize("is_listed", [True, False], ids=["listed", "not listed"])
def test_in_a_region_of_video_a_window_shows_only_if_no_list_names_it(xvfb, is_listed):
    """The film is grey, and so are covers; the window has a strong colour, and moves about over the film."""
    films = [video_frame(640, 360, number) for number in range(20)]
    for film in films:
        film[..., :3] = film[..., 1:2]
    places = random.Random(5)
    with painter_on(xvfb.display) as painter, secret_program(xvfb.display) as program:
        window = program.open((150, 120, 120, 90), names=("Vault", ""))
        program.show(window)
        with screen_worker(xvfb.environment, after_ticket=listed(VAULT) if is_listed else b"") as host:
            viewer = host.viewer = WatchfulVideoViewer()
            host.send(Decodes([VIDEO_CODEC]))
            deadline_s = time.monotonic() + 60
            for step in itertools.count():
                if len(viewer.video.frames) > 30 or time.monotonic() > deadline_s:
                    break
                painter.put(100, 80, films[step % len(films)])
                if step % 4 == 0:
                    program.move(window, places.randrange(60, 700), places.randrange(60, 400))
                host.run(0.03)
            assert len(viewer.video.frames) > 20
            assert (viewer.leaked > 0) is not is_listed


def test_without_the_list_the_same_viewer_sees_it(xvfb):
    """Or the test above would prove nothing."""
    with secret_program(xvfb.display) as program:
        program.show(program.open((100, 100, 150, 120), names=("Vault", "my passwords")))
        with screen_worker(xvfb.environment) as host:
            viewer = host.viewer = WatchfulViewer()
            assert host.run_until(lambda: viewer.leaked >= 150 * 120)


def test_all_but_the_cover_is_exact_and_the_place_that_was_left_heals(xvfb):
    with painter_on(xvfb.display) as painter, secret_program(xvfb.display) as program:
        painter.put(0, 0, np.random.default_rng(2).integers(0, 256, (400, 600, 4), dtype=np.uint8))
        window = program.open((100, 100, 150, 120), names=("Vault", ""))
        program.show(window)
        with screen_worker(xvfb.environment, after_ticket=listed(VAULT)) as host:
            host.run_until(lambda: host.viewer.frame.size > 0)
            host.run(0.5)
            real, shown = painter.read_root()[..., :3], host.viewer.bgr()
            differing = (real != shown).any(axis=-1)
            assert differing[100:220, 100:250].all()
            differing[100:220, 100:250] = False
            assert not differing.any()
            program.hide(window)
            assert host.run_until(lambda: np.array_equal(host.viewer.bgr(), painter.read_root()[..., :3]))
            assert host.viewer.failed_proofs == []


def test_nothing_is_sent_while_only_a_private_window_paints(xvfb):
    with secret_program(xvfb.display) as program:
        window = program.open((100, 100, 150, 120), names=("Vault", ""))
        program.show(window)
        with screen_worker(xvfb.environment, after_ticket=listed(VAULT)) as host:
            host.run_until(lambda: host.viewer.cursor_place is not None)
            host.run(3.0)  # until every band has been proved
            before = host.received_bytes
            for step in range(40):
                program.paint(window, step)
                host.run(0.02)
            assert host.received_bytes == before


def cover(host: WorkerHost, *entries: PrivateWindow) -> None:
    """As the service."""
    host.link.send(TO_WORKER_CODEC.encode(CoverWindows(list(entries))))


@pytest.mark.parametrize("first", [(), (PrivateWindow(window_class="Other"),)])
def test_a_window_that_the_list_names_in_mid_session_is_painted_over_and_never_shows_again(xvfb, first):
    with secret_program(xvfb.display) as program:
        window = program.open((100, 100, 150, 120), names=("Vault", "my passwords"))
        program.show(window)
        with screen_worker(xvfb.environment, after_ticket=listed(*first) if first else b"") as host:
            viewer = host.viewer = WatchfulViewer()
            assert host.run_until(lambda: viewer.leaked >= 150 * 120)
            cover(host, VAULT)
            assert host.run_until(lambda: secret_pixels(viewer.bgr()) == 0)
            viewer.leaked = 0
            drag_about(program, window, host)
            assert viewer.leaked == 0
            cover(host, *first)
            assert host.run_until(lambda: secret_pixels(viewer.bgr()) > 0)


def test_where_windows_cannot_be_covered_from_now_on_nothing_more_is_shown(xvfb, monkeypatch):
    monkeypatch.setenv("DISPLAY", xvfb.display)
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    source = open_masked("xcffib", [])
    service, worker = socket.socketpair()
    link = WorkerLink(worker, TO_WORKER_CODEC.limit_bytes)
    order = TO_WORKER_CODEC.encode(CoverWindows([VAULT]))
    service.sendall(len(order).to_bytes(4, "big") + order)
    with service, worker, pytest.raises(BackendUnavailable) as refused:
        share_screen(link, source)
    assert refused.value.code is ErrorCode.E_SCREEN_PRIVATE


def test_where_windows_cannot_be_told_apart_nothing_is_shown_and_the_reason_is_said(xvfb):
    environment = xvfb.environment | {"WAYLAND_DISPLAY": "wayland-0"}
    with screen_worker(environment, after_ticket=listed(VAULT)) as host:
        assert host.run_until(lambda: host.viewer.failure != "")
        assert host.viewer.failure == "E_SCREEN_PRIVATE"
        assert host.viewer.pictures == []
        assert "windows cannot be told apart on: wayland" in host.wait()
        assert host.process.returncode == 6


@pytest.mark.parametrize(
    ("after_ticket", "status"),
    [
        (b"\0\0", 2),
        (listed(VAULT)[:-1], 2),
        (b"\0\0\0\5" + b"\xc1" * 5, 4),
        (b"\xff\xff\xff\xff" + bytes(1 << 17), 4),
    ],
)
def test_a_list_that_is_cut_or_malformed_starts_nothing(after_ticket, status, tmp_path):
    import subprocess

    argv = ["-I", "-m", "agent.capabilities.screen.worker", "--socket", "/nowhere", "--session", "s"]
    given = TICKET + after_ticket
    ran = subprocess.run([sys.executable, *argv], input=given, capture_output=True, check=False)
    assert ran.returncode == status
    assert ran.stderr.count(b"\n") == 1


def test_the_list_reaches_the_worker_on_standard_input_and_not_in_its_argv(tmp_path: Path):
    program = (
        "import pathlib, sys\n"
        "at = pathlib.Path(sys.argv[2])\n"
        "at.with_suffix('.argv').write_text(' '.join(sys.argv))\n"
        "at.with_suffix('.given').write_bytes(sys.stdin.buffer.read())\n"
        "at.with_suffix('.done').touch()\n"
    )
    ended = []
    terms = WorkerTerms(tmp_path / "agent.sock", (sys.executable, "-c", program))
    workers = ScreenWorkers(terms, ended.append)
    entries = [VAULT, PrivateWindow(title="*secret bank*")]
    workers.start(StartScreen("s1", TICKET, "auto", entries))
    deadline_s = time.monotonic() + 10
    while not (tmp_path / "agent.done").exists() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    workers.kill_all()
    given = (tmp_path / "agent.given").read_bytes()
    assert given[:32] == TICKET
    assert int.from_bytes(given[32:36], "big") == len(given[36:])
    assert list(decode_private_windows(given[36:])) == entries
    assert "secret" not in (tmp_path / "agent.argv").read_text()
