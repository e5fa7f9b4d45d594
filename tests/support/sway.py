"""A real Wayland compositor without a screen: sway with its headless outputs, drawn on by swaybg."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.xvfb import ended

REMEDY = "sway and swaybg must be installed: apt-get install sway swaybg"
START_TIMEOUT_S = 20.0
CONFIGURATION = """
xwayland disable
output HEADLESS-1 resolution {width}x{height} position 0 0
output HEADLESS-2 resolution {width}x{height} position {width} 0
"""


@dataclass(frozen=True, slots=True)
class Sway:
    """A running compositor; `display` is what WAYLAND_DISPLAY names."""

    display: str
    runtime_folder: str
    pid: int

    @property
    def environment(self) -> dict[str, str]:
        """Ours, pointed at this compositor and at no X server."""
        kept = {name: value for name, value in os.environ.items() if name not in {"DISPLAY", "XAUTHORITY"}}
        return {**kept, "WAYLAND_DISPLAY": self.display, "XDG_RUNTIME_DIR": self.runtime_folder}

    def say(self, *words: str) -> str:
        """A command of sway's own, as its administrator would give it."""
        ran = self._run(words)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def end(self) -> None:
        """As when the person logs out. swaymsg may find the socket closed before it has its answer."""
        self._run(("exit",))

    def _run(self, words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        (socket,) = Path(self.runtime_folder).glob("sway-ipc.*")
        argv = [*_as_nobody(), "swaymsg", "--raw", "--socket", str(socket), *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)

    @contextmanager
    def background(self, colour: str) -> Iterator[None]:
        """Every output in one colour, "rrggbb", while it lasts."""
        with ended([*_as_nobody(), "swaybg", "--color", f"#{colour}"], env=self.environment):
            yield


@contextmanager
def start_sway(size: tuple[int, int] = (640, 480), outputs: int = 1) -> Iterator[Sway]:
    """Start it, wait until it listens, and end it by its pid. It refuses to run as root."""
    if shutil.which("sway") is None or shutil.which("swaybg") is None:
        pytest.skip(REMEDY)
    with tempfile.TemporaryDirectory(prefix="sway-") as folder:
        configuration = Path(folder) / "config"
        configuration.write_text(CONFIGURATION.format(width=size[0], height=size[1]), "ascii")
        configuration.chmod(0o644)  # whoever runs sway must read it, whatever our umask is
        if os.getuid() == 0:
            os.chown(folder, _nobody().pw_uid, _nobody().pw_gid)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "XDG_RUNTIME_DIR": folder,
            "WLR_BACKENDS": "headless",
            "WLR_RENDERER": "pixman",
            "WLR_LIBINPUT_NO_DEVICES": "1",
            "WLR_HEADLESS_OUTPUTS": str(outputs),
        }
        with ended([*_as_nobody(), "sway", "-c", str(configuration)], env=environment) as compositor:
            yield Sway(_display(Path(folder)), folder, compositor.pid)


def _display(folder: Path) -> str:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        found = [one.name for one in folder.glob("wayland-*") if one.suffix != ".lock"]
        if found and list(folder.glob("sway-ipc.*")):
            return found[0]
        time.sleep(0.05)
    raise AssertionError("sway did not start")


def _as_nobody() -> list[str]:
    if os.getuid() != 0:
        return []
    who = _nobody()
    return ["setpriv", f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups"]


def _nobody() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")
