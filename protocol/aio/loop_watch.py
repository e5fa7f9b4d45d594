"""Tells where an event loop was stuck: its stack while it is, and for how long afterwards.

The stack is written in C (`faulthandler`), which needs neither the loop nor the interpreter's lock; it is
names of files, lines and functions. A loop that waits for something to do is not stuck, and is not woken.
"""

import asyncio
import faulthandler
import selectors
import signal
import sys
import time
from contextlib import suppress
from typing import NoReturn

import structlog

log = structlog.get_logger()

BLOCKED_LIMIT_S = 2.0


def watched_loop(limit_s: float = BLOCKED_LIMIT_S) -> asyncio.AbstractEventLoop:
    """A loop that is watched by a timer of the kernel, set while it works: two system calls a turn.

    It takes SIGALRM. Where there are no such timers it is a plain loop.
    """
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    with suppress(ValueError, OSError):  # nobody reads standard error
        faulthandler.register(signal.SIGALRM, file=sys.stderr)
        return asyncio.SelectorEventLoop(_WatchedSelector(limit_s))
    return asyncio.new_event_loop()


if sys.platform != "win32":

    class _WatchedSelector(selectors.DefaultSelector):
        """Where the loop waits: until it comes here again it works."""

        def __init__(self, limit_s: float) -> None:
            super().__init__()
            self._limit_s = limit_s
            self._worked_since_s = time.monotonic()

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            signal.setitimer(signal.ITIMER_REAL, 0)
            worked_s = time.monotonic() - self._worked_since_s
            if worked_s >= self._limit_s:
                log.error("loop.blocked", for_s=round(worked_s, 1))
            try:
                return super().select(timeout)
            finally:
                self._worked_since_s = time.monotonic()
                signal.setitimer(signal.ITIMER_REAL, self._limit_s)

        def close(self) -> None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            super().close()


async def watch_loop(limit_s: float = BLOCKED_LIMIT_S) -> NoReturn:
    """The same for a loop of another kind, by a timer that wakes it now and then; until cancelled."""
    pause_s = limit_s / 2
    try:
        while True:
            with suppress(ValueError, OSError):
                faulthandler.dump_traceback_later(limit_s, file=sys.stderr)
            began_s = time.monotonic()
            await asyncio.sleep(pause_s)
            late_s = time.monotonic() - began_s - pause_s
            if late_s > limit_s - pause_s:
                log.error("loop.blocked", for_s=round(late_s, 1))
    finally:
        faulthandler.cancel_dump_traceback_later()
