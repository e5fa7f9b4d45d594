"""The exec worker of a simulated agent: decides again for itself, as the real one, and runs nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random

from agent.exec.approval import approve_order
from agent.exec.book import CommandBook
from agent.exec.messages import (
    ExecEnded,
    ExecOutput,
    ExecRefused,
    ExecStarted,
    ExecVerified,
    FromWorker,
    RunOrder,
)
from protocol.errors import ErrorCode, SupportError, Unreachable
from protocol.ids import RequestId
from tests.simulate.loop import VirtualLoop, forever
from tests.simulate.oracle import Oracle

GO_S = 0.002


@dataclass(frozen=True, slots=True)
class WorkerTerms:
    """What a worker works with; `kill_agent`: SIGKILL of the service right after a start."""

    loop: VirtualLoop
    oracle: Oracle
    chance: Random
    session_id: str
    utc_now: Callable[[], datetime]
    book: CommandBook
    kill_agent: Callable[[], None] | None = None


class SimulatedWorker:
    """Implements `agent.exec.start.ExecWorker`."""

    def __init__(self, order: RunOrder, terms: WorkerTerms) -> None:
        self._order = order
        self._terms = terms
        self._says: asyncio.Queue[FromWorker | None] = asyncio.Queue()
        self._is_over = False
        try:
            approved = approve_order(order, terms.utc_now())
        except SupportError as exc:
            self._later(0.01, ExecRefused(exc.code.value, exc.detail[:300]))
        else:
            self._later(0.01, ExecVerified(approved.argv))

    async def receive(self) -> FromWorker:
        """See `ExecWorker`."""
        message = await self._says.get()
        if message is None:
            raise Unreachable("it died", code=ErrorCode.E_LINK_LOST)
        return message

    async def go(self) -> None:
        """See `ExecWorker`."""
        await asyncio.sleep(GO_S)
        if self._is_over:
            return
        terms = self._terms
        try:
            terms.book.begin(RequestId(self._order.request.request_id))
        except SupportError as exc:
            self._says.put_nowait(ExecRefused(exc.code.value, exc.detail[:300]))
            return
        terms.oracle.command_started(terms.session_id, self._order.request.request_id)
        if terms.kill_agent is not None and terms.chance.random() < 0.3:
            terms.kill_agent()
            await forever()
        self._says.put_nowait(ExecStarted(4711))
        took_s = terms.chance.choice([0.01, 0.5, 3.0, 30.0])
        self._later(took_s / 2, ExecOutput("stdout", b"canary of a command's output"))
        if terms.chance.random() < 0.05:
            self._later(took_s, None)
        else:
            self._later(took_s, ExecEnded(0, False, took_s, ""))

    def cancel(self) -> None:
        """See `ExecWorker`."""
        self._later(0.01, ExecEnded(-1, False, 0.5, ""))

    async def end(self) -> bool:
        """See `ExecWorker`."""
        self._is_over = True
        return True

    def _later(self, after_s: float, message: FromWorker | None) -> None:
        self._terms.loop.call_later(after_s, self._says.put_nowait, message)
