"""A real Xwayland under a real compositor, as on a desktop that shows X programs in a Wayland session."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.sway import start_sway
from tests.support.xvfb import Xvfb, ended, read_number

REMEDY = "Xwayland must be installed: apt-get install xwayland"


@contextmanager
def start_xwayland(*arguments: str, size: tuple[int, int] = (640, 480)) -> Iterator[Xvfb]:
    """Start both, wait until Xwayland listens, and end them by their pids."""
    if shutil.which("Xwayland") is None:
        pytest.skip(REMEDY)
    with start_sway(size) as sway:
        read_fd, write_fd = os.pipe()
        argv = ["Xwayland", "-displayfd", str(write_fd), "-noreset", *arguments]
        with ended(argv, pass_fds=(write_fd,), env=sway.environment) as server:
            os.close(write_fd)
            try:
                number = read_number(read_fd)
            finally:
                os.close(read_fd)
            yield Xvfb(f":{number}", server.pid, *size)
