"""A throw-away X display of one's own, with a window manager if wanted."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import xcffib

from tests.support.xvfb import wait_for_window_manager

STRING, RESOURCE_MANAGER = 31, 23  # X11 protocol, appendix B: predefined atoms
REMEDY = "install it with: apt-get install xvfb openbox"


@contextmanager
def x_display(
    size: str = "1280x800", *, has_window_manager: bool = False, arguments: tuple[str, ...] = ()
) -> Iterator[str]:
    """Start Xvfb on a display number that it chooses itself; yields ":N"."""
    if shutil.which("Xvfb") is None or (has_window_manager and shutil.which("openbox") is None):
        pytest.skip(REMEDY)
    read_fd, write_fd = os.pipe()
    server = subprocess.Popen(
        [
            "Xvfb",
            "-displayfd",
            str(write_fd),
            "-screen",
            "0",
            f"{size}x24",
            "-nolisten",
            "tcp",
            "-noreset",
            *arguments,
        ],
        pass_fds=[write_fd],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(write_fd)
    with os.fdopen(read_fd) as lines:
        display = ":" + lines.readline().strip()
    others = [server]
    try:
        if has_window_manager:
            others.insert(0, _window_manager(display))
            wait_for_window_manager({**os.environ, "DISPLAY": display})
        yield display
    finally:
        for process in others:
            process.terminate()
        for process in others:
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)


def _window_manager(display: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["openbox", "--config-file", "/etc/xdg/openbox/rc.xml"],
        env={**os.environ, "DISPLAY": display},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def set_resolution(display: str, per_inch: int) -> None:
    """What a desktop's settings do: Xft.dpi in the resources of the display."""
    connection = xcffib.connect(display=display)
    root, setting = connection.get_setup().roots[0].root, f"Xft.dpi:\t{per_inch}\n".encode()
    connection.core.ChangeProperty(
        0, root, RESOURCE_MANAGER, STRING, 8, len(setting), setting, is_checked=True
    ).check()
    connection.disconnect()
