"""A relay that is in the middle, sends people to the wrong place, and lies (THREATS.md 3.1, P1, P3)."""

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from agent.desktop import ipc_messages as ipc
from protocol.aio import log_in
from protocol.errors import ErrorCode, SupportError
from protocol.grantables import Grantable
from protocol.identity import Identity
from protocol.limits import FRAME_HEADER_BYTES
from protocol.messages.channel import OpenChannel
from tests.support import forged
from tests.support.attacked import (
    LONG_TEXT,
    AttackedDevice,
    Stage,
    refusal_of,
    running_device,
    stage,
    technician_link,
    typed,
)
from tests.support.canaries import Overheard, text_canary
from tests.support.desktop import leave_open
from tests.support.hostile_relay import replace_row
from tests.support.organisation import Organisation, acme, intruders

pytestmark = [pytest.mark.real, pytest.mark.beside]

E = ErrorCode
CONTROL = Grantable.INPUT_CONTROL
Makes = Callable[[Organisation], Identity]


def under_our_root(identity: Identity) -> Identity:
    """The same key and chain, with the root that everybody can read: it accepts both victims."""
    return Identity(identity.key, identity.chain, acme().root_der)


def another_authority(role: str) -> Makes:
    """What a relay can issue by itself, with the very names of the organisation."""
    return lambda _: under_our_root(getattr(Organisation("Acme"), role)())


def another_tenant(role: str) -> Makes:
    """What another organisation of the same relay holds."""
    return lambda _: under_our_root(getattr(intruders(), role)())


# what it is for the technician, what it is for the device, and how each of them says no
MIDDLES: dict[str, tuple[Makes, Makes, ErrorCode, ErrorCode]] = {
    "hsk_02_03 an authority of its own": (
        *(another_authority("device"), another_authority("technician")),
        *(E.E_CERT_CHAIN, E.E_CERT_CHAIN),
    ),
    "hsk_04 another organisation": (
        *(another_tenant("device"), another_tenant("technician")),
        *(E.E_CERT_CHAIN, E.E_CERT_CHAIN),
    ),
    "hsk_03 a stolen device of the same organisation": (
        *(Organisation.device, Organisation.device),
        *(E.E_CERT_SUBJECT, E.E_CERT_ROLE),
    ),
    "hsk_03 a stolen admin": (
        *(Organisation.admin, Organisation.admin),
        *(E.E_CERT_ROLE, E.E_CERT_ROLE),
    ),
    "hsk_03 stolen identities that have run out": (
        *(forged.expired_device, forged.expired_technician),
        *(E.E_CERT_EXPIRED, E.E_CERT_EXPIRED),
    ),
}


@pytest.mark.parametrize("who", MIDDLES)
async def test_hsk_02_03_04_a_relay_in_the_middle_is_refused_by_both_ends(tmp_path: Path, who: str) -> None:
    as_device, as_technician, at_technician, at_device = MIDDLES[who]
    async with stage(tmp_path) as on_stage:
        on_stage.relay.substitute_certificates(
            as_device=as_device(acme()), as_technician=as_technician(acme())
        )
        assert await refusal_of(on_stage.connect()) == at_technician
        records = await on_stage.device.idle()
        assert on_stage.device.over_causes() == [at_device]
        assert {record.kind for record in records if record.session_id} == {
            "session.offered",
            "session.refused",
        }
        on_stage.effects.assert_none()
        middle = on_stage.relay.sessions[0].middle
        assert middle is not None
        # who proved to be somebody of the organisation is told why not, and that is all
        told = {"type": "session.end", "cause": at_device, "wait_s": 0.0}
        assert middle.read == b"" or msgspec.msgpack.decode(middle.read[FRAME_HEADER_BYTES:]) == told


async def test_control_of_hsk_02_03_04_with_the_keys_of_both_ends_the_same_relay_reads_everything(
    tmp_path: Path,
) -> None:
    """So the attack works as such, and the identities alone stand against it."""
    async with stage(tmp_path) as on_stage:
        on_stage.relay.substitute_certificates(
            as_device=on_stage.device.identity, as_technician=on_stage.technician
        )
        canary = text_canary("typed")
        async with await on_stage.connect() as session:
            stream = await on_stage.channel(session, CONTROL)
            await stream.send(typed(canary.secret.decode()))
            await on_stage.desktop.order(ipc.Inject)
        middle = on_stage.relay.sessions[0].middle
        assert middle is not None
        plain = Overheard()
        plain.add("middle", middle.read)
        assert plain.found(canary) == {"typed"}
        assert on_stage.relay.overheard.found(canary) == set()


async def test_hsk_05_who_is_sent_to_another_device_notices_and_nobody_there_is_disturbed(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as on_stage:
        (tmp_path / "second").mkdir()
        second = AttackedDevice(on_stage.organisation, tmp_path / "second", on_stage.relay)
        async with running_device(second, on_stage.relay) as other_desktop:
            on_stage.relay.swap_peers(on_stage.device.device_id, second.device_id)
            assert await refusal_of(on_stage.connect()) == E.E_CERT_SUBJECT
            await second.idle()
            assert other_desktop.orders == []
            on_stage.effects.assert_none()
            on_stage.relay.lies.route_to.clear()
            async with await on_stage.connect(second.device_id) as session:  # the control
                assert (await session.ask([CONTROL])).granted


async def test_hsk_05_two_ends_that_were_told_different_session_ids_have_no_session(tmp_path: Path) -> None:
    async with stage(tmp_path) as on_stage:
        on_stage.relay.splice_session_ids()
        # the relay's own tickets go by the id that it told the device
        told = on_stage.relay.lies.ready_session
        assert told is not None
        assert await refusal_of(on_stage.connect()) == E.E_PROTOCOL
        await on_stage.device.idle()
        on_stage.effects.assert_none()


async def test_hsk_09_what_a_relay_says_about_a_device_is_never_taken_for_who_it_is(tmp_path: Path) -> None:
    async with stage(tmp_path) as on_stage:
        row = on_stage.relay.rows[on_stage.device.device_id]
        lie = replace_row(row, name="the-ceo-s-laptop", group="servers")
        await on_stage.relay.lie_about_presence(lie, is_present=True)
        [shown] = await on_stage.link.devices()
        assert shown.name == "the-ceo-s-laptop", "a list is a list"
        async with await on_stage.connect() as session:
            assert session.device.name == on_stage.device.identity.name == "reception-pc"
            assert session.ready.device_name == "reception-pc"
            assert session.device.group == "default"


async def test_hsk_09_a_device_that_is_said_to_be_away_is_only_not_reached(tmp_path: Path) -> None:
    async with stage(tmp_path) as on_stage:
        row = on_stage.relay.rows[on_stage.device.device_id]
        await on_stage.relay.lie_about_presence(row, is_present=False)
        assert await refusal_of(on_stage.connect()) == E.E_DEVICE_AWAY
        assert await on_stage.device.idle() is not None
        on_stage.effects.assert_none()
        await on_stage.relay.lie_about_presence(row, is_present=True)
        await (await on_stage.connect()).end()


async def test_hsk_09_a_device_that_is_said_to_be_there_and_is_not_is_waited_for_in_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_in, "SESSION_PAIR_TIMEOUT_S", 0.2)
    async with stage(tmp_path) as on_stage:
        ghost = acme().device("ghost")
        row = replace_row(on_stage.relay.rows[on_stage.device.device_id], device_id=str(ghost.subject_id))
        await on_stage.relay.lie_about_presence(row, is_present=True)
        refused = await refusal_of(on_stage.connect(row.device_id))
        assert refused == E.E_PEER_SILENT


# -- two at once


async def test_hsk_17_the_same_technician_twice_has_two_sessions_and_no_grant_of_the_other(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as on_stage:
        first, second = await on_stage.connect(), await on_stage.connect()
        [given] = (await first.ask([CONTROL])).granted
        await second._send(OpenChannel(7, "input", given.grant_id))
        with pytest.raises(SupportError):  # it holds none, and says so before it asks
            await second.open_channel(CONTROL)
        await (await on_stage.channel(first, CONTROL)).send(typed("mine" + LONG_TEXT))
        await on_stage.desktop.order(ipc.Inject)
        await first.end()
        await second.end()
        records = await on_stage.device.idle()
        refused = [one.facts["code"] for one in records if one.kind == "channel.refused"]
        assert refused == [E.E_GRANT_NONE]
        assert len(on_stage.desktop.all_of(ipc.AllowInput)) == 1


async def test_hsk_17_who_connects_while_the_person_is_asked_is_told_to_wait_and_gets_no_prompt(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, answer=leave_open) as on_stage:
        bob = acme().technician("bob")
        async with technician_link(on_stage.relay, bob, tmp_path / "bob") as link:
            first = await on_stage.connect()
            asking = asyncio.create_task(first.ask([CONTROL]))
            prompt = await on_stage.desktop.order(ipc.ShowPrompt)
            second = await _connect(on_stage, link, bob)
            [code] = (await second.ask([CONTROL])).refused.values()
            assert code == E.E_BUSY
            await on_stage.desktop.say(
                ipc.PromptAnswered(prompt.prompt_no, prompt.grantables, "", secrets.token_hex(32), 2.0)
            )
            assert [one.grantable for one in (await asking).granted] == [CONTROL]
            assert second.held() == {}
            assert len(on_stage.desktop.all_of(ipc.ShowPrompt)) == 1
            await first.end()
            await second.end()


async def _connect(on_stage: Stage, link, identity: Identity):
    from technician_client.opening import open_session

    return await open_session(link, on_stage.device.device_id, identity=identity, audit=on_stage.audit)
