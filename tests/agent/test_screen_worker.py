"""The real worker process on a real X server, seen by a real decoder."""

import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from protocol.messages.screen import CursorShape, Displays, PicturePart, PictureSeen, Refresh, ShowDisplay
from tests.support.viewer import Viewer
from tests.support.worker_host import SESSION_ID, TICKET, screen_worker
from tests.support.x_painter import painter_on
from tests.support.xorg import start_xorg, xrandr
from tests.support.xvfb import start_xvfb, xvfb

__all__ = ["xvfb"]
pytestmark = pytest.mark.real


def is_equal(viewer: Viewer, painter) -> bool:
    return np.array_equal(viewer.bgr(), painter.read_root()[..., :3])


def noise(width: int, height: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)


def test_the_worker_says_who_it_is_and_then_shows_the_screen(xvfb):
    with screen_worker(xvfb.environment) as host:
        assert host.run_until(lambda: host.viewer.cursor_place is not None)
        assert (host.hello.session_id, host.hello.ticket) == (SESSION_ID, TICKET)
        kinds = [type(message) for _, message in host.messages]
        assert kinds[0] is Displays
        assert kinds.index(PicturePart) == 1
        assert CursorShape in kinds
        assert host.viewer.displays.source == "xcffib"
        assert host.viewer.frame.shape == (800, 1280, 4)


@pytest.mark.parametrize("source", ["xcffib", "mss"])
def test_after_drawing_and_quiet_the_viewer_has_every_pixel_of_the_server(xvfb, source):
    with painter_on(xvfb.display) as painter, screen_worker(xvfb.environment, source) as host:
        painter.move_pointer(1279, 799)
        painter.set_cursor(68)
        painter.put(100, 100, noise(300, 200, 1))
        for step in range(40):
            painter.scroll(16)
            painter.put(0, 780, noise(1270, 16, step))
            host.run(0.01)
        host.run(1.0)
        expected = painter.read_root()[:780, :1260, :3]
        assert np.array_equal(host.viewer.bgr()[:780, :1260], expected)
        if source == "xcffib":
            assert is_equal(host.viewer, painter)


@pytest.mark.skipif(shutil.which("xterm") is None, reason="xterm must be installed: apt-get install xterm")
def test_a_terminal_that_scrolls_is_shown_exactly():
    with start_xvfb((1920, 1080), has_openbox=True) as server:
        text = "sleep 2; for i in $(seq 1 9000); do echo line $i of a long listing; done; sleep 30"
        terminal = subprocess.Popen(
            ["xterm", "-geometry", "150x50", "-e", "sh", "-c", text], env=server.environment
        )
        try:
            with painter_on(server.display) as reader, screen_worker(server.environment) as host:
                reader.unmap()
                host.run(5.0)
                assert len({part.picture_no for part in host.viewer.pictures}) > 5
                assert is_equal(host.viewer, reader)
        finally:
            terminal.kill()
            terminal.wait()


@pytest.mark.skipif(shutil.which("xterm") is None, reason="xterm must be installed: apt-get install xterm")
def test_a_terminal_that_scrolls_is_copied_and_every_proof_holds():
    with start_xvfb((1920, 1080), has_openbox=True) as server:
        text = (
            "sleep 1; for i in $(seq 1500); do head -c 45 /dev/urandom | base64; sleep 0.03; done; sleep 30"
        )
        terminal = subprocess.Popen(
            ["xterm", "-geometry", "100x30", "-e", "sh", "-c", text], env=server.environment
        )
        try:
            with screen_worker(server.environment) as host:
                assert host.run_until(lambda: len(host.viewer.copies) > 30, 30.0)
                assert {copy.x - copy.to_x for copy in host.viewer.copies} == {0}
                host.run(4.0)
                assert host.viewer.proofs
                assert host.viewer.failed_proofs == []
        finally:
            terminal.kill()
            terminal.wait()


def test_a_wrong_pixel_in_the_viewer_is_noticed_healed_and_logged(xvfb):
    with painter_on(xvfb.display) as painter, screen_worker(xvfb.environment) as host:
        painter.put(0, 0, noise(400, 300, 7))
        host.run_until(lambda: host.viewer.frame.size > 0 and is_equal(host.viewer, painter))
        host.viewer.frame[150, 150, 0] ^= 1
        assert host.run_until(lambda: bool(host.viewer.failed_proofs))
        host.send(host.viewer.failed_proofs[0])
        resets = sum(part.is_reset for part in host.viewer.pictures)
        assert host.run_until(lambda: sum(part.is_reset for part in host.viewer.pictures) > resets)
        # everything anew is several pictures
        assert host.run_until(lambda: is_equal(host.viewer, painter))
        assert host.process.poll() is None
        host.process.terminate()
        assert "proofs failed: 1; everything is sent anew" in host.wait()


def test_nothing_is_sent_while_nothing_changes(xvfb):
    with screen_worker(xvfb.environment) as host:
        host.run_until(lambda: host.viewer.cursor_place is not None)
        host.run(3.0)  # until every band has been proved
        before = host.received_bytes
        host.run(1.5)
        assert host.received_bytes == before


def test_a_refresh_gives_a_new_viewer_everything(xvfb):
    with painter_on(xvfb.display) as painter, screen_worker(xvfb.environment) as host:
        painter.put(5, 5, noise(200, 200, 4))
        host.run_until(lambda: host.viewer.cursor_place is not None)
        # what is under way at a refresh would be the old viewer's
        host.run(0.5)
        host.viewer = Viewer()
        host.send(Refresh())
        assert host.run_until(lambda: host.viewer.cursor_place is not None)
        host.run(0.5)
        assert is_equal(host.viewer, painter)


def test_another_size_in_the_middle_is_followed(xvfb):
    with painter_on(xvfb.display) as painter, screen_worker(xvfb.environment) as host:
        host.run_until(lambda: host.viewer.cursor_place is not None)
        refusal = painter.resize_screen(1024, 700)
        if refusal:
            pytest.skip(f"this X server must be able to change its size by RandR (it said {refusal})")
        painter.put(0, 0, noise(900, 600, 5))
        assert host.run_until(lambda: host.viewer.frame.shape == (700, 1024, 4))
        host.run(0.5)
        assert is_equal(host.viewer, painter)


def test_a_viewer_that_paints_nothing_gets_two_pictures_and_then_the_newest(xvfb):
    with painter_on(xvfb.display) as painter, screen_worker(xvfb.environment) as host:
        host.acknowledges = False
        host.run_until(lambda: host.viewer.cursor_place is not None)
        for step in range(30):
            painter.put(0, 0, noise(300, 300, step))
            host.run(0.02)
        assert {part.picture_no for part in host.viewer.pictures} == {1, 2}
        host.acknowledges = True
        host.send(PictureSeen(2))
        host.run(0.5)
        assert is_equal(host.viewer, painter)


def test_the_worker_ends_at_once_when_the_socket_closes(xvfb):
    with screen_worker(xvfb.environment) as host:
        host.run_until(lambda: host.viewer.cursor_place is not None)
        started_s = time.monotonic()
        said = host.end()
        assert time.monotonic() - started_s < 0.25
        assert host.process.returncode == 0
        assert said == ""


def test_the_worker_ends_when_its_socket_closes_while_nobody_reads(xvfb):
    """A full socket must not keep it, and neither must a picture that is being made."""
    with painter_on(xvfb.display) as painter, screen_worker(xvfb.environment) as host:
        for step in range(20):
            painter.put(0, 0, noise(1280, 800, step))
        started_s = time.monotonic()
        host.end()
        assert time.monotonic() - started_s < 0.5


def test_a_stopped_worker_loop_does_not_keep_the_process(xvfb):
    """The watch is a thread of its own: SIGSTOP and SIGCONT stand for a loop that is stuck."""
    with screen_worker(xvfb.environment) as host:
        host.run_until(lambda: host.viewer.cursor_place is not None)
        host.process.send_signal(signal.SIGSTOP)
        host.connected.close()
        host.process.send_signal(signal.SIGCONT)
        host.process.wait(1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs prctl, so Linux")
def test_the_worker_dies_with_the_process_that_started_it(xvfb, tmp_path):
    path = str(tmp_path / "worker.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        program = (
            "import subprocess, sys, time\n"
            "argv = [sys.executable, '-I', '-m', 'agent.capabilities.screen.worker']\n"
            "argv += ['--socket', sys.argv[1], '--session', 's']\n"
            "child = subprocess.Popen(argv, stdin=subprocess.PIPE)\n"
            "child.stdin.write(bytes(32)); child.stdin.close(); time.sleep(60)\n"
        )
        parent = subprocess.Popen([sys.executable, "-c", program, path], env=xvfb.environment)
        listener.settimeout(20)
        connected, _ = listener.accept()
        connected.recv(1)
        parent.kill()
        parent.wait()
        connected.settimeout(2)
        while connected.recv(1 << 20):  # a process that lives keeps it open, and this times out
            pass
        connected.close()


def test_without_a_display_the_viewer_gets_a_code_and_the_log_the_reasons():
    with screen_worker({"PATH": "/usr/bin", "DISPLAY": ":54321"}) as host:
        assert host.run_until(lambda: host.viewer.failure != "")
        assert host.viewer.failure == "E_SCREEN_NONE"
        said = host.wait()
        assert host.process.returncode == 6
        assert "xcffib: no X server answers" in said
        assert "mss:" in said
        assert "Traceback" not in said


def test_an_unknown_source_is_refused_in_one_line(xvfb):
    with screen_worker(xvfb.environment, "telepathy") as host:
        said = host.wait()
        assert host.process.returncode == 2
        assert said.count("\n") == 1


def test_a_server_that_dies_is_reported_and_ends_the_worker():
    with start_xvfb() as server:
        environment = server.environment
        hosting = screen_worker(environment)
        host = hosting.__enter__()
        host.run_until(lambda: host.viewer.cursor_place is not None)
    host.run_until(lambda: host.viewer.failure != "")
    assert host.viewer.failure == "E_SCREEN_FAILED"
    said = host.wait()
    assert host.process.returncode == 7
    assert "Traceback" not in said
    hosting.__exit__(None, None, None)


@pytest.mark.parametrize("garbage", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x03abc", b"\0\0\0\x01\xc1"])
def test_garbage_from_the_viewer_ends_the_worker_with_a_code_and_no_traceback(xvfb, garbage):
    with screen_worker(xvfb.environment) as host:
        host.run_until(lambda: host.viewer.cursor_place is not None)
        host.connected.send(garbage)
        host.run_until(lambda: host.viewer.failure != "")
        assert host.viewer.failure.startswith("E_MESSAGE")
        assert "Traceback" not in host.wait()
        assert host.process.returncode == 4


def test_a_display_that_does_not_exist_changes_nothing(xvfb):
    with screen_worker(xvfb.environment) as host:
        host.run_until(lambda: host.viewer.cursor_place is not None)
        host.viewer.displays = None
        host.send(ShowDisplay(5))
        assert host.run_until(lambda: host.viewer.displays is not None)
        assert host.viewer.displays.shown_index == 0


@pytest.mark.parametrize("ticket", [b"", b"short"])
def test_a_ticket_that_is_cut_is_refused_before_anything_is_opened(ticket):
    argv = ["-I", "-m", "agent.capabilities.screen.worker", "--socket", "/nowhere", "--session", "s"]
    ran = subprocess.run([sys.executable, *argv], input=ticket, capture_output=True, check=False)
    assert ran.returncode == 2
    assert b"32-byte ticket" in ran.stderr


def test_another_mode_of_a_real_server_resets_the_viewer_and_its_picture_is_exact():
    with start_xorg((1024, 768)) as server, screen_worker(server.environment) as host:
        assert host.run_until(lambda: host.viewer.frame.shape == (768, 1024, 4))
        resets = sum(part.is_reset for part in host.viewer.pictures)
        for width, height in ((800, 600), (1024, 768)):
            xrandr(server.display, "--output", "DUMMY0", "--mode", f"{width}x{height}")
            assert host.run_until(lambda shape=(height, width, 4): host.viewer.frame.shape == shape)
            with painter_on(server.display) as painter:
                painter.put(0, 0, noise(width, height, width))
                host.run(0.8)
                assert is_equal(host.viewer, painter)
            announced = host.viewer.displays.displays
            assert [(one.width, one.height) for one in announced] == [(width, height)]
        assert sum(part.is_reset for part in host.viewer.pictures) == resets + 2


def test_a_desktop_with_ten_bit_colours_is_shown_exact_to_eight_bits():
    with start_xvfb((640, 480), depth=30) as server, screen_worker(server.environment) as host:
        assert host.run_until(lambda: host.viewer.cursor_place is not None)
        with painter_on(server.display) as painter:
            words = np.random.default_rng(30).integers(0, 1 << 30, (480, 640), dtype=np.uint32)
            painter.put_words(0, 0, words.view(np.uint8).reshape(480, 640, 4))
            host.run(0.8)
            assert np.array_equal(painter.read_root().view(np.uint32)[..., 0], words)
            cut = np.stack([words >> shift & 0xFF for shift in (2, 12, 22)], axis=-1)
            assert np.array_equal(host.viewer.bgr(), cut)


def test_a_display_that_is_unplugged_while_it_is_shown_gives_way_to_the_one_that_is_left():
    with start_xorg((640, 480)) as server, screen_worker(server.environment) as host:
        xrandr(server.display, "--addmode", "DUMMY1", "640x400")
        xrandr(server.display, "--output", "DUMMY1", "--mode", "640x400", "--right-of", "DUMMY0")
        assert host.run_until(lambda: host.viewer.displays and len(host.viewer.displays.displays) == 2)
        host.send(ShowDisplay(1))
        assert host.run_until(lambda: host.viewer.frame.shape == (400, 640, 4))
        xrandr(server.display, "--output", "DUMMY1", "--off")
        assert host.run_until(lambda: host.viewer.frame.shape == (480, 640, 4))
        with painter_on(server.display) as painter:
            painter.put(0, 0, noise(640, 480, 9))
            host.run(0.8)
            assert is_equal(host.viewer, painter)
        assert host.process.poll() is None
