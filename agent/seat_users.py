"""Which users may have a desktop process here beside the service's own user (decision 0029)."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from protocol.errors import BackendUnavailable

log = structlog.get_logger()

FRESH_S = 5.0  # a flood of connections asks the system no more often


class SeatUsers:
    """Those with a graphical session, as the system tells it, and those that the settings name."""

    def __init__(self, read: Callable[[], Awaitable[frozenset[int]]], named: frozenset[int]) -> None:
        self._read = read
        self._named = named
        self._found: frozenset[int] = frozenset()
        self._read_at_s: float | None = None
        self._reading = asyncio.Lock()

    async def admits(self, uid: int) -> bool:
        """Whether this user may; where nobody tells, only those that are named."""
        if uid in self._named:
            return True
        async with self._reading:
            now_s = asyncio.get_running_loop().time()
            if self._read_at_s is None or now_s - self._read_at_s > FRESH_S:
                self._found = await self._read_or_none()
                self._read_at_s = asyncio.get_running_loop().time()
            return uid in self._found

    async def _read_or_none(self) -> frozenset[int]:
        try:
            return await self._read()
        except BackendUnavailable as exc:
            log.info("seats.unknown", detail=exc.detail)
            return frozenset()
