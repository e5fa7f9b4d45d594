"""The service's part of `input` by itself: grants, age, order and the end, without a session around it."""

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capabilities.input.capability import InputCapability
from protocol.audit import AuditKind
from protocol.errors import EnvironmentFault, ErrorCode, NotGranted, PeerViolation, SupportError
from protocol.grantables import Grantable
from protocol.messages import input as messages
from tests.support.capability_channel import ChannelOver, MemoryChannel

PRESS = messages.Key(keysym=0x61, is_pressed=True)
NOW_S = 1000.0


class Desk:
    """Records what reached the desktop process."""

    def __init__(self) -> None:
        self.did: list[object] = []
        self.is_paused = False
        self.held_back_events: asyncio.Queue[int] = asyncio.Queue()
        self.does_act: asyncio.Queue[bool] = asyncio.Queue()
        self.does_act.put_nowait(True)

    async def allow(self) -> str:
        """See `InputDesk`."""
        self.did.append("allow")
        return ""

    async def acts(self) -> bool:
        """See `InputDesk`."""
        return await self.does_act.get()

    async def inject(self, events: messages.InputEvents) -> None:
        """See `InputDesk`."""
        self.did += events.events

    async def held_back(self) -> int:
        """See `InputDesk`."""
        return await self.held_back_events.get()

    async def release(self) -> None:
        """See `InputDesk`."""
        self.did.append("release")

    async def end(self) -> None:
        """See `InputDesk`."""
        self.did.append("end")


class Ages:
    """A clock of the technician's that is known exactly, or not at all."""

    def __init__(self, offset_ms: float | None) -> None:
        self._offset_ms = offset_ms

    def oldest_ms(self, sent_at_ms: float, now_ms: float) -> float | None:
        """See `PeerAges`."""
        return None if self._offset_ms is None else now_ms - (sent_at_ms - self._offset_ms)


class Audit:
    """Keeps kinds; can be full."""

    def __init__(self) -> None:
        self.kinds: list[AuditKind] = []
        self.facts: dict[str, str | int] = {}
        self.is_full = False

    def write(
        self, kind: AuditKind, facts: Mapping[str, str | int] | None = None, *, succeeded: bool = True
    ) -> None:
        """See `CapabilityAudit`."""
        if self.is_full:
            raise EnvironmentFault("full", code=ErrorCode.E_AUDIT_WRITE)
        self.kinds.append(kind)

    def note(
        self, kind: AuditKind, facts: Mapping[str, str | int] | None = None, *, succeeded: bool = True
    ) -> None:
        """See `CapabilityAudit`."""
        self.kinds.append(kind)
        self.facts = dict(facts or {})


def sent(age_ms: int, offset_ms: int, *events: messages.Event) -> bytes:
    """Events made so long ago on a technician's clock that is ahead of ours by the offset."""
    sent_at_ms = int(NOW_S * 1000) - age_ms + offset_ms
    return messages.FROM_TECHNICIAN_CODEC.encode(messages.InputEvents(sent_at_ms, 0, list(events)))


async def serve(channel: MemoryChannel, desk: Desk, audit: Audit, offset_ms: float | None = 0.0) -> None:
    """Run the capability on this channel to its end."""
    capability = InputCapability(desk, audit, Ages(offset_ms), lambda: NOW_S)
    with pytest.raises(SupportError) as caught:
        await capability.serve(channel)
    if not isinstance(caught.value, ChannelOver):
        raise caught.value


async def test_events_keep_their_order_and_the_end_releases() -> None:
    channel, desk, audit = MemoryChannel(Grantable.INPUT_CONTROL), Desk(), Audit()
    channel.feed(sent(0, 0, PRESS, messages.PointerMove(1, 2)))
    channel.feed(messages.FROM_TECHNICIAN_CODEC.encode(messages.ReleaseAll()))
    channel.close()
    await serve(channel, desk, audit)
    assert desk.did == ["allow", PRESS, messages.PointerMove(1, 2), "release", "end"]
    assert audit.kinds == [AuditKind.INPUT_STARTED, AuditKind.INPUT_ENDED]


@given(age_ms=st.integers(0, 10_000), offset_ms=st.integers(-(10**6), 10**6))
def test_age_is_measured_on_the_technician_s_own_clock(age_ms: int, offset_ms: int) -> None:
    async def check() -> None:
        channel, desk = MemoryChannel(Grantable.INPUT_CONTROL), Desk()
        channel.feed(sent(age_ms, offset_ms, PRESS))
        channel.close()
        await serve(channel, desk, Audit(), float(offset_ms))
        assert (PRESS in desk.did) is (age_ms <= 2000)

    asyncio.run(check())


async def test_what_is_dropped_is_told_and_counted() -> None:
    channel, desk, audit = MemoryChannel(Grantable.INPUT_CONTROL), Desk(), Audit()
    for age_ms in (2500, 2600, 0):
        channel.feed(sent(age_ms, 0, PRESS, PRESS))
    channel.close()
    await serve(channel, desk, audit)
    state, told = [messages.FROM_AGENT_CODEC.decode(await channel.answer()) for _ in range(2)]
    assert state == messages.InputState(is_active=True, code="")
    assert told == messages.InputDropped(2, ErrorCode.E_INPUT_LATE)
    assert not channel.has_answers, "what follows within a second is told with the next one"
    assert audit.facts == {"events": 2, "late": 4, "paused": 0}


async def test_the_technician_is_told_that_events_act_when_they_do_and_not_before() -> None:
    channel, desk = MemoryChannel(Grantable.INPUT_CONTROL), Desk()
    desk.does_act = asyncio.Queue()
    serving = asyncio.create_task(serve(channel, desk, Audit()))
    await asyncio.sleep(0)
    assert not channel.has_answers
    paused = messages.InputState(is_active=False, code=ErrorCode.E_INPUT_PAUSED)
    for acts in (False, True, False):
        desk.does_act.put_nowait(acts)
        told = messages.FROM_AGENT_CODEC.decode(await channel.answer())
        assert told == (messages.InputState(is_active=True, code="") if acts else paused)
    channel.close()
    await serving


async def test_what_nobody_can_tell_the_age_of_does_not_act() -> None:
    channel, desk = MemoryChannel(Grantable.INPUT_CONTROL), Desk()
    channel.feed(sent(0, 0, PRESS))
    channel.close()
    await serve(channel, desk, Audit(), None)
    assert PRESS not in desk.did


async def test_con_08_while_a_prompt_is_open_nothing_acts_and_the_technician_is_told() -> None:
    channel, desk = MemoryChannel(Grantable.INPUT_CONTROL), Desk()
    desk.is_paused = True
    channel.feed(sent(0, 0, PRESS))
    channel.close()
    await serve(channel, desk, Audit())
    await channel.answer()
    told = messages.FROM_AGENT_CODEC.decode(await channel.answer())
    assert told == messages.InputDropped(1, ErrorCode.E_INPUT_PAUSED)
    assert desk.did == ["allow", "release", "end"]


async def test_without_the_grant_nothing_reaches_the_desktop() -> None:
    channel, desk = MemoryChannel(Grantable.SCREEN_VIEW), Desk()
    with pytest.raises(NotGranted):
        await serve(channel, desk, Audit())
    assert desk.did == []


async def test_what_the_system_held_back_is_told_and_counted() -> None:
    channel, desk, audit = MemoryChannel(Grantable.INPUT_CONTROL), Desk(), Audit()
    channel.feed(sent(0, 0, PRESS, PRESS))
    serving = asyncio.create_task(serve(channel, desk, audit))
    await channel.answer()
    desk.held_back_events.put_nowait(1)
    told = messages.FROM_AGENT_CODEC.decode(await channel.answer())
    assert told == messages.InputDropped(events=1, code=ErrorCode.E_INPUT_PAUSED)
    channel.close()
    await serving
    assert audit.facts == {"events": 1, "late": 0, "paused": 1}


async def test_a_grant_that_ended_stops_the_next_event() -> None:
    channel, desk = MemoryChannel(Grantable.INPUT_CONTROL), Desk()
    channel.feed(sent(0, 0, PRESS))
    serving = asyncio.create_task(serve(channel, desk, Audit()))
    await channel.answer()
    await asyncio.sleep(0)
    channel.book.end_all()
    channel.feed(sent(0, 0, messages.PointerMove(1, 2)))
    with pytest.raises(NotGranted):
        await serving
    assert desk.did == ["allow", PRESS, "end"]


async def test_msg_16_garbage_is_a_violation_and_still_releases() -> None:
    channel, desk = MemoryChannel(Grantable.INPUT_CONTROL), Desk()
    channel.feed(b"\xc1")
    with pytest.raises(PeerViolation):
        await serve(channel, desk, Audit())
    assert desk.did == ["allow", "end"]


async def test_an_audit_log_that_is_full_refuses_input() -> None:
    channel, desk, audit = MemoryChannel(Grantable.INPUT_CONTROL), Desk(), Audit()
    audit.is_full = True
    with pytest.raises(EnvironmentFault):
        await serve(channel, desk, audit)
    assert desk.did == []
