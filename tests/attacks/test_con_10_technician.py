"""A hostile technician, and a relay that works with one, against the device's consent (THREATS.md 3.8)."""

import asyncio
import random
from pathlib import Path

import msgspec
import pytest

from agent.desktop import ipc_messages as ipc
from agent.live_session import ASKS_AT_ONCE_LIMIT
from agent.session_channels import OPENED_PER_MINUTE_LIMIT
from agent.sessions import Sessions
from protocol.aio.wire import Wire
from protocol.errors import ErrorCode, SupportError
from protocol.grantables import Grantable
from protocol.ids import new_session_id
from protocol.limits import CHANNEL_MESSAGE_LIMIT_BYTES
from protocol.messages import input as input_messages
from protocol.messages.channel import CloseChannel, OpenChannel
from protocol.messages.consent import Ask, ReleaseGrant
from protocol.messages.control import SessionDeclined, SessionOffered, SessionRoute
from protocol.messages.session import FromTechnician, Heartbeat, HeartbeatAnswer
from technician_client.sessions import TechnicianSession
from tests.support.desktop import deny, leave_open
from tests.support.device_end import DeviceEnd, attached, device_end, open_channel
from tests.support.organisation import acme
from tests.support.policies import signed_policy
from tests.support.wires import wire_pair

pytestmark = [pytest.mark.real, pytest.mark.beside]

VIEW, CONTROL = Grantable.SCREEN_VIEW, Grantable.INPUT_CONTROL


class CollidingRelay:
    """A relay that offers what it likes."""

    def __init__(self) -> None:
        self.declined: list[str] = []
        self.opened = 0

    async def open_wire(self, _offer: SessionOffered) -> Wire:
        """See `agent.sessions.OpenWire`."""
        self.opened += 1
        return wire_pair()[0]

    async def decline(self, declined: SessionDeclined) -> None:
        """See `agent.sessions.Decline`."""
        self.declined.append(declined.code)


async def test_p7_a_relay_cannot_give_two_sessions_one_id_and_so_one_indicator(tmp_path: Path) -> None:
    device, relay = DeviceEnd(acme(), tmp_path), CollidingRelay()
    sessions = Sessions(device.side, relay.open_wire)
    offer = SessionOffered(new_session_id(), SessionRoute(port=0, path="/v1/session"), b"ticket")
    for _ in range(2):
        await sessions.offered(offer, relay.decline)
    await asyncio.sleep(0)
    await sessions.end_all("finished")
    await sessions.offered(offer, relay.decline)  # nor the id of a session that is over
    assert relay.declined == [ErrorCode.E_STATE] * 2
    assert relay.opened == 1


async def _answers(device: DeviceEnd, count: int) -> list[str]:
    codes = []
    for _ in range(count):
        async with await device.connect(acme().technician()) as session:
            codes.append(str((await session.ask([VIEW])).refused.get(VIEW, "")))
    return codes


async def test_con_10_a_technician_cannot_wear_the_person_down_over_many_sessions(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device, deny) as desktop:
        codes = await _answers(device, 6)
        await device.over()
        assert codes == [ErrorCode.E_CONSENT_DENIED] * 3 + [ErrorCode.E_RATE] * 3
        assert len(desktop.all_of(ipc.ShowPrompt)) == 3
    assert device.kinds().count("consent.denied") == 6


async def test_con_10_prompts_that_are_taken_back_unanswered_count_as_refused(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device, leave_open) as desktop:
        for number in range(1, 4):
            session = await device.connect(acme().technician())
            asking = asyncio.create_task(session.ask([VIEW]))
            await desktop.order(ipc.ShowPrompt, number)
            await session.end()
            await asyncio.gather(asking, return_exceptions=True)
        await device.over()
        assert await _answers(device, 1) == [ErrorCode.E_RATE]


async def test_p7_who_was_stopped_three_times_is_not_let_in_at_once_even_unattended(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path, "kiosks") as device, attached(device) as desktop:
        device.publish(signed_policy(acme(), groups={"kiosks": "unattended"}))
        for _ in range(3):
            session = await device.connect(acme().technician())
            await session.ask([VIEW])
            await desktop.stop(session.session_id)
            await device.over()
            await session.end()
        assert await _answers(device, 1) == [ErrorCode.E_RATE]


async def test_con_01_a_live_session_asks_under_the_newest_policy(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path, "kiosks") as device, attached(device, deny) as desktop:
        device.publish(signed_policy(acme(), version=1, groups={"kiosks": "unattended"}))
        async with await device.connect(acme().technician()) as session:
            assert (await session.ask([VIEW])).granted
            device.publish(signed_policy(acme(), version=2, groups={"kiosks": "ask"}))
            answer = await session.ask([CONTROL])
            assert answer.refused == {CONTROL: ErrorCode.E_CONSENT_DENIED}
            assert len(desktop.all_of(ipc.ShowPrompt)) == 1
            roles = {"technician": ["screen.view"]}
            device.publish(signed_policy(acme(), version=3, groups={"kiosks": "unattended"}, roles=roles))
            answer = await session.ask([CONTROL])
            assert answer.refused == {CONTROL: ErrorCode.E_POLICY_CAPABILITY}


async def _flood(session: TechnicianSession, count: int) -> None:
    for number in range(1, count + 1):
        await session._send(Ask(number + 100, ["screen.view"], "", "", 60))


async def test_con_10_asks_of_a_technician_who_reads_nothing_do_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device, leave_open):
        session = await device.connect(acme().technician())
        (runner,) = device.runners.values()
        live = runner._live
        assert live is not None
        stuck, send = asyncio.Event(), live._io.control.send

        async def send_no_answer(message: bytes) -> None:
            if b"consent.answer" in message:
                await stuck.wait()
            await send(message)

        monkeypatch.setattr(live._io.control, "send", send_no_answer)
        flood = asyncio.create_task(_flood(session, 2000))
        most, until_s = 0, asyncio.get_running_loop().time() + 2
        while not live._over.done() and asyncio.get_running_loop().time() < until_s:
            most = max(most, len(live._asking))
            await asyncio.sleep(0)
        stuck.set()
        await asyncio.gather(flood, return_exceptions=True)
        await session.end()
        await device.over()
        assert most <= ASKS_AT_ONCE_LIMIT


async def test_msg_03_the_largest_input_message_ends_no_session_by_a_fault_of_ours(tmp_path: Path) -> None:
    texts = [input_messages.TypeText("x" * 4096) for _ in range(63)]
    rest = input_messages.FROM_TECHNICIAN_CODEC.encode(input_messages.InputEvents(1 << 40, 0, [*texts]))
    last = CHANNEL_MESSAGE_LIMIT_BYTES - len(rest) - 40
    events = input_messages.InputEvents(1 << 40, 0, [*texts, input_messages.TypeText("x" * min(last, 4096))])
    encoded = input_messages.FROM_TECHNICIAN_CODEC.encode(events)
    assert CHANNEL_MESSAGE_LIMIT_BYTES - len(encoded) < 64
    async with open_channel(acme(), tmp_path, CONTROL) as opened:
        await opened.stream.receive()
        await opened.stream.send(encoded)
        async with asyncio.timeout(3):
            await opened.desktop.order(ipc.Inject)
        assert len(opened.desktop.injected) == 64


async def test_hsk_17_a_second_controller_is_refused_while_the_first_one_controls(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        first = await device.connect(acme().technician("ada"))
        second = await device.connect(acme().technician("bob"))
        states = []
        for session in (first, second):
            await session.ask([CONTROL])
            stream = await session.open_channel(CONTROL)
            try:
                states.append(input_messages.FROM_AGENT_CODEC.decode(await stream.receive()).code)
            except SupportError as exc:
                states.append(exc.code)
        assert states == ["", ErrorCode.E_BUSY]
        assert len(desktop.all_of(ipc.AllowInput)) == 1
        await first.end()
        await second.end()
        await device.over()


async def test_aud_07_a_technician_cannot_fill_the_audit_log_by_opening_and_closing(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device):
        session = await device.connect(acme().technician())
        given = (await session.ask([Grantable.DIAGNOSTICS_READ])).granted[0]
        for number in range(1, 400):
            await session._send(OpenChannel(number, "diagnostics", given.grant_id))
            await session._send(CloseChannel(number))
        await device.over()
        await session.end()
    assert device.kinds().count("channel.opened") == OPENED_PER_MINUTE_LIMIT
    assert b"E_RATE" in device.audit_path.read_bytes().splitlines()[-1]


NOISE = random.Random(20260101)
HOSTILE = [
    *(NOISE.randbytes(NOISE.randrange(1, 300)) for _ in range(25)),
    b"\x81\xa4type\xabconsent.ask", b"\x91" * 5000 + b"\xc0", b"\xdf\xff\xff\xff\xff", b"\xc0", b"",
    msgspec.msgpack.encode({"type": "consent.ask", "ask_no": 1, "grantables": [], "reason": "", "x": 1}),
    msgspec.msgpack.encode({"type": "consent.ask", "ask_no": 0, "grantables": ["screen.view"]}),
    msgspec.msgpack.encode({"type": "session.heartbeat", "beat_no": 1 << 63, "sent_at_ms": "1"}),
    msgspec.msgpack.encode({"type": "session.ready", "version": 1}),
]  # fmt: skip


async def test_msg_01_no_message_of_a_technician_is_a_fault_of_ours(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        for hostile in HOSTILE:
            session = await device.connect(acme().technician())
            await session._io.control.send(hostile)
            await device.over()
            await session.end()
        assert desktop.orders == []
    written = device.audit_path.read_bytes()
    assert device.kinds().count("session.ended") == len(HOSTILE)
    assert b"E_INTERNAL" not in written


BIG = (1 << 63) - 1
ODD: list[FromTechnician] = [
    Heartbeat(BIG, -BIG),
    HeartbeatAnswer(-1, BIG, -BIG),
    HeartbeatAnswer(1, -BIG, BIG),
    ReleaseGrant("g-\0"),
    CloseChannel(65535),
]


async def test_msg_04_odd_numbers_and_ids_are_answered_and_the_session_goes_on(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device):
        async with await device.connect(acme().technician()) as session:
            for message in ODD:
                await session._send(message)
            assert (await session.ask([VIEW, CONTROL])).granted
        await device.over()
