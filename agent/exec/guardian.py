"""What outlives an exec worker: its parent, which does nothing but end what a worker that died has left.

    service ── guardian ── worker ── the program ── its processes, daemons too

A worker ends its command itself. When it is killed (a lack of memory, somebody's SIGKILL), the program dies
with it and its daemons become the guardian's children, which ends them. When the guardian is killed the
kernel tells the worker, which ends its command. Whoever kills both at once (root, or the worker's own user)
leaves daemons to what holds the guardian: a unit of its own (`alongside-agent-exec@.service`) ends them.
"""

import contextlib
import os
import signal
from collections.abc import Callable
from typing import NoReturn

from agent.exec.endings import NOTHING_LEFT, SOMETHING_LEFT, WORKER_GRACE_S
from agent.exec.limits import adopt_descendants, die_with_parent
from agent.exec.tree import kill_descendants, reap_children


def guarded(work: Callable[[], None]) -> NoReturn:
    """Do the work in a child; we end when it has, and nothing that it started is left.

    Only for a process with a single thread. The exit status is `NOTHING_LEFT` or `SOMETHING_LEFT`. SIGTERM,
    also by the death of who started us, is passed on; a worker that does not follow is killed after
    `WORKER_GRACE_S`.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _heard())
    die_with_parent(signal.SIGTERM)
    adopt_descendants()
    guardian_pid = os.getpid()
    worker_pid = os.fork()
    if worker_pid == 0:
        _be_worker(guardian_pid, work)
    _let_go_of_pipes()
    _wait_for(worker_pid)
    is_clean = kill_descendants(lambda: reap_children(lambda _pid, _status: None))
    os._exit(NOTHING_LEFT if is_clean else SOMETHING_LEFT)


def _heard() -> tuple[signal.Signals, ...]:
    """What the guardian waits for; not every system has these, and every one may import us."""
    return signal.SIGCHLD, signal.SIGTERM, signal.SIGALRM


def _be_worker(guardian_pid: int, work: Callable[[], None]) -> NoReturn:
    die_with_parent(signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _heard())
    if os.getppid() != guardian_pid:  # it died before the first line
        os._exit(SOMETHING_LEFT)
    adopt_descendants()
    work()
    raise SystemExit(0)


def _let_go_of_pipes() -> None:
    """The service has to see that the worker is gone when it is; what it would say is not said by us."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _wait_for(worker_pid: int) -> None:
    ended = set()
    while worker_pid not in ended:
        heard = signal.sigwait(_heard())
        if heard == signal.SIGTERM:
            _tell(worker_pid, signal.SIGTERM)
            signal.alarm(WORKER_GRACE_S)
        elif heard == signal.SIGALRM:
            _tell(worker_pid, signal.SIGKILL)
        reap_children(lambda pid, _status: ended.add(pid))
    signal.alarm(0)


def _tell(worker_pid: int, signal_no: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker_pid, signal_no)
