"""The service's part of `input`: bounds events, drops old ones, hands the rest to the desktop process.

Keys and buttons that are down go up when the channel ends, however it ends. What was typed reaches no log.
"""

import time
from collections.abc import Callable
from typing import ClassVar, Protocol

from agent.capabilities.base import CapabilityAudit, CapabilityChannel
from protocol.audit import AuditKind
from protocol.errors import ErrorCode, Refused
from protocol.grantables import Grantable
from protocol.limits import INPUT_AGE_LIMIT_S
from protocol.messages.input import (
    FROM_AGENT_CODEC,
    FROM_TECHNICIAN_CODEC,
    InputEvents,
    InputState,
    ReleaseAll,
)


class InputDesk(Protocol):
    """The desktop process, as far as input is concerned."""

    async def allow(self) -> str:
        """Events act from now on; returns "" or the code that says why they cannot."""
        ...

    async def inject(self, events: InputEvents) -> None:
        """Make these happen, in order."""
        ...

    async def release(self) -> None:
        """Everything that is down goes up."""
        ...

    async def end(self) -> None:
        """No further events; everything that is down goes up. Never raises."""
        ...


class InputCapability:
    """One input channel at a time for each session."""

    name: ClassVar[str] = "input"
    grantable: ClassVar[Grantable] = Grantable.INPUT_CONTROL

    def __init__(
        self,
        desk: InputDesk,
        audit: CapabilityAudit,
        peer_offset_ms: Callable[[], float | None],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`peer_offset_ms`: the technician's monotonic clock minus ours, None while it is not known."""
        self._desk = desk
        self._audit = audit
        self._peer_offset_ms = peer_offset_ms
        self._now_s = now_s
        self._is_serving = False

    async def serve(self, channel: CapabilityChannel) -> None:
        """See `Capability.serve`."""
        channel.require(self.grantable)
        if self._is_serving:
            raise Refused("input is being controlled already", code=ErrorCode.E_BUSY)
        self._is_serving = True
        self._audit.write(AuditKind.INPUT_STARTED)
        counts = {"events": 0, "dropped": 0}
        try:
            code = await self._desk.allow()
            await channel.send(FROM_AGENT_CODEC.encode(InputState(is_active=not code, code=code)))
            if not code:
                await self._pass_on(channel, counts)
        finally:
            self._is_serving = False
            try:
                await self._desk.end()
            finally:
                self._audit.note(AuditKind.INPUT_ENDED, counts)

    async def _pass_on(self, channel: CapabilityChannel, counts: dict[str, int]) -> None:
        while True:
            message = FROM_TECHNICIAN_CODEC.decode(await channel.receive())
            channel.require(self.grantable)
            match message:
                case ReleaseAll():
                    await self._desk.release()
                case InputEvents() if self._is_too_old(message.sent_at_ms):
                    counts["dropped"] += len(message.events)
                    await self._desk.release()
                case InputEvents():
                    counts["events"] += len(message.events)
                    await self._desk.inject(message)

    def _is_too_old(self, sent_at_ms: int) -> bool:
        offset_ms = self._peer_offset_ms()
        if offset_ms is None:
            return False
        age_ms = self._now_s() * 1000 - (sent_at_ms - offset_ms)
        return age_ms > INPUT_AGE_LIMIT_S * 1000
