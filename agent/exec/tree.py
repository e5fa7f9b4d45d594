"""Every process that a command has left: found from us downwards, and ended until the kernel knows of none.

Both the worker and its guardian have adopted orphans (`limits.adopt_descendants`), so whoever is left of a
command is a child of ours or stands below one, however often it forked and whatever session it made. Then "no
child at all" (ECHILD of waitpid(2)) means: nothing is left. A list of processes is old when it has been read;
this is not.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from agent.exec.endings import KILL_LIMIT_S

SWEEP_EVERY_S = 0.025
FREEZE_ROUNDS = 20

Reap = Callable[[], bool]
"""Take leave of every child that has ended; whether one is left that has not."""


def living_descendants() -> list[psutil.Process]:
    """Our descendants that still run, zombies left out."""
    living = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
    return living


def signal_descendants(signal_no: int) -> None:
    """Send a signal to each of them once."""
    _signal(living_descendants(), signal_no)


def reap_children(on_end: Callable[[int, int], None]) -> bool:
    """A `Reap`; `on_end` hears the process id and the status of waitpid(2) of each child that ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if not pid:
            return True
        on_end(pid, status)


def kill_descendants(reap: Reap) -> bool:
    """End them all; False when some are left after `KILL_LIMIT_S`, by a kernel that does not let go of them.

    Children are ended as fast as we can look, since one that forks and exits has another process id every
    time; in between everything below them is stopped first and ended then, so that nothing forks meanwhile.
    """
    until_s = time.monotonic() + KILL_LIMIT_S
    sweep_at_s = 0.0
    while reap():
        now_s = time.monotonic()
        if now_s >= until_s:
            return False
        if now_s >= sweep_at_s:
            stop_and_kill()
            sweep_at_s = time.monotonic() + SWEEP_EVERY_S
        for pid in _children():
            _kill(pid)
        time.sleep(0)
    return True


def stop_and_kill() -> None:
    """Once: whole groups, from which no fork escapes (it starts again if a signal waits), then one by one."""
    seen: set[psutil.Process] = set()
    for _ in range(FREEZE_ROUNDS):
        fresh = set(living_descendants()) - seen
        if not fresh:
            break
        _kill_groups(fresh)
        _signal(fresh, signal.SIGSTOP)
        seen |= fresh
    _signal(seen, signal.SIGKILL)


def _kill_groups(processes: set[psutil.Process]) -> None:
    groups = set()
    for process in processes:
        with contextlib.suppress(OSError):
            groups.add(os.getpgid(process.pid))
    for group in groups - {os.getpgrp()}:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def _signal(processes: Iterable[psutil.Process], signal_no: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):
            process.send_signal(signal_no)


def _children() -> list[int]:
    """Our own, in one read where the kernel lists them (proc(5)); nobody but us reaps them."""
    with contextlib.suppress(OSError):
        listed = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text("ascii")
        return [int(pid) for pid in listed.split()]
    return []


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
