"""Sleep, lock, log-out and user switch end every grant (THREATS.md CON-19): a real bus, a played logind."""

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from agent.absence import Absence, OsPerson, PersonFact, watching
from agent.desktop import ipc_messages as ipc
from agent.desktop_link import DesktopLink
from agent.platform.logind.bus import ANSWER_LIMIT_BYTES
from agent.platform.logind.person_watch import LogindWatch
from protocol.errors import BackendUnavailable, ErrorCode, SupportError
from protocol.grantables import Grantable
from protocol.messages.consent import Ask, AskAnswer, GrantEnded
from protocol.messages.session import FromAgent
from technician_client.sessions import TechnicianSession
from tests.support.consent_stage import ConsentStage
from tests.support.device_end import DeviceEnd, attached, device_end
from tests.support.fake_logind import MANAGER_PATH, SESSION_PATH, FakeLogind, fake_logind, running_bus
from tests.support.organisation import acme
from tests.support.virtual_time import run_virtually

pytestmark = [pytest.mark.real, pytest.mark.beside]

VIEW, CONTROL = Grantable.SCREEN_VIEW, Grantable.INPUT_CONTROL
DISPLAY = ":7"
Order = TypeVar("Order", bound=ipc.ToDesktop)


class Told:
    """What a watch said."""

    def __init__(self) -> None:
        self.facts: list[PersonFact] = []

    def tell(self, fact: PersonFact) -> None:
        self.facts.append(fact)

    async def until(self, *wanted: PersonFact) -> None:
        """Until these are the newest."""
        await until(lambda: self.facts[-len(wanted) :] == list(wanted))


async def until(is_true: Callable[[], bool]) -> None:
    """Wait for a fact."""
    async with asyncio.timeout(5):
        while not is_true():  # noqa: ASYNC110 -- of another program: nobody sets an event
            await asyncio.sleep(0.01)


@asynccontextmanager
async def watched(logind: FakeLogind, *, pid: int = 4711) -> AsyncIterator[Told]:
    """A watch that has said how it is."""
    told = Told()
    task = asyncio.create_task(
        LogindWatch(logind.address).run(OsPerson(os.getuid(), pid, DISPLAY), told.tell)
    )
    try:
        await told.until(PersonFact.BACK)
        yield told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _lock(logind: FakeLogind) -> None:
    await logind.change("LockedHint", value=True)


async def _switch(logind: FakeLogind) -> None:
    await logind.change("Active", value=False)


async def _sleep(logind: FakeLogind) -> None:
    await logind.sleep(is_beginning=True)


async def _log_out(logind: FakeLogind) -> None:
    await logind.signal(MANAGER_PATH, "Manager", "SessionRemoved", "so", "1", SESSION_PATH)


LEAVINGS: list[tuple[Callable[[FakeLogind], Any], PersonFact]] = [
    (_lock, PersonFact.LOCKED),
    (_switch, PersonFact.SWITCHED),
    (_sleep, PersonFact.SLEEPING),
    (_log_out, PersonFact.LOGGED_OUT),
]


@pytest.mark.parametrize(("leave", "fact"), LEAVINGS, ids=[fact.name for _, fact in LEAVINGS])
async def test_con_19_logind_tells_that_the_person_left(
    tmp_path: Path, leave: Callable[[FakeLogind], Any], fact: PersonFact
) -> None:
    async with fake_logind(tmp_path) as logind, watched(logind) as told:
        await leave(logind)
        await told.until(fact) if fact is not PersonFact.LOCKED else await told.until(fact, fact)


async def test_con_19_the_person_is_back_when_logind_says_so_and_not_before(tmp_path: Path) -> None:
    async with fake_logind(tmp_path) as logind, watched(logind) as told:
        await logind.sleep(is_beginning=True)
        await told.until(PersonFact.SLEEPING)
        logind.properties["LockedHint"] = True  # most desktops lock on the way
        await logind.sleep(is_beginning=False)
        await told.until(PersonFact.LOCKED)
        await logind.change("LockedHint", value=False)
        await told.until(PersonFact.BACK)


async def test_con_19_a_session_is_found_by_its_process_too(tmp_path: Path) -> None:
    async with fake_logind(tmp_path) as logind:
        logind.pids.add(4711)
        logind.properties["Display"] = ":another"
        async with watched(logind) as told:
            await logind.signal(SESSION_PATH, "Session", "Lock")
            await told.until(PersonFact.LOCK_ASKED, PersonFact.BACK)


async def test_con_19_nobody_else_on_the_bus_can_say_that_the_person_is_back(tmp_path: Path) -> None:
    async with fake_logind(tmp_path) as logind, watched(logind) as told:
        await logind.change("LockedHint", value=True)
        await told.until(PersonFact.LOCKED, PersonFact.LOCKED)
        liar = FakeLogind(logind.address)
        await liar.open(has_name=False)
        await liar.change("LockedHint", value=False)
        await liar.sleep(is_beginning=False)
        await asyncio.sleep(0.2)
        liar.close()
        assert told.facts[-1] is PersonFact.LOCKED


async def test_con_19_what_a_neighbour_throws_at_the_watch_is_passed_over(tmp_path: Path) -> None:
    async with fake_logind(tmp_path) as logind, watched(logind) as told:
        neighbour = FakeLogind(logind.address)
        await neighbour.open(has_name=False)
        deep = "a" * 20 + "(" * 20 + "y" + ")" * 20
        (asker,) = logind.askers
        too_much = bytes(2 * ANSWER_LIMIT_BYTES)
        await neighbour.signal(SESSION_PATH, "Session", "Lock", "ay", too_much, to=asker)
        await neighbour.signal(SESSION_PATH, "Session", "Lock", deep, [], to=asker)
        await logind.change("LockedHint", value=True)
        await told.until(PersonFact.LOCKED, PersonFact.LOCKED)
        neighbour.close()
        assert logind.asked.count("GetSessionByPID") == 1, "the connection was lost, and made again"


async def test_con_19_a_logind_that_restarts_is_watched_again(tmp_path: Path) -> None:
    async with fake_logind(tmp_path) as logind, watched(logind) as told:
        logind.close()
        second = FakeLogind(logind.address)
        await second.open()
        second.properties["Active"] = False
        try:
            await told.until(PersonFact.SWITCHED)
        finally:
            second.close()


async def test_without_a_bus_or_without_a_session_nobody_tells_and_that_is_said(tmp_path: Path) -> None:
    told = Told()
    with pytest.raises(BackendUnavailable, match="no system bus"):
        await LogindWatch(f"unix:path={tmp_path}/none").run(OsPerson(os.getuid(), 1, DISPLAY), told.tell)
    with running_bus(tmp_path) as address:
        with pytest.raises(BackendUnavailable):
            await LogindWatch(address).run(OsPerson(os.getuid(), 1, DISPLAY), told.tell)
        await watching([LogindWatch(address)])(OsPerson(os.getuid(), 1, DISPLAY), told.tell)
    assert told.facts == []


async def _ended(session: TechnicianSession, count: int) -> list[str]:
    codes = []
    async with asyncio.timeout(5):
        while len(codes) < count:
            notice = await session.notices.get()
            if isinstance(notice, GrantEnded):
                codes.append(notice.code)
    return codes


@asynccontextmanager
async def device_with(logind: FakeLogind, folder: Path) -> AsyncIterator[DeviceEnd]:
    """A device whose desktop's person is watched through this logind."""
    logind.properties["Display"] = ":99"  # as the desktop process of these tests calls itself
    async with device_end(acme(), folder) as device:
        device.desktop_link._watch_person = watching([LogindWatch(logind.address)])
        yield device


async def _until_here(link: DesktopLink, *, is_away: bool) -> None:
    await until(lambda: link.seat is not None and link.seat.absence.is_away is is_away)


async def test_con_19_who_locks_the_desktop_ends_every_grant_and_is_not_asked_until_they_are_back(
    tmp_path: Path,
) -> None:
    async with fake_logind(tmp_path) as logind, device_with(logind, tmp_path) as device:
        async with attached(device) as desktop, await device.connect(acme().technician()) as session:
            for wanted in (VIEW, CONTROL):
                await session.ask([wanted])
            await session.open_channel(VIEW)
            worker = await desktop.worker()
            await until(lambda: "Get" in logind.asked)
            await logind.change("LockedHint", value=True)
            assert await _ended(session, 2) == [ErrorCode.E_CONSENT_AWAY] * 2
            assert await worker.is_cut_off()
            await _until_here(device.desktop_link, is_away=True)
            assert (await session.ask([VIEW])).refused == {VIEW: ErrorCode.E_CONSENT_AWAY}
            await logind.change("LockedHint", value=False)
            await _until_here(device.desktop_link, is_away=False)
            assert (await session.ask([VIEW])).granted, "the control: who is back can be asked"
        await device.over()
    ended = [record for record in device.records() if record.kind == "grant.ended"]
    assert [record.facts["code"] for record in ended[:2]] == [ErrorCode.E_CONSENT_AWAY] * 2


async def test_con_19_rel_08_who_was_asleep_is_asked_again_without_any_logind(
    tmp_path: Path,
) -> None:
    slept_s = [0.0]
    async with device_end(acme(), tmp_path) as device, attached(device) as desktop:
        device.side = dataclasses.replace(device.side, slept_s=lambda: slept_s[0])
        async with await device.connect(acme().technician()) as session:
            await session.ask([CONTROL])
            slept_s[0] = 7200.0  # the clocks after two hours of sleep
            with pytest.raises(SupportError, match="E_CONSENT_AWAY"):
                await session.open_channel(CONTROL)
            assert not desktop.injected
            assert (await session.ask([CONTROL])).granted
            await session.open_channel(CONTROL)
        await device.over()


async def test_con_19_an_absence_is_known_until_its_end() -> None:
    absence = Absence()
    for fact in (PersonFact.LOCKED, PersonFact.SWITCHED, PersonFact.LOGGED_OUT, PersonFact.SLEEPING):
        absence.tell(PersonFact.BACK)
        waiting = asyncio.create_task(absence.departed())
        await asyncio.sleep(0)
        absence.tell(fact)
        await waiting
        assert absence.is_away
    absence.tell(PersonFact.BACK)
    absence.tell(PersonFact.LOCK_ASKED)
    assert not absence.is_away


@pytest.mark.parametrize("fact", [PersonFact.LOCKED, PersonFact.LOCK_ASKED, PersonFact.SLEEPING])
@pytest.mark.parametrize("leaves_before_indicator", [True, False])
def test_con_19_who_left_and_came_back_before_the_grant_was_given_has_ended_it(
    fact: PersonFact, leaves_before_indicator: bool
) -> None:
    async def visit() -> None:
        orders: asyncio.Queue[ipc.ToDesktop] = asyncio.Queue()
        answers: asyncio.Queue[AskAnswer] = asyncio.Queue()
        stage = ConsentStage(orders.put_nowait, partial(_keep, answers))

        async def order(kind: type[Order]) -> Order:
            while True:
                if isinstance(each := await orders.get(), kind):
                    return each

        def leave_and_return() -> None:
            assert stage.link.seat is not None
            stage.link.seat.absence.tell(fact)
            stage.link.seat.absence.tell(PersonFact.BACK)

        async def ask(number: int, *, leaves: bool) -> AskAnswer:
            stage.say(Ask(number, [str(VIEW)], "", "", 600))
            prompt = await order(ipc.ShowPrompt)
            if not leaves:
                leave_and_return()  # while the question stands they may: it is answered afterwards
            stage.desktop.say(ipc.PromptAnswered(prompt.prompt_no, [str(VIEW)], "", "0" * 64, 2.0))
            shown = await order(ipc.ShowIndicator)
            if leaves:
                leave_and_return()
            stage.desktop.say(ipc.IndicatorShown(shown.session_id, shown.show_no))
            return await answers.get()

        await asyncio.sleep(0)
        try:
            answer = await ask(1, leaves=leaves_before_indicator)
            if leaves_before_indicator:
                assert answer.refused == {str(VIEW): ErrorCode.E_CONSENT_AWAY}
                answer = await ask(2, leaves=False)
            assert [each.grantable for each in answer.granted] == [str(VIEW)]
        finally:
            await stage.close()

    run_virtually(visit())


def _keep(answers: asyncio.Queue[AskAnswer], message: FromAgent) -> None:
    if isinstance(message, AskAnswer):
        answers.put_nowait(message)
