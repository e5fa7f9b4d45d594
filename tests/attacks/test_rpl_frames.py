"""A relay that replays, repeats, swaps, drops, changes, cuts and moves frames (THREATS.md 3.4, P1).

The oracle is what reached the desktop and which processes ran, not what was reported. Each attack aims at a
frame that carries an action, and the first test is the control of all of them: the same without an attack.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol import session as session_machine
from protocol import tunnel
from protocol.aio.channel_io import ChannelStream
from protocol.errors import ErrorCode, SupportError
from protocol.grantables import Grantable
from protocol.ids import new_request_id
from protocol.messages import commands
from tests.support.attacked import LONG_TEXT, AttackedDevice, Stage, running_device, stage, typed, until
from tests.support.hostile_middle import Direction
from tests.support.hostile_relay import HostileRelay
from tests.support.hostile_sessions import Struck, everything, going, large

pytestmark = [pytest.mark.real, pytest.mark.beside]

E = ErrorCode
CONTROL, RUN, VIEW = Grantable.INPUT_CONTROL, Grantable.COMMANDS_RUN, Grantable.DIAGNOSTICS_READ
ACTION = large(Direction.TO_DEVICE)
WORDS = ("first", "second", "third")


async def type_words(stream: ChannelStream) -> None:
    """Three actions, each in a record of its own."""
    for word in WORDS:
        await stream.send(typed(word + LONG_TEXT))
        await stream.until_sent()


def arrived(on_stage: Stage) -> list[str]:
    """The actions that happened."""
    return [text.removesuffix(LONG_TEXT) for text in on_stage.effects.typed]


async def type_under(on_stage: Stage, arm: Callable[[HostileRelay], Struck]) -> tuple[str, str]:
    """Type while this attack goes on; with what the session ended at the device and at the technician."""
    session = await on_stage.connect()
    stream = await on_stage.channel(session, CONTROL)
    struck = arm(on_stage.relay)
    with contextlib.suppress(SupportError):
        await type_words(stream)
    await struck.happened()
    at_technician = await on_stage.over(session)
    await on_stage.device.idle()
    [at_device] = on_stage.device.over_causes()
    return at_device, at_technician


async def test_control_of_rpl_02_to_rpl_10_the_same_session_without_an_attack(tmp_path: Path) -> None:
    async with stage(tmp_path) as on_stage:
        async with await on_stage.connect() as session:
            await type_words(await on_stage.channel(session, CONTROL))
            await until(lambda: len(arrived(on_stage)) == len(WORDS))
            await on_stage.run_mark(await on_stage.channel(session, RUN))
        await on_stage.device.idle()
        assert arrived(on_stage) == list(WORDS)
        assert on_stage.effects.runs == 1
        assert on_stage.device.over_causes() == ["technician_left"]


async def test_rpl_02_a_repeated_action_happens_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as on_stage:
        ends = await type_under(on_stage, lambda relay: relay.duplicate(ACTION))
        assert (arrived(on_stage), ends) == (["first"], (E.E_SEQ, E.E_SEQ))


async def test_rpl_02_a_request_that_is_sent_again_after_its_end_runs_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as on_stage:
        session = await on_stage.connect()
        await on_stage.run_mark(await on_stage.channel(session, RUN))
        request = max(on_stage.relay.sessions[0].frames[Direction.TO_DEVICE][2:], key=len)
        await on_stage.relay.sessions[0].send(Direction.TO_DEVICE, request)
        assert await on_stage.over(session) == E.E_SEQ
        await on_stage.device.idle()
        assert on_stage.effects.runs == 1
        assert on_stage.device.over_causes() == [E.E_SEQ]


async def test_rpl_02_even_its_own_technician_runs_a_request_id_only_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as on_stage:
        policy = on_stage.device.policies.policy
        assert policy is not None
        mark = policy.catalogue.find("mark")
        note = mark.parameters["note"].choices[0]
        order = commands.RunCommand(new_request_id(), "mark", mark.sha256, {"note": note})
        answers: list[commands.FromAgent] = []
        for _ in range(2):  # in two sessions, as after a reconnect
            async with await on_stage.connect() as session:
                stream = await on_stage.channel(session, RUN)
                await stream.send(commands.FROM_TECHNICIAN_CODEC.encode(order))
                answers.append(commands.FROM_AGENT_CODEC.decode(await stream.receive()))
                while not isinstance(answers[-1], commands.CommandEnded | commands.CommandRefused):
                    answers.append(commands.FROM_AGENT_CODEC.decode(await stream.receive()))
            await on_stage.device.idle()
        assert on_stage.effects.runs == 1
        assert isinstance(answers[-1], commands.CommandRefused)


async def test_rpl_03_two_swapped_frames_close_the_session(tmp_path: Path) -> None:
    async with stage(tmp_path) as on_stage:
        ends = await type_under(on_stage, lambda relay: relay.reorder(ACTION))
        assert (arrived(on_stage), ends) == ([], (E.E_SEQ, E.E_SEQ))


async def test_rpl_04_after_a_dropped_frame_nothing_happens_any_more(tmp_path: Path) -> None:
    async with stage(tmp_path) as on_stage:
        ends = await type_under(on_stage, lambda relay: relay.drop(ACTION))
        assert (arrived(on_stage), ends) == ([], (E.E_SEQ, E.E_SEQ))


@pytest.mark.parametrize("bit", [0, 8, 24, 40, 4000, -1])
async def test_rpl_04_a_changed_frame_closes_the_session_whatever_bit_it_was(
    tmp_path: Path, bit: int
) -> None:
    """The first five bytes are the record's header (RFC 8446, 5.2): its type, its version and its length."""
    async with stage(tmp_path) as on_stage:
        ends = await type_under(on_stage, lambda relay: relay.flip(ACTION, bit))
        assert (arrived(on_stage), ends) == ([], (E.E_SEQ, E.E_SEQ))


@pytest.mark.parametrize("made_up", [b"\x17\x03\x03\x00\x20" + b"\0" * 32, b"\x15\x03\x03\x00\x02\x01\x00"])
async def test_rpl_04_made_up_records_close_the_session(tmp_path: Path, made_up: bytes) -> None:
    """The second one is an unencrypted close_notify: the relay cannot make a cut look like an orderly end."""
    async with stage(tmp_path) as on_stage:
        ends = await type_under(on_stage, lambda relay: relay.inject(ACTION, made_up))
        assert (arrived(on_stage), ends) == ([], (E.E_SEQ, E.E_SEQ))


async def test_rpl_04_an_older_frame_after_a_newer_one_closes_the_session(tmp_path: Path) -> None:
    async with stage(tmp_path) as on_stage:
        ends = await type_under(on_stage, lambda relay: relay.replay(ACTION))
        assert (arrived(on_stage), ends) == (["first"], (E.E_SEQ, E.E_SEQ))


@pytest.mark.parametrize("left_bytes", [0, 4, 1000, -1])
async def test_rpl_05_a_cut_is_recorded_as_a_cut_and_the_half_action_does_not_happen(
    tmp_path: Path, left_bytes: int
) -> None:
    async with stage(tmp_path) as on_stage:
        ends = await type_under(on_stage, lambda relay: relay.truncate(ACTION, left_bytes))
        assert (arrived(on_stage), ends) == ([], (E.E_LINK_LOST, E.E_LINK_LOST))


async def test_rpl_05_a_cut_while_a_command_runs_is_no_end_of_the_command(tmp_path: Path) -> None:
    async with stage(tmp_path) as on_stage:
        session = await on_stage.connect()
        stream = await on_stage.channel(session, RUN)
        struck = on_stage.relay.truncate(large(Direction.TO_TECHNICIAN, 300), -1)
        with pytest.raises(SupportError) as cut:
            await on_stage.run_mark(stream)
        await struck.happened()
        assert cut.value.code == E.E_LINK_LOST
        assert await on_stage.over(session) == E.E_LINK_LOST
        await on_stage.device.idle()
        assert on_stage.device.over_causes() == [E.E_LINK_LOST]
        assert [one.kind for one in on_stage.audit.events][-1] == "session.ended"


async def test_rpl_07_a_record_of_an_earlier_epoch_closes_the_session(tmp_path: Path) -> None:
    """The technician's second flight was sealed under the handshake's keys, which are gone by now."""
    async with stage(tmp_path) as on_stage:

        def arm(relay: HostileRelay) -> Struck:
            return relay.inject(ACTION, relay.sessions[0].frames[Direction.TO_DEVICE][1])

        ends = await type_under(on_stage, arm)
        assert (arrived(on_stage), ends) == ([], (E.E_SEQ, E.E_SEQ))


async def test_rpl_07_keys_that_have_sealed_enough_seal_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path) as on_stage:
        session = await on_stage.connect()
        stream = await on_stage.channel(session, CONTROL)
        sealed = session._tunnel._tunnel._sealed_records
        monkeypatch.setattr(tunnel, "TUNNEL_RECORDS_LIMIT", sealed + 2)
        with contextlib.suppress(SupportError):
            await type_words(stream)
        assert await on_stage.over(session) == E.E_TUNNEL_SPENT
        await on_stage.device.idle()
        assert len(arrived(on_stage)) <= 2


async def test_rpl_04_a_frame_of_another_session_of_the_same_two_closes_the_session(tmp_path: Path) -> None:
    async with stage(tmp_path) as on_stage:
        first, other = await on_stage.connect(), await on_stage.connect()
        stream = await on_stage.channel(first, CONTROL)
        await other.ask([VIEW])
        struck = on_stage.relay.splice(ACTION, on_stage.relay.sessions[1])
        with contextlib.suppress(SupportError):
            await type_words(stream)
        await struck.happened()
        assert await on_stage.over(first) == E.E_SEQ
        assert arrived(on_stage) == []
        assert (await other.ask([VIEW])).granted, "the other session is not harmed"
        await other.end()


async def test_rpl_10_an_agents_own_frames_are_not_taken_for_its_technicians(tmp_path: Path) -> None:
    async with stage(tmp_path) as on_stage:
        session = await on_stage.connect()
        await on_stage.channel(session, CONTROL)
        struck = on_stage.relay.reflect(going(Direction.TO_TECHNICIAN))
        await struck.happened()
        await on_stage.over(session)
        await on_stage.device.idle()
        assert on_stage.device.over_causes() == [E.E_SEQ]
        assert arrived(on_stage) == []


async def test_rpl_01_hsk_06_a_recorded_session_means_nothing_to_the_same_agent_or_to_its_restart(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as on_stage:
        relay, device = on_stage.relay, on_stage.device
        async with await on_stage.connect() as session:
            await type_words(await on_stage.channel(session, CONTROL))
            await on_stage.run_mark(await on_stage.channel(session, RUN))
        await device.idle()
        before = (arrived(on_stage), on_stage.effects.runs, len(on_stage.desktop.orders))
        assert before[:2] == (list(WORDS), 1)
        await relay.replay_session(device.device_id, relay.sessions[0])
        await device.idle()
        assert device.over_causes() == ["technician_left", E.E_HANDSHAKE]
        assert (arrived(on_stage), on_stage.effects.runs, len(on_stage.desktop.orders)) == before
        (tmp_path / "again").mkdir()
        clone = AttackedDevice(on_stage.organisation, tmp_path / "again", relay, device.identity)
        async with running_device(clone, relay) as desktop:
            await relay.replay_session(clone.device_id, relay.sessions[0])
            await clone.idle()
            assert clone.over_causes() == [E.E_HANDSHAKE]
            assert (desktop.orders, on_stage.effects.runs) == ([], 1)


async def test_rpl_09_a_technician_whose_words_go_to_two_agents_has_a_session_with_one(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as on_stage:
        relay = on_stage.relay
        (tmp_path / "second").mkdir()
        second = AttackedDevice(on_stage.organisation, tmp_path / "second", relay)
        async with running_device(second, relay) as other_desktop:
            session = await on_stage.connect()
            for device_id in (second.device_id, on_stage.device.device_id):
                await relay.fan_out(device_id, relay.sessions[0])
            await type_words(await on_stage.channel(session, CONTROL))
            await session.end()
            await second.idle()
            await on_stage.device.idle()
            assert other_desktop.orders == []
            assert second.over_causes() == [E.E_HANDSHAKE]
        assert sorted(on_stage.device.over_causes()) == [E.E_HANDSHAKE, "technician_left"]
        assert arrived(on_stage) == list(WORDS)


async def test_rpl_12_rel_07_a_relay_that_holds_everything_and_answers_all_pings_itself_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_machine, "SESSION_SILENCE_LIMIT_S", 0.5)
    monkeypatch.setattr(session_machine, "SESSION_HEARTBEAT_S", 0.1)
    async with stage(tmp_path) as on_stage:
        session = await on_stage.connect()
        stream = await on_stage.channel(session, CONTROL)
        await asyncio.sleep(0.8)  # longer than the limit: heartbeats keep an idle session alive
        assert session._task is not None
        assert not session._task.done()
        on_stage.relay.hold(everything)
        await stream.send(typed("held" + LONG_TEXT))
        assert await on_stage.over(session) == E.E_PEER_SILENT
        await on_stage.device.idle()
        assert on_stage.device.over_causes() == [E.E_PEER_SILENT]
        assert await on_stage.relay.release() > 0
        await asyncio.sleep(0.05)
        assert arrived(on_stage) == []
        assert on_stage.link.state.value == "connected", "the relay's own link is as lively as ever"


async def test_rpl_12_rel_07_a_technician_from_whom_the_devices_end_is_hidden_finds_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_machine, "SESSION_SILENCE_LIMIT_S", 0.5)
    monkeypatch.setattr(session_machine, "SESSION_HEARTBEAT_S", 0.1)
    async with stage(tmp_path) as on_stage:
        session = await on_stage.connect()
        on_stage.relay.hide_failures()
        on_stage.relay.hold(going(Direction.TO_TECHNICIAN))
        await on_stage.device.sessions.end_all("finished")
        assert await on_stage.over(session) == E.E_PEER_SILENT
