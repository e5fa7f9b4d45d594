"""One running program: a single-threaded loop over its pipes, the service's pipe and two signals."""

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import IO

from agent.exec.lifetime import CommandLifetime, Order
from agent.exec.limits import CommandLimits, before_exec
from agent.exec.messages import OUTPUT_CHUNK_LIMIT_BYTES, ExecOutput, ExecStarted
from agent.exec.service_link import ServiceLink
from agent.exec.tree import kill_descendants, reap_children, signal_descendants, stop_and_kill
from agent.exec.usage import LOOK_EVERY_S, Excess, Usage

PIPE_LIMIT_BYTES = 1 << 20  # the most that one holds (pipe(7)), so all that a program can have left in it


@dataclass(frozen=True, slots=True)
class Program:
    """What is started, and its bounds. `executable` is the file that argv[0] means, without links."""

    executable: str
    argv: list[str]
    environment: dict[str, str]
    timeout_s: float
    output_limit_bytes: int
    limits: CommandLimits


class RunningCommand:
    """Starts a program and passes on its output until nothing of it is left.

    Output beyond the limit is read and dropped: ending the program because it talks too much could leave its
    work half done. `excess` says what it took too much of, when that ended it.
    """

    def __init__(self, program: Program, link: ServiceLink) -> None:
        self._link = link
        self._remaining_bytes = program.output_limit_bytes
        self.is_truncated = False
        self.excess: Excess | None = None
        self._usage = Usage(program.limits)
        self._look_at_s = 0.0
        self._selector = selectors.DefaultSelector()
        self._wakeup = _signal_wakeup()
        self.process = subprocess.Popen(
            program.argv,
            executable=program.executable,
            env=program.environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            close_fds=True,
            start_new_session=True,
            preexec_fn=before_exec(program.limits, program.timeout_s),
        )
        self.started_s = time.monotonic()
        self.lifetime = CommandLifetime(self.started_s, program.timeout_s)
        self._pipes: dict[int, tuple[str, IO[bytes]]] = {}

    def run(self) -> None:
        """Returns when the program is over and none of its processes is left, or some cannot be ended.

        Then `lifetime.cause` is `Cause.LOST`. Whoever else holds its pipes is not waited for.
        """
        self._link.send(ExecStarted(self.process.pid, guardian_pid=os.getppid()))
        self._watch()
        while not self.lifetime.is_over:
            for key, _ in self._selector.select(self._sleep_s()):
                self._on_ready(key.fd)
            self._watch_writing()
            self._check()
        if not kill_descendants(self._reap):
            self.lifetime.left_over()
        for fd in list(self._pipes):
            self._read_rest(fd)
            self._close(fd)
        self._selector.close()

    def _watch(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        for stream, pipe in (("stdout", self.process.stdout), ("stderr", self.process.stderr)):
            os.set_blocking(pipe.fileno(), False)
            self._pipes[pipe.fileno()] = (stream, pipe)
            self._selector.register(pipe.fileno(), selectors.EVENT_READ)
        self._selector.register(self._wakeup.fileno(), selectors.EVENT_READ)
        self._selector.register(self._link.read_fd, selectors.EVENT_READ)

    def _watch_writing(self) -> None:
        is_watched = self._link.write_fd in self._selector.get_map()
        if self._link.has_queued and not is_watched:
            self._selector.register(self._link.write_fd, selectors.EVENT_WRITE)
        elif is_watched and not self._link.has_queued:
            self._selector.unregister(self._link.write_fd)

    def _sleep_s(self) -> float:
        return min(LOOK_EVERY_S, max(0.0, self.lifetime.deadline_s - time.monotonic()))

    def _on_ready(self, fd: int) -> None:
        if fd in self._pipes:
            if self._read(fd) == b"":
                self._close(fd)
        elif fd == self._link.write_fd:
            self._link.write_queued()
        elif fd == self._wakeup.fileno():
            if signal.SIGTERM in self._wakeup.recv(4096):
                self._cancel()
        elif self._link.is_at_end():
            self._selector.unregister(fd)
            self._cancel()

    def _check(self) -> None:
        self._reap()
        if self.process.returncode is not None:
            self.lifetime.exited(time.monotonic())
        if not self._pipes:
            self.lifetime.pipes_closed()
        if time.monotonic() >= self._look_at_s:
            self._look_at_usage()
        self._follow(self.lifetime.tick(time.monotonic()))

    def _look_at_usage(self) -> None:
        excess = self._usage.excess()
        if excess is not None:
            self.excess = self.excess or excess
            self._follow(self.lifetime.exceeded(time.monotonic()))
        self._look_at_s = time.monotonic() + LOOK_EVERY_S

    def _reap(self) -> bool:
        """Take leave of every child that ended, adopted ones too; whether one is left that has not."""
        return reap_children(self._ended)

    def _ended(self, pid: int, status: int) -> None:
        if pid == self.process.pid:
            self.process.returncode = os.waitstatus_to_exitcode(status)

    def _cancel(self) -> None:
        self._follow(self.lifetime.cancelled(time.monotonic()))

    def _follow(self, orders: list[Order]) -> None:
        for order in orders:
            if order is Order.TERMINATE:
                signal_descendants(signal.SIGTERM)
            else:
                stop_and_kill()

    def _read(self, fd: int) -> bytes | None:
        """Pass on one chunk; None when nothing is there, empty at the end of the pipe."""
        try:
            chunk = os.read(fd, OUTPUT_CHUNK_LIMIT_BYTES)
        except BlockingIOError:
            return None
        kept = chunk[: self._remaining_bytes]
        self._remaining_bytes -= len(kept)
        self.is_truncated = self.is_truncated or len(kept) < len(chunk)
        if kept:
            self._link.send(ExecOutput(self._pipes[fd][0], kept))
        return chunk

    def _read_rest(self, fd: int) -> None:
        """What it wrote before its end; what somebody else goes on writing is no output of this command."""
        rest_bytes = PIPE_LIMIT_BYTES
        while rest_bytes > 0 and (chunk := self._read(fd)):
            rest_bytes -= len(chunk)

    def _close(self, fd: int) -> None:
        _, pipe = self._pipes.pop(fd)
        with contextlib.suppress(KeyError):
            self._selector.unregister(fd)
        pipe.close()


def _signal_wakeup() -> socket.socket:
    """A socket that becomes readable when a child ends or when we are asked to end (signal.set_wakeup_fd)."""
    ours, signals = socket.socketpair()
    ours.setblocking(False)
    signals.setblocking(False)
    for signal_no in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(signal_no, lambda _number, _frame: None)
    signal.set_wakeup_fd(signals.detach())
    return ours
