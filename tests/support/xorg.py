"""A real Xorg with the dummy video driver: no card and no terminal, but real modes and outputs to plug in."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.xvfb import Xvfb, ended, read_number

DRIVER = Path("/usr/lib/xorg/modules/drivers/dummy_drv.so")
REMEDY = (
    "Xorg and its dummy driver must be installed: apt-get install xserver-xorg-core xserver-xorg-video-dummy"
)
CONFIGURATION = """
Section "ServerFlags"
  Option "AutoAddDevices" "false"
  Option "AutoEnableDevices" "false"
  Option "AutoAddGPU" "false"
  Option "DontVTSwitch" "true"
EndSection
Section "Device"
  Identifier "card"
  Driver "dummy"
  VideoRam 64000
EndSection
Section "Monitor"
  Identifier "monitor"
  HorizSync 5.0-1000.0
  VertRefresh 5.0-200.0
EndSection
Section "Screen"
  Identifier "screen"
  Device "card"
  Monitor "monitor"
  DefaultDepth {depth}
  SubSection "Display"
    Depth {depth}
    Modes "{mode}"
    Virtual {width} {height}
  EndSubSection
EndSection
"""


@contextmanager
def start_xorg(size: tuple[int, int] = (640, 480), depth: int = 24) -> Iterator[Xvfb]:
    """Start it on a free display, wait until it listens, and end it by its pid. `size` is a VESA mode."""
    if shutil.which("Xorg") is None or not DRIVER.exists():
        pytest.skip(REMEDY)
    width, height = size
    with tempfile.TemporaryDirectory(prefix="xorg-") as folder:
        configuration = Path(folder) / "xorg.conf"
        words = {"depth": depth, "mode": f"{width}x{height}", "width": width, "height": height}
        configuration.write_text(CONFIGURATION.format(**words), "ascii")
        read_fd, write_fd = os.pipe()
        argv = ["Xorg", "-displayfd", str(write_fd), "-config", str(configuration), "-noreset"]
        argv += ["-nolisten", "tcp", "-novtswitch", "-sharevts", "-logfile", str(Path(folder) / "log")]
        with ended(argv, pass_fds=(write_fd,)) as server:
            os.close(write_fd)
            try:
                number = read_number(read_fd)
            finally:
                os.close(read_fd)
            yield Xvfb(f":{number}", server.pid, width, height)


def xrandr(display: str, *arguments: str) -> str:
    """Runs xrandr(1) as an administrator would; what it prints."""
    ran = subprocess.run(
        ["xrandr", "--display", display, *arguments], capture_output=True, text=True, timeout=20
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
