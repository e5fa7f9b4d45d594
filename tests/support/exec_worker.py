"""An exec worker that says what the test wants, and remembers what it was told."""

import asyncio

from agent.exec.messages import ExecEnded, ExecStarted, ExecVerified, FromWorker, RunOrder
from protocol.errors import ErrorCode, Unreachable

PROGRAM = "/usr/bin/true"


class ScriptedWorker:
    """An `ExecWorker` that verifies, starts after `go`, and ends when the test says so or on cancel."""

    def __init__(self, order: RunOrder) -> None:
        self.order = order
        self.says: asyncio.Queue[FromWorker | None] = asyncio.Queue()
        self.says.put_nowait(ExecVerified([PROGRAM]))
        self.was_let_go = False
        self.is_ended = False
        self.has_left_nothing = True

    async def receive(self) -> FromWorker:
        """See `ExecWorker`."""
        message = await self.says.get()
        if message is None:
            raise Unreachable("it died", code=ErrorCode.E_LINK_LOST)
        return message

    async def go(self) -> None:
        """See `ExecWorker`."""
        self.was_let_go = True
        self.says.put_nowait(ExecStarted(4711))

    def cancel(self) -> None:
        """See `ExecWorker`."""
        self.says.put_nowait(ExecEnded(-1, False, 0.5, ""))

    async def end(self) -> bool:
        """See `ExecWorker`."""
        self.is_ended = True
        return self.has_left_nothing


class ScriptedStart:
    """A `StartExecWorker` that keeps what it started."""

    def __init__(self) -> None:
        self.workers: list[ScriptedWorker] = []

    async def __call__(self, order: RunOrder) -> ScriptedWorker:
        """See `StartExecWorker`."""
        self.workers.append(ScriptedWorker(order))
        return self.workers[-1]
