"""What a command may use, and that it does not outlive us: set in the child between fork and exec."""

import contextlib
import ctypes
import math
import os
import signal
from collections.abc import Callable

CPU_SLACK_S = 5
ADDRESS_SPACE_LIMIT_BYTES = 4 << 30
OPEN_FILES_LIMIT = 1024

_PR_SET_PDEATHSIG = 1  # prctl(2)
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, argument: int) -> None:
    # where the C library has no prctl (not Linux) the end of standard input alone ends us
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(option, argument, 0, 0, 0)


def die_with_parent(signal_no: int) -> None:
    """Have the kernel signal us when the thread that started us ends (prctl(2), PR_SET_PDEATHSIG)."""
    _prctl(_PR_SET_PDEATHSIG, signal_no)


def adopt_descendants() -> None:
    """Become the parent of orphaned descendants, so that no daemon slips away (PR_SET_CHILD_SUBREAPER)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def limit_resources(timeout_s: float) -> None:
    """Lower our own limits, never raise one: CPU time, address space, open files, no core file.

    CPU time is that of all threads together, so it allows two busy cores for the whole timeout.
    """
    import resource  # here: only on POSIX systems

    wanted = {
        resource.RLIMIT_CPU: 2 * math.ceil(timeout_s) + CPU_SLACK_S,
        resource.RLIMIT_AS: ADDRESS_SPACE_LIMIT_BYTES,
        resource.RLIMIT_NOFILE: OPEN_FILES_LIMIT,
        resource.RLIMIT_CORE: 0,
    }
    for kind, limit in wanted.items():
        _, hard = resource.getrlimit(kind)
        lowered = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (lowered, lowered))


def before_exec(timeout_s: float) -> Callable[[], None]:
    """What the child does before it becomes the program. Only for a process with a single thread."""
    worker_pid = os.getpid()

    def prepare() -> None:
        die_with_parent(signal.SIGKILL)
        if os.getppid() != worker_pid:  # it died before the line above
            os._exit(127)
        os.umask(0o077)
        limit_resources(timeout_s)

    return prepare
