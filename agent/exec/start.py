"""The service's end of one exec worker."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

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
from protocol.errors import EnvironmentFault, ErrorCode

WORKER_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
WORKER_ARGV = (sys.executable, "-I", "-m", "agent.exec")
START_TIMEOUT_S = 15.0  # an interpreter starts slowly on a busy machine, and reads the order only then
END_TIMEOUT_S = 3.0


class ExecWorker(Protocol):
    """One order under way."""

    async def receive(self) -> FromWorker:
        """What it says next; raises SupportError when it went away."""

    async def go(self) -> None:
        """Let it start the program; raises SupportError when it went away."""

    def cancel(self) -> None:
        """Have it end the program; its ExecEnded still comes. May be called twice."""

    async def end(self) -> None:
        """End it and whatever it started, now; may be called twice."""


StartExecWorker = Callable[[RunOrder], Awaitable[ExecWorker]]


class WorkerProcess:
    """An `ExecWorker` that is a process of its own (`start_worker`)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._connection = LocalConnection(process.stdout, process.stdin)
        self._command_pid: int | None = None

    async def receive(self) -> FromWorker:
        """See `ExecWorker`."""
        message = FROM_WORKER_CODEC.decode(await self._connection.receive(FROM_WORKER_LIMIT_BYTES))
        if isinstance(message, ExecStarted):
            self._command_pid = message.pid
        elif isinstance(message, ExecEnded):
            self._command_pid = None
        return message

    async def send_order(self, order: RunOrder) -> None:
        """The first thing that it hears."""
        await self._connection.send(TO_WORKER_CODEC.encode(order), START_TIMEOUT_S)

    async def go(self) -> None:
        """See `ExecWorker`."""
        await self._connection.send(TO_WORKER_CODEC.encode(Go()))

    def cancel(self) -> None:
        """See `ExecWorker`. The end of its standard input is the order to end."""
        if not self._stdin.transport.is_closing():
            self._connection.close()

    async def end(self) -> None:
        """See `ExecWorker`."""
        self.cancel()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_TIMEOUT_S):
                    await self._drain()
        finally:
            await self._kill()

    async def _drain(self) -> None:
        while await self._stdout.read(FROM_WORKER_LIMIT_BYTES):
            pass  # it may still have much to say; unread it could not finish
        await self._process.wait()

    async def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        if self._command_pid is not None:
            # it died before it could say that nothing is left: end what the kernel did not end with it
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._command_pid, signal.SIGKILL)
            self._command_pid = None
        await self._process.wait()


def worker_starter(book: Path) -> StartExecWorker:
    """What starts workers that keep to this book (`agent.exec.book`)."""

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
