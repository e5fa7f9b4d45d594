"""A hostile technician's program asks for everything at once (THREATS.md CON-04, 6.1; decision 0030)."""

import asyncio
from pathlib import Path

import pytest

from agent.desktop import ipc_messages as ipc
from protocol.errors import ErrorCode, NotGranted
from protocol.grantables import Grantable
from protocol.messages.channel import OpenChannel
from tests.support.desktop import allow_all, deny
from tests.support.device_end import attached, device_end
from tests.support.organisation import acme
from tests.support.policies import signed_policy

pytestmark = pytest.mark.real

VIEW, CONTROL, READ, RUN = Grantable
LATER = ErrorCode.E_CONSENT_LATER


def allow_what_nobody_asked(prompt: ipc.ShowPrompt) -> ipc.PromptAnswered:
    """A prompt that a technician talked into saying more than it was shown."""
    return ipc.PromptAnswered(prompt.prompt_no, [*Grantable], "", "0" * 64, 2.0)


async def test_con_04_of_a_bundle_the_person_is_shown_the_screen_alone_and_the_rest_is_not_granted(
    tmp_path: Path,
) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        async with await device.connect(acme().technician()) as session:
            answer = await session.ask([RUN, CONTROL, READ, VIEW])
            assert [given.grantable for given in answer.granted] == [VIEW]
            assert answer.refused == {CONTROL: LATER, READ: LATER, RUN: LATER}
            view = answer.granted[0].grant_id
            await session._send(OpenChannel(901, "input", view))  # what an honest client never sends
            with pytest.raises(NotGranted):
                await session.open_channel(CONTROL)
            await session.open_channel(VIEW)  # control: what was allowed acts
        await device.over()
        assert [prompt.grantables for prompt in desktop.all_of(ipc.ShowPrompt)] == [[VIEW]]
        assert {name for shown in desktop.all_of(ipc.ShowIndicator) for name in shown.grantables} == {VIEW}
        assert not desktop.all_of(ipc.AllowInput)
    assert device.kinds().count("grant.given") == 1


async def test_con_04_the_rest_of_a_bundle_is_asked_one_by_one_as_it_is_asked_for_again(
    tmp_path: Path,
) -> None:
    async with (
        device_end(acme(), tmp_path) as device,
        attached(device) as desktop,
        await device.connect(acme().technician()) as session,
    ):
        for wanted in Grantable:
            assert [given.grantable for given in (await session.ask([*Grantable])).granted] == [wanted]
        assert [prompt.grantables for prompt in desktop.all_of(ipc.ShowPrompt)] == [
            [one] for one in Grantable
        ]
        assert set(session.held()) == set(Grantable)


async def test_con_04_a_desktop_that_answers_for_more_than_was_asked_gives_no_more(tmp_path: Path) -> None:
    async with (
        device_end(acme(), tmp_path) as device,
        attached(device, allow_what_nobody_asked),
        await device.connect(acme().technician()) as session,
    ):
        answer = await session.ask([*Grantable])
        assert [given.grantable for given in answer.granted] == [VIEW]
        assert set(session.held()) == {VIEW}


async def test_con_10_asking_for_the_rest_again_and_again_meets_the_same_back_off(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path) as device, attached(device, allow_all) as desktop:
        async with await device.connect(acme().technician()) as session:
            await session.ask([*Grantable])
            desktop.answer = deny
            codes = [(await session.ask([*Grantable])).refused[CONTROL] for _ in range(5)]
            assert codes == [ErrorCode.E_CONSENT_DENIED] * 3 + [ErrorCode.E_RATE] * 2
            assert set(session.held()) == {VIEW}, "control: what was allowed before goes on"
        assert len(desktop.all_of(ipc.ShowPrompt)) == 1 + 3
    assert device.kinds().count("consent.denied") == 5


async def test_con_10_asks_side_by_side_make_one_prompt(tmp_path: Path) -> None:
    async with (
        device_end(acme(), tmp_path) as device,
        attached(device) as desktop,
        await device.connect(acme().technician()) as session,
    ):
        answers = await asyncio.gather(*(session.ask([wanted]) for wanted in Grantable))
        assert [given.grantable for answer in answers for given in answer.granted] == [VIEW]
        assert [code for answer in answers for code in answer.refused.values()] == [ErrorCode.E_BUSY] * 3
        assert len(desktop.all_of(ipc.ShowPrompt)) == 1


async def test_what_the_policy_leaves_to_nobody_is_granted_as_a_whole_and_shown(tmp_path: Path) -> None:
    async with device_end(acme(), tmp_path, "kiosks") as device, attached(device) as desktop:
        device.publish(signed_policy(acme(), groups={"kiosks": "unattended"}))
        async with await device.connect(acme().technician()) as session:
            answer = await session.ask([VIEW, CONTROL])
            assert {given.grantable for given in answer.granted} == {VIEW, CONTROL}
        assert desktop.all_of(ipc.ShowPrompt) == []
        assert desktop.all_of(ipc.ShowIndicator)[0].grantables == [VIEW, CONTROL]
