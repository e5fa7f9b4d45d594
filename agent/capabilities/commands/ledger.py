"""Which requests this agent has taken, and how many run: each id once, a few at a time, a few waiting."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.exec.book import CommandBook
from protocol.errors import ErrorCode, Refused
from protocol.limits import COMMANDS_AT_ONCE_LIMIT, COMMANDS_WAITING_LIMIT


class CommandLedger:
    """One for each run of the agent, shared by all its sessions; `book` outlives it."""

    def __init__(self, book: CommandBook) -> None:
        self.book = book
        self._places = asyncio.Semaphore(COMMANDS_AT_ONCE_LIMIT)
        self._waiting = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold one of the few places for running commands, first come, first served.

        Raises:
            Refused: E_BUSY, all are held and as many wait already as may.
        """
        if self._places.locked() and self._waiting >= COMMANDS_WAITING_LIMIT:
            raise Refused(f"{self._waiting} commands wait already", code=ErrorCode.E_BUSY)
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()
