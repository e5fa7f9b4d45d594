"""*Pause for an hour* in whole sessions: nobody asks, connects or goes on, allowed beforehand or not."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.desktop.pause_messages import PauseOrdered, ResumeOrdered
from agent.local_client import order_pause
from agent.pause import EVERYBODY, Pauses
from agent.pause_desk import PauseDesk
from agent.standing import StandingConsents, Whom
from agent.welcome import Welcome
from protocol.errors import ErrorCode, NotGranted, SupportError
from protocol.grantables import Grantable
from protocol.limits import PAUSE_LENGTH_S
from tests.support.device_end import DeviceEnd, attached, device_end
from tests.support.organisation import acme
from tests.support.policies import signed_policy

pytestmark = [pytest.mark.real, pytest.mark.beside]

VIEW = Grantable.SCREEN_VIEW


@asynccontextmanager
async def device_with_pause(folder: Path) -> AsyncIterator[tuple[DeviceEnd, Pauses]]:
    """A device that takes the person's word on its local socket."""
    async with device_end(acme(), folder) as device:
        pause = Pauses(folder / "pause.json")
        standing = StandingConsents(folder / "standing.json")
        device.side = dataclasses.replace(device.side, welcome=Welcome(pause), standing=standing)

        async def end_sessions(_uid: int | None, cause: str) -> None:
            for runner in device.runners.values():
                runner.end(cause)
            await device.over()

        desk = PauseDesk(pause, end_sessions, device.side.audit_log, device.device_id)
        device.server._handlers = {  # a test adds what `app.py` does
            **device.server._handlers,
            PauseOrdered: desk.handle,
            ResumeOrdered: desk.handle,
        }
        yield device, pause


async def test_con_10_who_connects_in_a_pause_is_told_so_and_the_person_is_not_asked(tmp_path: Path) -> None:
    async with device_with_pause(tmp_path) as (device, _), attached(device) as desktop:
        assert await order_pause(device.server.socket_path, is_on=True) > PAUSE_LENGTH_S - 60
        with pytest.raises(SupportError) as caught:
            await device.connect(acme().technician())
        assert caught.value.code is ErrorCode.E_CONSENT_PAUSED
        assert "until" in caught.value.detail
        await device.over()
        refused = [record for record in device.records() if record.kind == "session.refused"]
        assert [record.facts["code"] for record in refused] == ["E_CONSENT_PAUSED"]
        assert desktop.orders == []
        # the control: the same technician, once the person has ended it
        assert await order_pause(device.server.socket_path, is_on=False) == 0
        async with await device.connect(acme().technician()) as session:
            assert (await session.ask([VIEW])).granted
    kinds = device.kinds()
    assert kinds.index("pause.started") < kinds.index("session.refused") < kinds.index("pause.ended")


async def test_con_10_a_pause_ends_what_goes_on_and_the_session_is_told_why(tmp_path: Path) -> None:
    async with device_with_pause(tmp_path) as (device, _), attached(device):
        async with await device.connect(acme().technician()) as session:
            await session.ask([VIEW])
            over = asyncio.Event()
            session.when_over(over.set)
            await order_pause(device.server.socket_path, is_on=True)
            async with asyncio.timeout(20):
                await over.wait()
            assert "until" in session.why_over
        ended = [record.facts for record in device.records() if record.kind == "session.ended"]
        assert ended == [{"cause": "E_CONSENT_PAUSED"}]


async def test_con_16_neither_standing_consent_nor_unattended_acts_in_a_pause(tmp_path: Path) -> None:
    async with device_with_pause(tmp_path) as (device, pause), attached(device) as desktop:
        device.publish(signed_policy(acme(), groups={"default": "unattended"}))
        device.side.standing.give(Whom(technician_id="dana"), [VIEW], 3600)
        await order_pause(device.server.socket_path, is_on=True)
        with pytest.raises(SupportError, match=ErrorCode.E_CONSENT_PAUSED):
            await device.connect(acme().technician())
        await device.over()
        assert desktop.orders == []
        pause.end(EVERYBODY)
        async with await device.connect(acme().technician()) as session:
            assert (await session.ask([VIEW])).granted


async def test_con_03_no_grant_acts_from_the_moment_of_the_pause(tmp_path: Path) -> None:
    """Before any task of the session has run again, and while a second ask is on its way."""
    async with (
        device_with_pause(tmp_path) as (device, pause),
        attached(device),
        await device.connect(acme().technician()) as session,
    ):
        await session.ask([VIEW])
        [runner] = device.runners.values()
        assert runner._live is not None
        assert runner._live.consent.require(VIEW)
        pause.begin(EVERYBODY)
        with pytest.raises(NotGranted, match=ErrorCode.E_CONSENT_PAUSED):
            runner._live.consent.require(VIEW)
        answer = await session.ask([VIEW])
        assert answer.refused == {VIEW: ErrorCode.E_CONSENT_PAUSED}
