"""A caller who is not who is in the session: the person compares four digits (THREATS.md 6.2)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.desktop import ipc_messages as ipc
from protocol.errors import ErrorCode
from protocol.grantables import Grantable
from technician_client.notices import SessionOver
from technician_client.sessions import TechnicianSession
from tests.support.desktop import allow_all
from tests.support.device_end import DeviceEnd, attached, device_end
from tests.support.organisation import acme

pytestmark = pytest.mark.real

VIEW, CONTROL = Grantable.SCREEN_VIEW, Grantable.INPUT_CONTROL
MISMATCH = ErrorCode.E_READBACK_MISMATCH

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
    assert "session.stopped" in device.kinds()


async def test_con_10_a_mismatch_counts_as_a_no(tmp_path: Path) -> None:
    codes = []
    async with device_end(acme(), tmp_path) as device, attached(device, says_mismatch) as desktop:
        for _ in range(4):
            session = await device.connect(acme().technician())
            codes.append((await session.ask([VIEW])).refused[VIEW])
            await session.end()
            await device.over()
        assert len(desktop.all_of(ipc.ShowPrompt)) == 3
    assert codes == [MISMATCH] * 3 + [ErrorCode.E_RATE]
