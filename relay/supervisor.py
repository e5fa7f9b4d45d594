"""Forks the relay's processes and looks after them.

The supervisor has no event loop and no thread, so that it may fork at any time; it never executes another
program. Its processes end with it, even when it is killed.
"""

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from protocol.aio.loop_watch import watch_loop
from relay.logs import log_loop_fault

_LOG = structlog.get_logger()
_WATCHED = frozenset({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT})
_STOP_TIMEOUT_S = 8.0
_RESTART_DELAY_S = 1.0
_PR_SET_PDEATHSIG = 1  # prctl(2)

Main = Callable[[asyncio.Event], Coroutine[Any, Any, int]]


@dataclass(frozen=True, slots=True)
class Child:
    """One process. `main` gets an event that is set when it has to stop, and returns the exit status.

    The relay ends with a child that `is_vital`; another one is started again.
    """

    name: str
    main: Main
    is_vital: bool


class Supervisor:
    """Runs children until a signal or the end of a vital one."""

    def __init__(self, children: list[Child]) -> None:
        self._children = children
        self._running: dict[int, Child] = {}
        self._life_read, self._life_write = os.pipe()

    def run(self) -> int:
        """Fork all, wait, stop all; the exit status of the relay."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        for child in self._children:
            self._start(child)
        status = self._watch()
        self._stop()
        return status

    def _watch(self) -> int:
        due: list[tuple[float, Child]] = []
        while True:
            received = signal.sigtimedwait(_WATCHED, _RESTART_DELAY_S if due else 3600.0)
            if received is not None and received.si_signo != signal.SIGCHLD:
                return 0
            for child, status in self._reap():
                if child.is_vital:
                    return status
                _LOG.error("worker.died", worker=child.name, status=status)
                due.append((time.monotonic() + _RESTART_DELAY_S, child))
            for at_s, child in list(due):
                if at_s <= time.monotonic():
                    due.remove((at_s, child))
                    if not self._started(child):
                        due.append((time.monotonic() + _RESTART_DELAY_S, child))

    def _reap(self) -> list[tuple[Child, int]]:
        ended = []
        while self._running:
            pid, raw = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            child = self._running.pop(pid, None)
            if child is not None:
                ended.append((child, os.waitstatus_to_exitcode(raw)))
        return [(child, status if status >= 0 else 1) for child, status in ended]

    def _started(self, child: Child) -> bool:
        """Whether it could be forked; without memory or process numbers the others go on, and it waits."""
        try:
            self._start(child)
        except OSError as exc:
            _LOG.error("worker.not_started", worker=child.name, reason=exc.strerror)
            return False
        return True

    def _start(self, child: Child) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        parent_pid = os.getpid()
        pid = os.fork()
        if pid:
            self._running[pid] = child
            return
        status = 1
        try:
            os.close(self._life_write)
            _die_with(parent_pid)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
            status = run_until_stopped(child.main, self._life_read)
        except Exception:  # noqa: BLE001 - the root of a process; it ends here
            _LOG.exception("process.failed", process=child.name)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _stop(self) -> None:
        for pid in self._running:
            os.kill(pid, signal.SIGTERM)
        deadline_s = time.monotonic() + _STOP_TIMEOUT_S
        while self._running and time.monotonic() < deadline_s:
            self._reap()
            signal.sigtimedwait({signal.SIGCHLD}, 0.1)
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)


def run_until_stopped(main: Main, life_fd: int | None = None) -> int:
    """Run `main` on a fresh loop until SIGTERM, SIGINT, or the end of the process that holds `life_fd`."""

    async def run() -> int:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log_loop_fault)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if life_fd is not None:
            loop.add_reader(life_fd, os._exit, 1)
        watching = asyncio.create_task(watch_loop())
        try:
            return await main(stop)
        finally:
            watching.cancel()

    try:
        import uvloop
    except ImportError:  # slower, and the same
        return asyncio.run(run())
    return int(uvloop.run(run()))


def _die_with(parent_pid: int) -> None:
    """Have the kernel end this process with its parent (prctl(2)); elsewhere the pipe does it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)
