"""A real tray (trayer) on a display of a test, which can be killed and started again."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

REMEDY = "install it with: apt-get install trayer"


class TrayProgram:
    """Not running at first."""

    def __init__(self, display: str) -> None:
        self._display = display
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; when it has the tray's selection it says so to everybody."""
        words = ["trayer", "--edge", "bottom", "--align", "right", "--widthtype", "request", "--height", "32"]
        words += ["--distance", "40", "--margin", "40"]  # clear of our coloured edge
        self._process = subprocess.Popen(
            words, env={"DISPLAY": self._display}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def kill(self) -> None:
        """SIGKILL, as the person's session manager might. May be called twice."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()


@contextmanager
def tray_program(display: str) -> Iterator[TrayProgram]:
    """A tray that is gone at the end."""
    if shutil.which("trayer") is None:
        pytest.skip(REMEDY)
    program = TrayProgram(display)
    try:
        yield program
    finally:
        program.kill()
