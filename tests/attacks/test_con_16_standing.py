"""Standing consent in whole sessions: it replaces the prompt and nothing else."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from agent.desktop import ipc_messages as ipc
from agent.local_client import ask_standing, revoke_standing
from agent.local_frames import connect_local
from agent.standing import StandingConsents, Whom
from agent.standing_desk import StandingDesk
from agent.visitor_admission import admit_visitor
from protocol.errors import ErrorCode, Refused, SupportError
from protocol.grantables import Grantable
from protocol.messages import session as messages
from protocol.messages.consent import Ask, GrantEnded
from tests.support.code_ends import visitor
from tests.support.consent_stage import ConsentStage
from tests.support.desktop import Answer, deny
from tests.support.device_end import DeviceEnd, attached, device_end
from tests.support.organisation import acme
from tests.support.policies import signed_policy
from tests.support.virtual_time import run_virtually

pytestmark = [pytest.mark.real, pytest.mark.beside]

VIEW, CONTROL = Grantable.SCREEN_VIEW, Grantable.INPUT_CONTROL


def allow_beforehand(whom: str) -> Answer:
    """The person allows all of it, and ticks that it holds for the next time too."""

    def answer(prompt: ipc.ShowPrompt) -> ipc.PromptAnswered:
        assert prompt.may_stand
        return ipc.PromptAnswered(prompt.prompt_no, prompt.grantables, "", "0" * 64, 2.0, "en", whom)

    return answer


@asynccontextmanager
async def device_with_standing(folder: Path) -> AsyncIterator[tuple[DeviceEnd, StandingConsents]]:
    """A device that keeps what was allowed beforehand, and answers the command line about it."""
    async with device_end(acme(), folder) as device:
        standing = StandingConsents(folder / "standing.json")
        device.side = dataclasses.replace(device.side, standing=standing)
        desk = StandingDesk(standing, device.side.audit_log, device.device_id)
        device.server._handlers = {  # a test adds what `app.py` does
            **device.server._handlers,
            ipc.StandingAsked: desk.handle,
            ipc.StandingRevoked: desk.handle,
        }
        yield device, standing


async def test_con_16_the_next_session_has_no_prompt_and_the_same_indicator(tmp_path: Path) -> None:
    async with (
        device_with_standing(tmp_path) as (device, standing),
        attached(device, allow_beforehand("technician")) as desktop,
    ):
        for _ in range(2):
            async with await device.connect(acme().technician()) as session:
                assert (await session.ask([VIEW])).granted
        assert len(desktop.all_of(ipc.ShowPrompt)) == 1
        shown = [order for order in desktop.all_of(ipc.ShowIndicator) if order.grantables]
        assert [order.is_standing for order in shown if order.session_id == shown[-1].session_id] == [
            True
        ] * 2
        async with await device.connect(acme().technician("bob")) as session:
            await session.ask([VIEW])
        assert len(desktop.all_of(ipc.ShowPrompt)) == 2, "another technician is another question"
        assert len(standing.live()) == 2
        await device.over()
    allowed = [record for record in device.records() if record.kind == "consent.allowed"]
    assert [("standing" in record.facts, record.actor) for record in allowed] == [
        (False, "person"), (True, "person"), (False, "person"),
    ]  # fmt: skip
    assert device.kinds().count("standing.given") == 2


async def test_con_16_without_the_indicator_a_standing_consent_grants_nothing(tmp_path: Path) -> None:
    async with device_with_standing(tmp_path) as (device, standing):
        async with attached(device, allow_beforehand("group")) as desktop:
            async with await device.connect(acme().technician()) as session:
                await session.ask([VIEW])
            desktop.does_show_indicator = False
            async with await device.connect(acme().technician("bob")) as session:
                asking = asyncio.create_task(session.ask([VIEW]))
                await desktop.order(ipc.ShowIndicator, 3)
                await asyncio.sleep(0.1)
                assert not asking.done()
                await desktop.die()
                with pytest.raises(SupportError, match=ErrorCode.E_CONSENT_NOBODY):
                    await asking
        async with await device.connect(acme().technician("bob")) as session:
            assert (await session.ask([VIEW])).refused == {VIEW: ErrorCode.E_CONSENT_NOBODY}
        assert standing.live(), "it was not that it had ended"


async def test_con_04_an_ask_for_more_than_was_allowed_beforehand_comes_to_the_person(tmp_path: Path) -> None:
    async with (
        device_with_standing(tmp_path) as (device, _),
        attached(device, allow_beforehand("technician")) as desktop,
    ):
        async with await device.connect(acme().technician()) as session:
            await session.ask([VIEW])
        desktop.answer = deny
        async with await device.connect(acme().technician()) as session:
            answer = await session.ask([VIEW, CONTROL])
            assert not answer.granted
        assert desktop.all_of(ipc.ShowPrompt)[-1].grantables == [VIEW]


async def test_p4_policy_and_scope_hold_for_what_was_allowed_beforehand_too(tmp_path: Path) -> None:
    async with device_with_standing(tmp_path) as (device, _), attached(device, allow_beforehand("group")):
        async with await device.connect(acme().technician()) as session:
            for wanted in (VIEW, CONTROL):
                await session.ask([wanted])
        device.publish(signed_policy(acme(), version=1, roles={"technician": ["screen.view"]}))
        async with await device.connect(acme().technician()) as session:
            answer = await session.ask([VIEW, CONTROL])
            assert [each.grantable for each in answer.granted] == [VIEW]
            assert answer.refused == {CONTROL: ErrorCode.E_POLICY_CAPABILITY}


async def test_con_05_taking_it_back_ends_what_rests_on_it_at_once(tmp_path: Path) -> None:
    async with (
        device_with_standing(tmp_path) as (device, _),
        attached(device, allow_beforehand("technician")) as desktop,
    ):
        async with await device.connect(acme().technician()) as session:
            await session.ask([VIEW])
        async with await device.connect(acme().technician()) as session:
            await session.ask([VIEW])
            await session.open_channel(VIEW)
            worker = await desktop.worker()
            [row] = await ask_standing(device.server.socket_path)
            assert (row.whom, row.name, row.grantable) == ("ada", "Ada", VIEW)
            with pytest.raises(Refused) as caught:
                await revoke_standing(device.server.socket_path, "c-none")
            assert caught.value.code is ErrorCode.E_CONSENT_UNKNOWN
            await revoke_standing(device.server.socket_path, row.standing_id)
            assert await worker.is_cut_off()
            async with asyncio.timeout(3):
                while not isinstance(notice := await session.notices.get(), GrantEnded):
                    pass
            assert notice.code == ErrorCode.E_GRANT_ENDED
            assert await ask_standing(device.server.socket_path) == []
            await session.ask([VIEW])
            assert len(desktop.all_of(ipc.ShowPrompt)) == 2, "the person is asked again"
        await device.over()
    assert "standing.ended" in device.kinds()


async def test_con_18_nothing_but_the_prompt_gives_one(tmp_path: Path) -> None:
    """No message of a technician, of the relay or of the command line does; their words are these."""
    givers = {
        kind.__name__
        for union in (messages.FromTechnician, ipc.Hello, ipc.ToCommandLine)
        for kind in union.__args__
        if "standing" in str(kind.__struct_config__.tag) or "standing" in kind.__struct_fields__
    }
    assert givers == {"StandingAsked", "StandingRevoked", "StandingList"}
    async with device_with_standing(tmp_path) as (device, standing):
        connection = await connect_local(str(device.server.socket_path))
        await connection.send(msgspec.msgpack.encode({"type": "ipc.standing_given", "whom": "ada"}))
        refused = ipc.TO_COMMAND_LINE_CODEC.decode(await connection.receive(4096))
        assert refused == ipc.IpcRefused(code=ErrorCode.E_MESSAGE_FORMAT)
        connection.close()
        assert standing.live() == []


async def test_con_12_an_answer_that_was_not_offered_gives_nothing(tmp_path: Path) -> None:
    """A desktop process that says more than it was asked: an unknown word, or beside a refusal."""

    def odd(prompt: ipc.ShowPrompt) -> ipc.PromptAnswered:
        return ipc.PromptAnswered(prompt.prompt_no, prompt.grantables, "", "0" * 64, 2.0, "en", "everybody")

    async with device_with_standing(tmp_path) as (device, standing), attached(device, odd) as desktop:
        async with await device.connect(acme().technician()) as session:
            assert (await session.ask([VIEW])).granted
        desktop.answer = lambda prompt: ipc.PromptAnswered(
            prompt.prompt_no, [], ErrorCode.E_CONSENT_DENIED, "0" * 64, 2.0, "en", "group"
        )
        async with await device.connect(acme().technician()) as session:
            assert not (await session.ask([CONTROL])).granted
        assert standing.live() == []


@pytest.mark.parametrize("is_visitor", [True, False])
def test_con_12_what_everyone_of_the_organisation_may_is_not_for_whom_nobody_vouches(
    is_visitor: bool,
) -> None:
    """A technician who came by a support code is asked for each time, also on a device of an organisation."""

    async def prompts() -> list[ipc.ShowPrompt]:
        shown: list[ipc.ShowPrompt] = []
        standing = StandingConsents(None)
        standing.give(Whom(group="default"), list(Grantable), 3600)
        admitted = admit_visitor(visitor().chain, now=datetime.now(UTC)) if is_visitor else None
        stage = ConsentStage(
            lambda order: shown.append(order) if isinstance(order, ipc.ShowPrompt) else None,
            lambda _: None,
            admitted,
            standing,
        )
        await asyncio.sleep(1)
        stage.say(Ask(1, [str(VIEW)], "", "", 60))
        await asyncio.sleep(1)
        await stage.close()
        return shown

    shown = run_virtually(prompts())
    assert [prompt.may_stand for prompt in shown] == ([False] if is_visitor else [])
