"""Leaves the head of the audit log at the relay, signed: whoever cuts the log later cannot take that back."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from protocol.aio.audit_reading import newest_record
from protocol.aio.session_proof import OwnLog
from protocol.errors import SupportError, Unreachable
from protocol.receipt import make_anchor

log = structlog.get_logger()

SHORTEST_PAUSE_S = 10.0
AFTER_REFUSAL_S = 600.0

Keep = Callable[[bytes], Awaitable[None]]


class Anchors:
    """Sends the newest head when it is due, at most once in SHORTEST_PAUSE_S."""

    def __init__(self, own: OwnLog, pause_s: float = SHORTEST_PAUSE_S) -> None:
        self._own = own
        self._pause_s = pause_s
        self._due = asyncio.Event()
        self._kept_head = ""

    def due(self) -> None:
        """A session is over: the head of now is worth keeping."""
        self._due.set()

    async def run(self, keep: Keep) -> None:
        """For one link, until it is cancelled; the head is left once at its start.

        Raises:
            Unreachable: the link is lost.
        """
        self._due.set()
        while True:
            await self._due.wait()
            self._due.clear()
            await asyncio.sleep(await self._leave(keep))

    async def _leave(self, keep: Keep) -> float:
        """Leave the head; returns for how long nothing more is to be sent."""
        try:
            head = newest_record(self._own.log_path)
            if head is None or head.sha256 is None or head.sha256 == self._kept_head:
                return 0.0
            await keep(make_anchor(head.sha256, self._own.identity))
            self._kept_head = head.sha256
        except Unreachable:
            raise
        except SupportError as exc:
            log.warning("anchor.not_kept", code=str(exc.code), detail=exc.detail)
            self._due.set()
            return AFTER_REFUSAL_S
        return self._pause_s
