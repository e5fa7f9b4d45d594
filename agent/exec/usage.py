"""How much of the device a command has taken, all of its processes together."""

import contextlib
import os
from enum import Enum, auto

import psutil

from agent.exec.limits import CommandLimits
from agent.exec.tree import living_descendants

LOOK_EVERY_S = 0.2


class Excess(Enum):
    """What there is too much of."""

    PROCESSES = auto()
    WRITTEN = auto()


class Usage:
    """Looks at our descendants. What ended ones wrote is counted with us, who reaped them (Linux)."""

    def __init__(self, limits: CommandLimits) -> None:
        self._limits = limits
        self._written_before_bytes = _written_bytes(psutil.Process())

    def excess(self) -> Excess | None:
        """What the command has too much of by now."""
        living = living_descendants()
        if len(living) > self._limits.processes:
            return Excess.PROCESSES
        written_bytes = sum(_written_bytes(each) for each in (psutil.Process(os.getpid()), *living))
        if written_bytes - self._written_before_bytes > self._limits.written_bytes:
            return Excess.WRITTEN
        return None


def _written_bytes(process: psutil.Process) -> int:
    """What it and those it has reaped had written to a disk (proc(5), io); 0 where nobody tells."""
    with contextlib.suppress(psutil.Error, OSError, AttributeError, NotImplementedError):
        return int(process.io_counters().write_bytes)
    return 0
