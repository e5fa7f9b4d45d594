"""The technician's end of a session against a scripted device, over wires in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from protocol.aio.channel_io import ChannelEnded
from protocol.errors import ErrorCode, NotGranted, SupportError, WrongState
from protocol.grantables import Grantable
from protocol.identity import Identity
from protocol.ids import DeviceId, SessionId, new_session_id
from protocol.messages.channel import ChannelRefused, OpenChannel
from protocol.messages.consent import Ask, AskAnswer, AskPending, GivenGrant, GrantEnded
from protocol.messages.session import EndSession, Heartbeat, HeartbeatAnswer
from technician_client.notices import SessionOver
from technician_client.opening import Wanted, establish
from technician_client.sessions import TechnicianSession
from tests.support.audit_sink import RecordingSink
from tests.support.organisation import acme, intruders
from tests.support.scripted_agent import ScriptedAgent
from tests.support.wires import MemoryWire, wire_pair

DEVICE = acme().device()
TECHNICIAN = acme().technician()
VIEW = Grantable.SCREEN_VIEW


class Meeting:
    """One technician's wire and one scripted device on the other end of it."""

    def __init__(self, device: Identity = DEVICE) -> None:
        self.wire, far_wire = wire_pair()
        self.session_id = SessionId(new_session_id())
        self.agent = ScriptedAgent(far_wire, device, self.session_id)
        self.sink = RecordingSink()

    async def establish(self, device_id: str = DEVICE.subject_id) -> TechnicianSession:
        """The technician's side of the opening."""
        return await establish(self.wire, Wanted(self.session_id, DeviceId(device_id), TECHNICIAN, self.sink))


@asynccontextmanager
async def live_session() -> AsyncIterator[tuple[TechnicianSession, Meeting]]:
    meeting = Meeting()
    async with meeting.agent:
        opening = asyncio.create_task(meeting.establish())
        await meeting.agent.ready()
        async with await opening as session:
            yield session, meeting


async def granted(session: TechnicianSession, agent: ScriptedAgent, grantable: Grantable = VIEW) -> None:
    asking = asyncio.create_task(session.ask([grantable]))
    await agent.allow()
    await asking


async def refused_opening(meeting: Meeting, device_id: str = DEVICE.subject_id) -> ErrorCode:
    with pytest.raises(SupportError) as caught:
        await meeting.establish(device_id)
    return caught.value.code


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not [task for task in left if not task.done()]


class TestOpening:
    async def test_nothing_is_sent_into_the_tunnel_before_the_agents_ready(self):
        meeting = Meeting()
        async with meeting.agent:
            opening = asyncio.create_task(meeting.establish())
            io = await meeting.agent.up()
            early = asyncio.create_task(io.control.receive())
            for _ in range(50):
                await asyncio.sleep(0)
            assert not early.done()
            await meeting.agent.ready()
            async with await opening:
                assert await early

    async def test_another_device_of_the_same_organisation_is_refused(self):
        meeting = Meeting(acme().device("kitchen-pc"))
        async with meeting.agent:
            assert await refused_opening(meeting) == ErrorCode.E_CERT_SUBJECT
        assert meeting.sink.kinds == ["session.refused"]

    async def test_a_device_of_another_organisation_is_refused(self):
        stranger = intruders().device()
        meeting = Meeting(stranger)
        async with meeting.agent:
            code = await refused_opening(meeting, stranger.subject_id)
        assert code in {ErrorCode.E_CERT_CHAIN, ErrorCode.E_CERT_ORG, ErrorCode.E_HANDSHAKE}

    async def test_a_technician_in_the_devices_place_is_refused(self):
        meeting = Meeting(acme().technician("eve"))
        async with meeting.agent:
            code = await refused_opening(meeting)
        assert code in {ErrorCode.E_CERT_ROLE, ErrorCode.E_CERT_CHAIN, ErrorCode.E_HANDSHAKE}

    async def test_any_other_message_before_ready_ends_it(self):
        meeting = Meeting()
        async with meeting.agent:
            await_opening = asyncio.create_task(refused_opening(meeting))
            await meeting.agent.send(AskPending(1, 1.0))
            assert await await_opening == ErrorCode.E_PROTOCOL

    async def test_the_agents_reason_to_refuse_is_handed_on(self):
        meeting = Meeting()
        async with meeting.agent:
            await_opening = asyncio.create_task(refused_opening(meeting))
            await meeting.agent.send(EndSession(ErrorCode.E_CERT_SCOPE))
            assert await await_opening == ErrorCode.E_CERT_SCOPE

    @pytest.mark.parametrize(
        ("wrong", "code"),
        [
            ({"session_id": new_session_id()}, ErrorCode.E_PROTOCOL),
            ({"version": 99}, ErrorCode.E_VERSION),
        ],
    )
    async def test_a_ready_of_another_session_or_version_ends_it(self, wrong, code):
        meeting = Meeting()
        async with meeting.agent:
            await_opening = asyncio.create_task(refused_opening(meeting))
            await meeting.agent.ready(**wrong)
            assert await await_opening == code

    async def test_a_cancelled_opening_closes_the_wire(self):
        meeting = Meeting()
        async with meeting.agent:
            opening = asyncio.create_task(meeting.establish())
            await meeting.agent.up()
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        assert _is_closed(meeting.wire)

    async def test_garbage_instead_of_a_handshake_ends_it(self):
        near, far = wire_pair()
        await far.send(b"\x16\x03\x01garbage" * 20)
        sink = RecordingSink()
        wanted = Wanted(SessionId(new_session_id()), DeviceId(DEVICE.subject_id), TECHNICIAN, sink)
        with pytest.raises(SupportError) as caught:
            await establish(near, wanted)
        assert caught.value.code == ErrorCode.E_HANDSHAKE
        assert _is_closed(near)


class TestAsking:
    async def test_what_was_granted_is_held_and_recorded(self):
        async with live_session() as (session, meeting):
            asking = asyncio.create_task(session.ask([VIEW], reason="printer", ticket_number="T-1"))
            ask = await meeting.agent.allow()
            answer = await asking
            assert (ask.reason, ask.ticket_number) == ("printer", "T-1")
            assert [grant.grantable for grant in answer.granted] == [VIEW]
            assert 59 < session.held()[VIEW].remaining_s <= 60
            assert meeting.sink.kinds == ["session.ready", "consent.asked", "consent.allowed", "grant.given"]

    async def test_a_refusal_holds_nothing_and_is_recorded(self):
        async with live_session() as (session, meeting):
            asking = asyncio.create_task(session.ask([VIEW]))
            await meeting.agent.refuse(ErrorCode.E_CONSENT_DENIED)
            assert (await asking).refused == {"screen.view": "E_CONSENT_DENIED"}
            assert not session.held()
            assert meeting.sink.kinds[-1] == "consent.denied"

    async def test_that_the_person_is_being_asked_is_noticed(self):
        async with live_session() as (session, meeting):
            asking = asyncio.create_task(session.ask([VIEW]))
            ask = await meeting.agent.receive()
            assert isinstance(ask, Ask)
            await meeting.agent.send(AskPending(ask.ask_no, 300.0))
            assert await session.notices.get() == AskPending(ask.ask_no, 300.0)
            await meeting.agent.send(AskAnswer(ask.ask_no, [], {VIEW: ErrorCode.E_CONSENT_TIMEOUT}))
            await asking
            assert meeting.sink.kinds[-1] == "consent.timed_out"

    async def test_a_grant_that_nobody_asked_for_ends_the_session(self):
        async with live_session() as (session, meeting):
            asking = asyncio.create_task(session.ask([VIEW]))
            ask = await meeting.agent.receive()
            assert isinstance(ask, Ask)
            surplus = GivenGrant("g-x", Grantable.COMMANDS_RUN, 60.0)
            await meeting.agent.send(AskAnswer(ask.ask_no, [surplus], {}))
            with pytest.raises(SupportError) as caught:
                await asking
            assert caught.value.code == ErrorCode.E_PROTOCOL
            assert await session.notices.get() == SessionOver(ErrorCode.E_PROTOCOL)

    async def test_an_answer_that_nobody_waits_for_any_more_does_not_end_the_session(self):
        async with live_session() as (session, meeting):
            asking = asyncio.create_task(session.ask([VIEW]))
            ask = await meeting.agent.receive()
            assert isinstance(ask, Ask)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await meeting.agent.send(AskAnswer(ask.ask_no, [GivenGrant("g-1", VIEW, 60.0)], {}))
            await meeting.agent.send(AskPending(ask.ask_no, 1.0))
            assert await session.notices.get() == AskPending(ask.ask_no, 1.0)
            assert VIEW in session.held()

    async def test_an_answer_to_no_question_ends_the_session(self):
        async with live_session() as (session, meeting):
            await meeting.agent.send(AskAnswer(7, [], {}))
            assert await session.notices.get() == SessionOver(ErrorCode.E_PROTOCOL)

    async def test_a_grant_that_ended_is_not_held_any_more(self):
        async with live_session() as (session, meeting):
            await granted(session, meeting.agent)
            ended = GrantEnded("g-screen.view", VIEW, ErrorCode.E_GRANT_ENDED)
            await meeting.agent.send(ended)
            assert await session.notices.get() == ended
            assert not session.held()
            assert meeting.sink.kinds[-1] == "grant.ended"


class TestChannels:
    async def test_without_a_grant_no_channel_is_even_asked_for(self):
        async with live_session() as (session, meeting):
            with pytest.raises(NotGranted):
                await session.open_channel(VIEW)
            await session.end()
            assert await meeting.agent.wait_for_end() == "technician_left"

    async def test_an_opened_channel_carries_messages_both_ways(self):
        async with live_session() as (session, meeting):
            await granted(session, meeting.agent)
            opening = asyncio.create_task(session.open_channel(VIEW))
            far = await meeting.agent.open_channel()
            near = await opening
            await near.send(b"ping")
            assert await far.receive() == b"ping"
            await far.send(b"pong")
            assert await near.receive() == b"pong"

    async def test_a_refused_channel_raises_the_agents_code(self):
        async with live_session() as (session, meeting):
            await granted(session, meeting.agent)
            opening = asyncio.create_task(session.open_channel(VIEW))
            order = await meeting.agent.receive()
            assert isinstance(order, OpenChannel)
            await meeting.agent.send(ChannelRefused(order.channel_no, ErrorCode.E_SCREEN_NONE))
            with pytest.raises(SupportError) as caught:
                await opening
            assert caught.value.code == ErrorCode.E_SCREEN_NONE

    async def test_the_end_of_a_grant_ends_its_channel_with_the_reason(self):
        async with live_session() as (session, meeting):
            await granted(session, meeting.agent)
            opening = asyncio.create_task(session.open_channel(VIEW))
            await meeting.agent.open_channel()
            stream = await opening
            await meeting.agent.send(GrantEnded("g-screen.view", VIEW, ErrorCode.E_SESSION_STOPPED))
            with pytest.raises(ChannelEnded) as caught:
                await stream.receive()
            assert caught.value.code == ErrorCode.E_SESSION_STOPPED


class TestEnding:
    async def test_leaving_tells_the_agent_and_leaves_nothing(self):
        async with live_session() as (session, meeting):
            await session.end()
            assert await meeting.agent.wait_for_end() == "technician_left"
            assert await session.notices.get() == SessionOver("technician_left")
            assert meeting.sink.kinds[-1] == "session.ended"
            await session.end()
            assert _is_closed(meeting.wire)

    async def test_the_agents_end_wakes_everybody_with_its_code(self):
        async with live_session() as (session, meeting):
            asking = asyncio.create_task(session.ask([VIEW]))
            await meeting.agent.receive()
            await meeting.agent.send(EndSession(ErrorCode.E_SESSION_STOPPED))
            with pytest.raises(SupportError) as caught:
                await asking
            assert caught.value.code == ErrorCode.E_SESSION_STOPPED
            assert await session.notices.get() == SessionOver(ErrorCode.E_SESSION_STOPPED)

    async def test_a_lost_link_ends_the_session(self):
        async with live_session() as (session, meeting):
            await meeting.wire.close()
            assert await session.notices.get() == SessionOver(ErrorCode.E_LINK_LOST)
            with pytest.raises((SupportError, WrongState)):
                await session.ask([VIEW])

    async def test_heartbeats_give_the_agents_clock(self):
        async with live_session() as (session, meeting):
            beat = await meeting.agent.receive_any()
            assert isinstance(beat, Heartbeat)
            await meeting.agent.send(HeartbeatAnswer(beat.beat_no, beat.sent_at_ms, beat.sent_at_ms + 5000))
            await meeting.agent.send(Heartbeat(1, 77))
            answer = await meeting.agent.receive_any()
            assert isinstance(answer, HeartbeatAnswer)
            assert answer.sent_at_ms == 77
            assert session.clock_offset_ms == pytest.approx(5000, abs=500)


def _is_closed(wire: MemoryWire) -> bool:
    return wire._is_closed
