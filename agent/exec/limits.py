"""What a command may use, and that it does not outlive us: set in the child between fork and exec."""

import contextlib
import ctypes
import math
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

import psutil

CPU_SLACK_S = 5
FIRST_VICTIM = b"1000"

_PR_SET_PDEATHSIG = 1  # prctl(2)
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38


@dataclass(frozen=True, slots=True)
class CommandLimits:
    """What one command may take. The kernel holds those of one process; the worker looks after those of all.

    `tasks_more`: processes and threads that our user may have beyond those it has now; only a bound behind
    `processes`, since the kernel counts for the user, not for the command (and not at all for root).
    `file_bytes`: the length of one file. `written_bytes`: what all of it writes to disks.
    """

    processes: int = 64
    tasks_more: int = 512
    file_bytes: int = 256 << 20
    written_bytes: int = 1 << 30
    address_space_bytes: int = 4 << 30
    open_files: int = 1024


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


def stay_who_we_are() -> None:
    """Gain nothing by set-user-id programs, nor may what we start: another user's process cannot be ended."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def go_first() -> None:
    """When memory runs out the kernel ends us before everything else (proc(5), oom_score_adj)."""
    with contextlib.suppress(OSError):
        file = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        try:
            os.write(file, FIRST_VICTIM)
        finally:
            os.close(file)


def limit_resources(limits: CommandLimits, timeout_s: float, tasks: int) -> None:
    """Lower our own limits, never raise one; `tasks` is what our user has now.

    CPU time is that of all threads together, so it allows two busy cores for the whole timeout. There is no
    core file.
    """
    import resource  # here: only on POSIX systems

    wanted = {
        resource.RLIMIT_CPU: 2 * math.ceil(timeout_s) + CPU_SLACK_S,
        resource.RLIMIT_AS: limits.address_space_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NPROC: tasks + limits.tasks_more,
        resource.RLIMIT_CORE: 0,
    }
    for kind, limit in wanted.items():
        _, hard = resource.getrlimit(kind)
        lowered = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (lowered, lowered))


def tasks_of_our_user() -> int:
    """Processes and threads of our real user, as RLIMIT_NPROC counts them."""
    own, tasks = os.getuid(), 0
    for process in psutil.process_iter(["uids", "num_threads"]):
        uids = process.info["uids"]
        if uids is not None and uids.real == own:
            tasks += process.info["num_threads"] or 1
    return tasks


def before_exec(limits: CommandLimits, timeout_s: float) -> Callable[[], None]:
    """What the child does before it becomes the program. Only for a process with a single thread."""
    worker_pid, tasks = os.getpid(), tasks_of_our_user()

    def prepare() -> None:
        die_with_parent(signal.SIGKILL)
        if os.getppid() != worker_pid:  # it died before the line above
            os._exit(127)
        os.umask(0o077)
        go_first()
        stay_who_we_are()
        limit_resources(limits, timeout_s, tasks)

    return prepare
