"""A caller who is not who is in the session: the person compares four digits (THREATS.md 6.2)."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.desktop import ipc_messages as ipc
from agent.session_runner import SessionRunner
from agent.standing import Whom
from protocol.certificates import VerifiedPeer
from protocol.errors import ErrorCode, NotGranted, SupportError
from protocol.grantables import Grantable
from technician_client.notices import SessionOver
from technician_client.sessions import TechnicianSession
from tests.support.code_ends import visiting_device, visitor
from tests.support.desktop import allow_all
from tests.support.device_end import DeviceEnd, attached, device_end, shown_code
from tests.support.organisation import acme
from tests.support.policies import signed_policy

pytestmark = pytest.mark.real

VIEW, CONTROL = Grantable.SCREEN_VIEW, Grantable.INPUT_CONTROL
MISMATCH = ErrorCode.E_READBACK_MISMATCH
BLOCKED = ErrorCode.E_READBACK_BLOCKED

Answer = Callable[[ipc.ShowPrompt], ipc.PromptAnswered]


def says_mismatch(prompt: ipc.ShowPrompt) -> ipc.PromptAnswered:
    """The caller read other digits."""
    return ipc.PromptAnswered(prompt.prompt_no, [], MISMATCH, "0" * 64, 2.0)


def says_match(prompt: ipc.ShowPrompt) -> ipc.PromptAnswered:
    """The caller read the right digits, and may do what was asked."""
    return ipc.PromptAnswered(prompt.prompt_no, prompt.grantables, "", "0" * 64, 2.0, is_matched=True)


async def cause_of(session: TechnicianSession) -> str:
    """What the technician is told about the end."""
    while True:
        notice = await session.notices.get()
        if isinstance(notice, SessionOver):
            return notice.code


def compared(device: DeviceEnd) -> list[str]:
    """The outcomes that the device's log has."""
    return [str(record.facts["outcome"]) for record in device.records() if record.kind == "readback.compared"]


async def test_con_12_digits_that_do_not_match_end_the_session_and_everybody_is_told(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device, says_mismatch) as desktop:
        session = await device.connect(acme().technician())
        answer = await session.ask([VIEW])
        assert answer.refused == {VIEW: MISMATCH}
        assert await cause_of(session) == MISMATCH
        await session.end()
        await device.over()
        assert not desktop.all_of(ipc.ShowIndicator)
    assert compared(device) == ["mismatched"]
    assert "grant.given" not in device.kinds()
    assert device.kinds()[-1] == "session.ended"


async def test_con_12_digits_that_match_are_recorded_before_the_grant(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device, says_match):
        async with await device.connect(acme().technician()) as session:
            assert (await session.ask([VIEW])).granted
        await device.over()
    assert compared(device) == ["matched"]
    kinds = device.kinds()
    assert kinds.index("readback.compared") < kinds.index("grant.given")


async def test_con_12_in_mid_session_a_mismatch_takes_what_was_granted(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device, allow_all) as desktop:
        session = await device.connect(acme().technician())
        assert (await session.ask([VIEW])).granted
        desktop.answer = says_mismatch
        assert (await session.ask([CONTROL])).refused == {CONTROL: MISMATCH}
        assert await cause_of(session) == MISMATCH
        await session.end()
        await device.over()
    assert compared(device) == ["mismatched"]
    assert device.kinds().count("grant.ended") == 1


async def test_con_12_a_mismatch_outside_a_prompt_stops_the_session_under_its_own_name(
    tmp_path: Path,
) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device, allow_all) as desktop:
        session = await device.connect(acme().technician())
        assert (await session.ask([VIEW])).granted
        await desktop.say(ipc.StopPressed(session.session_id, is_mismatch=True))
        assert await cause_of(session) == MISMATCH
        await session.end()
        await device.over()
    assert compared(device) == ["mismatched"]
    assert {"session.stopped", "block.started"} <= set(device.kinds())


async def test_con_12_who_did_not_match_is_blocked_on_the_device_and_told_until_when(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device, says_mismatch) as desktop:
        session = await device.connect(acme().technician())
        await session.ask([VIEW])
        assert await cause_of(session) == MISMATCH
        assert "blocked by the person until" in session.why_over
        await session.end()
        await device.over()
        for _ in range(2):
            with pytest.raises(SupportError) as caught:
                await device.connect(acme().technician())
            assert caught.value.code is BLOCKED
            assert "blocked by the person until" in caught.value.detail
            await device.over()
        assert len(desktop.all_of(ipc.ShowPrompt)) == 1
        desktop.answer = says_match
        async with await device.connect(acme().technician("bob")) as session:
            assert (await session.ask([VIEW])).granted, "control: it is about that technician alone"
        await device.over()
    [started] = [record for record in device.records() if record.kind == "block.started"]
    assert (started.actor, started.facts["whom"], started.facts["code"]) == ("person", "ada", BLOCKED)
    refused = [record.facts["code"] for record in device.records() if record.kind == "session.refused"]
    assert refused == [BLOCKED] * 2


async def test_con_12_no_other_session_of_theirs_goes_on_and_nothing_of_it_acts(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device, allow_all) as desktop:
        first = await device.connect(acme().technician())
        assert (await first.ask([VIEW])).granted
        [runner] = device.runners.values()
        second = await device.connect(acme().technician())
        device.side.welcome.blocks.listeners.add(lambda _: acts_now.append(acts(runner)))
        acts_now: list[str] = []
        desktop.answer = says_mismatch
        await second.ask([CONTROL])
        assert await cause_of(second) == MISMATCH
        assert await cause_of(first) == BLOCKED
        assert acts_now == [BLOCKED], "not even before the session's own task has run again"
        for session in (first, second):
            await session.end()
        await device.over()
    ended = [record.facts["cause"] for record in device.records() if record.kind == "session.ended"]
    assert sorted(ended) == sorted([MISMATCH, BLOCKED])


def acts(runner: SessionRunner) -> str:
    """Why nothing acts in this session at this moment; "" when it does."""
    assert runner._live is not None
    try:
        runner._live.consent.require(VIEW)
    except NotGranted as exc:
        return exc.code
    return ""


async def test_con_12_neither_unattended_nor_a_standing_consent_passes_a_block(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device, allow_all):
        device.publish(signed_policy(acme(), groups={"default": "unattended"}))
        device.side.standing.give(Whom(technician_id="ada"), [VIEW], 3600)
        peer = await admitted_peer(device)
        device.side.welcome.block(peer, os.geteuid(), is_mismatch=True)
        with pytest.raises(SupportError, match=BLOCKED):
            await device.connect(acme().technician())
        await device.over()
        device.side.welcome.blocks.end("all")
        async with await device.connect(acme().technician()) as session:
            assert (await session.ask([VIEW])).granted, "control"


async def admitted_peer(device: DeviceEnd) -> VerifiedPeer:
    """Who ada is to the device."""
    async with await device.connect(acme().technician()):
        [runner] = device.runners.values()
        assert runner._live is not None
        peer = runner._live.consent._facts.admitted.peer
    await device.over()
    device.runners.clear()
    return peer


async def test_con_12_a_stranger_who_comes_again_under_another_key_is_blocked_too(tmp_path: Path) -> None:
    """Nobody can tell one stranger from another: after a mismatch none comes, until the person lifts it."""
    async with visiting_device(tmp_path) as device, attached(device, says_mismatch) as desktop:
        async with shown_code(device) as shown:
            session = await device.connect_by_code(shown.code, visitor())
            await session.ask([VIEW])
            assert await cause_of(session) == MISMATCH
            await session.end()
            await device.over()
        desktop.answer = allow_all
        async with shown_code(device) as shown:
            with pytest.raises(SupportError, match=BLOCKED):
                await device.connect_by_code(shown.code, visitor())
            await device.over()
            assert len(device.side.welcome.blocks.end("all", os.geteuid())) == 1
            async with await device.connect_by_code(shown.code, visitor()) as session:
                assert (await session.ask([VIEW])).granted, "the refused stranger used up no code"
            await device.over()
    [row] = [record for record in device.records() if record.kind == "block.started"]
    assert row.facts["whom"] == ""
