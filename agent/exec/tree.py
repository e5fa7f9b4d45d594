"""Every process that a command has left: found from the worker downwards, ended with one signal."""

import contextlib
import os
import time

import psutil

KILL_ROUNDS = 40
KILL_ROUND_S = 0.025


def living_descendants() -> list[int]:
    """Process ids of our descendants that still run, zombies left out.

    The worker has adopted orphans (`limits.adopt_descendants`), so a daemon that forked twice is among them.
    """
    living = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                living.append(process.pid)
    return living


def signal_descendants(signal_no: int) -> None:
    """Send a signal to each of them."""
    for pid in living_descendants():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal_no)


def kill_descendants(signal_no: int) -> bool:
    """Send it again and again until none is left, also against one that keeps forking; False if some stay."""
    for _ in range(KILL_ROUNDS):
        if not living_descendants():
            return True
        signal_descendants(signal_no)
        time.sleep(KILL_ROUND_S)
    return not living_descendants()
