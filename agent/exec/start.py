"""The service's end of one exec worker: what both ways to start one share, and the one that is our child."""

import asyncio
import contextlib
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from agent.exec.endings import KILL_LIMIT_S, NOTHING_LEFT, WORKER_GRACE_S
from agent.exec.messages import (
    FROM_WORKER_CODEC,
    FROM_WORKER_LIMIT_BYTES,
    TO_WORKER_CODEC,
    ExecEnded,
    ExecStarted,
    FromWorker,
    Go,
    RunOrder,
)
from agent.local_frames import LocalConnection
from protocol.errors import EnvironmentFault, ErrorCode, SupportError, Unreachable

WORKER_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
WORKER_ARGV = (sys.executable, "-I", "-m", "agent.exec")
START_TIMEOUT_S = 15.0  # an interpreter starts slowly on a busy machine, and reads the order only then
END_TIMEOUT_S = 3.0
SWEEP_TIMEOUT_S = WORKER_GRACE_S + KILL_LIMIT_S + 1.0


class ExecWorker(Protocol):
    """One order under way."""

    async def receive(self) -> FromWorker:
        """What it says next; raises SupportError when it went away."""

    async def go(self) -> None:
        """Let it start the program; raises SupportError when it went away."""

    def cancel(self) -> None:
        """Have it end the program; its ExecEnded still comes. May be called twice."""

    async def end(self) -> bool:
        """End it and whatever it started, now; may be called twice. False: perhaps something is left."""


StartExecWorker = Callable[[RunOrder], Awaitable[ExecWorker]]


class WorkerTalk(ABC):
    """What is said to a worker and heard from it, whoever started it."""

    def __init__(self, connection: LocalConnection) -> None:
        self._connection = connection
        self._command_pid: int | None = None
        self._guardian_pid = 0
        self._has_lost = False
        self._ending: asyncio.Task[bool] | None = None

    async def receive(self) -> FromWorker:
        """See `ExecWorker`."""
        message = FROM_WORKER_CODEC.decode(await self._connection.receive(FROM_WORKER_LIMIT_BYTES))
        if isinstance(message, ExecStarted):
            self._command_pid, self._guardian_pid = message.pid, message.guardian_pid
        elif isinstance(message, ExecEnded):
            self._command_pid = None
            self._has_lost = message.code == ErrorCode.E_COMMAND_OUTCOME
        return message

    async def send_order(self, order: RunOrder) -> None:
        """The first thing that it hears."""
        await self._connection.send(TO_WORKER_CODEC.encode(order), START_TIMEOUT_S)

    async def go(self) -> None:
        """See `ExecWorker`."""
        await self._connection.send(TO_WORKER_CODEC.encode(Go()))

    async def end(self) -> bool:
        """See `ExecWorker`. Whoever is cancelled meanwhile is so afterwards: it takes seconds at most.

        In a task of its own: in one that is being cancelled `asyncio.timeout` of Python 3.11 raises
        CancelledError where it should raise TimeoutError, and what follows would be left out.
        """
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())
        is_cancelled = False
        while not self._ending.done():
            try:
                await asyncio.shield(self._ending)
            except asyncio.CancelledError:
                is_cancelled = True
        if is_cancelled:
            raise asyncio.CancelledError
        return self._ending.result()

    @abstractmethod
    async def _end(self) -> bool: ...

    async def _hear_out(self) -> bool:
        """To the end of what it says, since unread it could not finish; False when that makes no sense."""
        try:
            while True:
                await self.receive()
        except Unreachable:
            return True
        except SupportError:
            return False


class WorkerProcess(WorkerTalk):
    """An `ExecWorker` that is our child (`start_worker`), below a guardian (`agent.exec.guardian`)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        super().__init__(LocalConnection(process.stdout, process.stdin))
        self._process = process
        self._stdin = process.stdin

    def cancel(self) -> None:
        """See `ExecWorker`. The end of its standard input is the order to end."""
        if not self._stdin.transport.is_closing():
            self._connection.close()

    async def _end(self) -> bool:
        self.cancel()
        await self._gone_within(END_TIMEOUT_S)
        await self._kill()
        return self._process.returncode == NOTHING_LEFT and not self._has_lost

    async def _kill(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()  # the guardian kills a worker that does not end, and all below it
            await self._gone_within(SWEEP_TIMEOUT_S)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        if self._process.returncode != NOTHING_LEFT:
            self._kill_group()

    def _kill_group(self) -> None:
        """Without a guardian's word: what of the command has stayed in the group that it was started in."""
        if self._command_pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._command_pid, signal.SIGKILL)
            self._command_pid = None

    async def _gone_within(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._hear_out()
                await self._process.wait()


def worker_starter(book: Path) -> StartExecWorker:
    """What starts workers that keep to this book (`agent.exec.book`), as our own children."""

    async def start(order: RunOrder) -> ExecWorker:
        return await start_worker(order, book)

    return start


async def start_worker(order: RunOrder, book: Path) -> ExecWorker:
    """Start a worker with nothing but the book in its arguments and environment, and hand it the order.

    Raises:
        EnvironmentFault: E_COMMAND_FAILED, it cannot be started.
        Unreachable: it went away before it had read the order.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *WORKER_ARGV,
            str(book.absolute()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=WORKER_ENVIRONMENT,
            cwd="/",
            close_fds=True,
        )
    except OSError as exc:
        raise EnvironmentFault(f"exec worker: {exc}", code=ErrorCode.E_COMMAND_FAILED) from None
    worker = WorkerProcess(process)
    try:
        await worker.send_order(order)
    except BaseException:
        await worker.end()
        raise
    return worker
