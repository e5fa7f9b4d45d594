"""The service's part of `input`: bounds events, drops old ones, hands the rest to the desktop process.

Keys and buttons that are down go up when the channel ends, however it ends. What was typed reaches no log.
The technician is told whether events act, at the start and whenever that changes (around a prompt they do
not), and of what was dropped; the audit log has how much that was.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar, Protocol

from agent.capabilities.base import CapabilityAudit, CapabilityChannel
from protocol.audit import AuditKind
from protocol.errors import ErrorCode, Refused, SupportError
from protocol.grantables import Grantable
from protocol.limits import INPUT_AGE_LIMIT_S
from protocol.messages.input import (
    FROM_AGENT_CODEC,
    FROM_TECHNICIAN_CODEC,
    InputDropped,
    InputEvents,
    InputState,
    ReleaseAll,
)

TELL_EVERY_S = 1.0
_DROPPED_FOR = {ErrorCode.E_INPUT_LATE: "late", ErrorCode.E_INPUT_PAUSED: "paused"}


class InputDesk(Protocol):
    """The desktop process, as far as input is concerned."""

    @property
    def is_paused(self) -> bool:
        """Whether a prompt of ours is open, so that no event acts."""
        ...

    async def allow(self) -> str:
        """Events may act from now on; returns "" or the code that says why they cannot."""
        ...

    async def acts(self) -> bool:
        """Wait until it is told anew whether events act, the first time for `allow`; whether they do."""
        ...

    async def inject(self, events: InputEvents) -> None:
        """Make these happen, in order."""
        ...

    async def held_back(self) -> int:
        """Wait for events that were handed over and did not act, since the system asks; how many."""
        ...

    async def release(self) -> None:
        """Everything that is down goes up."""
        ...

    async def end(self) -> None:
        """No further events; everything that is down goes up. Never raises."""
        ...


class PeerAges(Protocol):
    """The technician's monotonic clock, as the heartbeats tell it."""

    def oldest_ms(self, sent_at_ms: float, now_ms: float) -> float | None:
        """How old at most something with this stamp is; None while nobody can tell."""
        ...


class InputCapability:
    """One input channel at a time for each session."""

    name: ClassVar[str] = "input"
    grantable: ClassVar[Grantable] = Grantable.INPUT_CONTROL

    def __init__(
        self,
        desk: InputDesk,
        audit: CapabilityAudit,
        ages: PeerAges,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now_s` is the clock that `ages` compares the technician's with."""
        self._desk = desk
        self._audit = audit
        self._ages = ages
        self._now_s = now_s
        self._is_serving = False

    async def serve(self, channel: CapabilityChannel) -> None:
        """See `Capability.serve`."""
        channel.require(self.grantable)
        if self._is_serving:
            raise Refused("input is being controlled already", code=ErrorCode.E_BUSY)
        self._is_serving = True
        self._audit.write(AuditKind.INPUT_STARTED)
        counts = Counter(events=0, late=0, paused=0)
        try:
            code = await self._desk.allow()
            if code:
                await channel.send(FROM_AGENT_CODEC.encode(InputState(is_active=False, code=code)))
            else:
                await self._pass_on(channel, counts)
        finally:
            self._is_serving = False
            try:
                await self._desk.end()
            finally:
                self._audit.note(AuditKind.INPUT_ENDED, counts)

    async def _pass_on(self, channel: CapabilityChannel, counts: Counter[str]) -> None:
        telling = _Telling(channel)
        await telling.state(is_active=await self._desk.acts())
        beside = [
            asyncio.create_task(self._report(telling, counts)),
            asyncio.create_task(self._follow(telling)),
        ]
        try:
            await self._hand_over(channel, counts, telling)
        finally:
            for task in beside:
                task.cancel()

    async def _follow(self, telling: "_Telling") -> None:
        with suppress(SupportError):  # as below
            while True:
                await telling.state(is_active=await self._desk.acts())

    async def _report(self, telling: "_Telling", counts: Counter[str]) -> None:
        with suppress(SupportError):  # a channel that is gone ends the other task too
            while True:
                events = await self._desk.held_back()
                counts["events"] -= events
                counts["paused"] += events
                await telling.dropped(ErrorCode.E_INPUT_PAUSED, events, self._now_s())

    async def _hand_over(self, channel: CapabilityChannel, counts: Counter[str], telling: "_Telling") -> None:
        while True:
            message = FROM_TECHNICIAN_CODEC.decode(await channel.receive())
            channel.require(self.grantable)
            if isinstance(message, ReleaseAll):
                await self._desk.release()
                continue
            code = self._why_not(message)
            if code is None:
                counts["events"] += len(message.events)
                await self._desk.inject(message)
                continue
            counts[_DROPPED_FOR[code]] += len(message.events)
            await self._desk.release()
            await telling.dropped(code, len(message.events), self._now_s())

    def _why_not(self, message: InputEvents) -> ErrorCode | None:
        if self._desk.is_paused:
            return ErrorCode.E_INPUT_PAUSED
        age_ms = self._ages.oldest_ms(message.sent_at_ms, self._now_s() * 1000)
        # whose age nobody can tell is not carried out either: a relay could have kept it for an hour
        is_late = age_ms is None or age_ms > INPUT_AGE_LIMIT_S * 1000
        return ErrorCode.E_INPUT_LATE if is_late else None


class _Telling:
    """Tells the technician whether events act, and what was dropped: once a second, the first at once."""

    def __init__(self, channel: CapabilityChannel) -> None:
        self._channel = channel
        self._untold: Counter[ErrorCode] = Counter()
        self._told_s: dict[ErrorCode, float] = {}

    async def state(self, *, is_active: bool) -> None:
        """Events act from now on, or do not."""
        code = "" if is_active else ErrorCode.E_INPUT_PAUSED
        await self._channel.send(FROM_AGENT_CODEC.encode(InputState(is_active=is_active, code=code)))

    async def dropped(self, code: ErrorCode, events: int, now_s: float) -> None:
        """These did not act."""
        self._untold[code] += events
        if now_s - self._told_s.get(code, -TELL_EVERY_S) < TELL_EVERY_S:
            return
        self._told_s[code] = now_s
        told = InputDropped(events=self._untold.pop(code), code=code)
        await self._channel.send(FROM_AGENT_CODEC.encode(told))
