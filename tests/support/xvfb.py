"""A real X server without a screen, on a display number of its own choice; the `xvfb` fixture starts one."""

import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

REMEDY = "Xvfb (and openbox, if asked for) must be installed: apt-get install xvfb openbox"
LOOK_EVERY_S = 0.02
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Xvfb:
    """A running server; `display` is ":N"."""

    display: str
    pid: int
    width: int
    height: int

    @property
    def environment(self) -> dict[str, str]:
        """Ours, pointed at this display and at nothing of the machine's own session."""
        kept = {
            name: value for name, value in os.environ.items() if name not in {"WAYLAND_DISPLAY", "XAUTHORITY"}
        }
        return {**kept, "DISPLAY": self.display}


@contextmanager
def start_xvfb(
    size: tuple[int, int] = (1280, 800),
    depth: int = 24,
    *,
    has_openbox: bool = False,
    extra: tuple[str, ...] = (),
    run_by: tuple[str, ...] = (),
) -> Iterator[Xvfb]:
    """Start it, wait until it listens, and end it by its pid. `run_by`: a program that becomes Xvfb."""
    if shutil.which("Xvfb") is None or (has_openbox and shutil.which("openbox") is None):
        pytest.skip(REMEDY)
    width, height = size
    read_fd, write_fd = os.pipe()
    screen = ["-screen", "0", f"{width}x{height}x{depth}", "-nolisten", "tcp", "-noreset", *extra]
    with ended([*run_by, "Xvfb", "-displayfd", str(write_fd), *screen], pass_fds=(write_fd,)) as server:
        os.close(write_fd)
        try:
            server_display = Xvfb(f":{read_number(read_fd)}", server.pid, width, height)
        finally:
            os.close(read_fd)
        if not has_openbox:
            yield server_display
            return
        with ended(["openbox"], env=server_display.environment):
            wait_for_window_manager(server_display.environment)
            yield server_display


def wait_for_window_manager(environment: dict[str, str]) -> None:
    """A window that is mapped while openbox starts may never be shown."""
    words = ["xprop", "-root", "-notype", "_NET_SUPPORTING_WM_CHECK"]
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while b"window id" not in subprocess.run(words, env=environment, capture_output=True).stdout:
        assert time.monotonic() < deadline_s, "openbox did not start"
        time.sleep(LOOK_EVERY_S)


@contextmanager
def ended(argv: list[str], *, pass_fds: tuple[int, ...] = (), env: dict[str, str] | None = None):
    """A program that is running, and ended by its pid afterwards."""
    quiet = subprocess.DEVNULL
    program = subprocess.Popen(argv, pass_fds=pass_fds, env=env, stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        yield program
    finally:
        program.terminate()
        with suppress(subprocess.TimeoutExpired):
            program.wait(STOP_TIMEOUT_S)
        if program.poll() is None:
            program.kill()
            program.wait()


def read_number(fd: int) -> str:
    """The display number that a server writes to `-displayfd`, once it listens."""
    number = b""
    while not number.endswith(b"\n"):
        ready, _, _ = select.select([fd], [], [], START_TIMEOUT_S)
        chunk = os.read(fd, 16) if ready else b""
        assert chunk, "the X server did not start"
        number += chunk
    return number.decode().strip()


@pytest.fixture
def xvfb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Xvfb]:
    """A fresh 1280x800 display, which DISPLAY names while the test runs."""
    with start_xvfb() as server:
        monkeypatch.setenv("DISPLAY", server.display)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        monkeypatch.delenv("XAUTHORITY", raising=False)
        yield server


def shared_segments_of(pid: int) -> int:
    """How many System V segments this process made that still exist (/proc/sysvipc/shm)."""
    rows = Path("/proc/sysvipc/shm").read_text("ascii").splitlines()[1:]
    return sum(int(row.split()[4]) == pid for row in rows)
