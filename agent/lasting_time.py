"""Time that lasts over a restart of the service and cannot be turned back by setting the clock.

Within one start of the machine the kernel's boot time counts, which runs on while the machine sleeps and
which nobody can set. Over a restart of the machine there is only the wall clock; one that went back says
nothing, and whoever asks gets None.
"""

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # random(4)
_THIS_PROCESS = secrets.token_hex(8)  # where the system has no such id: good for this process alone


class Moment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When something was: on this start of the machine, and by the wall clock."""

    boot_id: str
    boottime_s: float
    at_utc: datetime


Now = Callable[[], Moment]


def now() -> Moment:
    """This moment."""
    return Moment(_boot_id(), boottime_s(), datetime.now(UTC))


def elapsed_s(since: Moment, until: Moment) -> float | None:
    """Seconds from one moment to the other; None when the wall clock was set back and nobody can tell."""
    if since.boot_id == until.boot_id:
        return max(0.0, until.boottime_s - since.boottime_s)
    passed_s = (until.at_utc - since.at_utc).total_seconds()
    return passed_s if passed_s >= 0 else None


def boottime_s() -> float:
    """Seconds since the machine started, with the time that it slept where the system counts that."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime(clock) if clock is not None else time.monotonic()


def slept_s() -> float:
    """For how long this machine has slept since its start: it grows by each sleep (clock_gettime(2))."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is None:
        return 0.0
    return time.clock_gettime(clock) - time.clock_gettime(time.CLOCK_MONOTONIC)


@cache  # this process does not outlive the start of the machine, and this is asked for with each event
def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return _THIS_PROCESS
