"""Every capability in every state of its grant (THREATS.md CON-01, 03, 04): generated, in virtual time."""

import asyncio
from collections.abc import Coroutine
from itertools import product
from typing import Any

import pytest

from agent.absence import PersonFact
from agent.desktop import ipc_messages as ipc
from protocol.errors import ErrorCode
from protocol.grantables import Grantable
from protocol.messages import session as messages
from protocol.messages.channel import ChannelClosed, ChannelOpened, ChannelRefused
from protocol.messages.consent import Ask, AskAnswer, ReleaseGrant
from tests.support.consent_stage import ConsentStage
from tests.support.virtual_time import run_virtually

LENGTH_S = 10
MADE_UP = "g-" + "a" * 16
ENDINGS = ("expired", "released", "stopped", "locked", "desktop_died")
REFUSED_STATES = ("none", "pending", "denied", "timed_out", "other", *ENDINGS)
REFUSED = {"denied": ErrorCode.E_CONSENT_DENIED, "timed_out": ErrorCode.E_CONSENT_TIMEOUT}


class Scene:
    """A person who does one thing, and a technician who tries everything."""

    def __init__(self, state: str, grantable: Grantable) -> None:
        self.state, self.grantable = state, grantable
        self.grant_ids: dict[Grantable, str] = {}
        self.heard: list[messages.FromAgent] = []
        self.stage = ConsentStage(self._order, self._hear)

    def _order(self, order: ipc.ToDesktop) -> None:
        match order:
            case ipc.ShowPrompt():
                self._answer(order)
            case ipc.ShowIndicator():
                self.stage.desktop.say(ipc.IndicatorShown(order.session_id, order.show_no))
            case _:
                pass

    def _answer(self, prompt: ipc.ShowPrompt) -> None:
        code = {"denied": ErrorCode.E_CONSENT_DENIED, "timed_out": ErrorCode.E_CONSENT_TIMEOUT}.get(
            self.state
        )
        if self.state != "pending":
            allowed = [] if code else prompt.grantables
            answer = ipc.PromptAnswered(prompt.prompt_no, allowed, str(code or ""), "0" * 64, 2.0)
            self.stage.desktop.say(answer)

    def _hear(self, message: messages.FromAgent) -> None:
        self.heard.append(message)
        if isinstance(message, AskAnswer):
            self.grant_ids |= {Grantable(each.grantable): each.grant_id for each in message.granted}

    async def reach(self) -> None:
        """Bring the grant into the state."""
        await asyncio.sleep(1)
        if self.state == "none":
            return
        others = [each for each in Grantable if each is not self.grantable]
        asked = others if self.state == "other" else [self.grantable]
        self.stage.say(Ask(1, [str(each) for each in asked], "", "", LENGTH_S))
        await asyncio.sleep(1)
        match self.state:
            case "expired":
                await asyncio.sleep(LENGTH_S)
            case "released":
                self.stage.say(ReleaseGrant(self.grant_ids[self.grantable]))
            case "stopped":
                self.stage.desktop.say(ipc.StopPressed(self.stage.session_id))
            case "desktop_died":
                self.stage.desktop.die()
            case "locked":
                assert self.stage.link.seat is not None
                self.stage.link.seat.absence.tell(PersonFact.LOCKED)
            case _:
                pass
        await asyncio.sleep(0.5)

    async def try_everything(self) -> None:
        """Open the channel with every id that there is, and act on it whatever the answer is."""
        capability = self.grantable.capability
        for number, grant_id in enumerate((*self.grant_ids.values(), MADE_UP, ""), start=100):
            self.stage.open_channel(number, capability, grant_id)
            await asyncio.sleep(0.5)
            if ChannelOpened(number) in self.heard:
                self.stage.act(number, capability)
            await asyncio.sleep(0.5)
        self.stage.open_channel(200, capability, MADE_UP)
        self.stage.act(200, capability)  # right behind it: on a channel that is not open
        await asyncio.sleep(0.5)


def played(scene: Coroutine[Any, Any, set[Grantable]]) -> set[Grantable]:
    return run_virtually(scene)


async def _acted(state: str, grantable: Grantable) -> set[Grantable]:
    scene = Scene(state, grantable)
    await scene.reach()
    await scene.try_everything()
    await scene.stage.close()
    return scene.stage.effects.grantables


@pytest.mark.parametrize(
    ("grantable", "state"), list(product(Grantable, REFUSED_STATES)), ids=lambda each: str(each)
)
def test_con_01_without_its_own_live_grant_nothing_acts(grantable: Grantable, state: str) -> None:
    assert grantable not in played(_acted(state, grantable))


@pytest.mark.parametrize("grantable", list(Grantable), ids=str)
def test_con_01_the_control_with_its_grant_it_acts(grantable: Grantable) -> None:
    assert played(_acted("granted", grantable)) == {grantable}


async def _act_before_and_after(state: str, grantable: Grantable) -> tuple[int, int]:
    """A channel that was opened while the grant lived: what acts before its end, and after it."""
    scene = Scene("granted", grantable)
    await scene.reach()
    scene.stage.open_channel(1, grantable.capability, scene.grant_ids[grantable])
    await asyncio.sleep(0.5)
    scene.stage.act(1, grantable.capability)
    await asyncio.sleep(0.5)
    before = len(scene.stage.effects.seen)
    scene.state = state
    stage = scene.stage
    match state:
        case "expired":
            await asyncio.sleep(LENGTH_S)
        case "released":
            stage.say(ReleaseGrant(scene.grant_ids[grantable]))
        case "stopped":
            stage.desktop.say(ipc.StopPressed(stage.session_id))
        case "desktop_died":
            stage.desktop.die()
        case _:
            assert stage.link.seat is not None
            stage.link.seat.absence.tell(PersonFact.LOCKED)
    for _ in range(20):  # the first of them at the same moment
        stage.act(1, grantable.capability)
        stage.paint()
        await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    settled = len(stage.effects.seen)
    for _ in range(20):
        stage.act(1, grantable.capability)
        stage.paint()
        await asyncio.sleep(0.1)
    after = len(stage.effects.seen) - settled
    await stage.close()
    return before, after


@pytest.mark.parametrize(
    ("grantable", "state"), list(product(Grantable, ENDINGS)), ids=lambda each: str(each)
)
def test_con_01_an_open_channel_acts_no_more_after_its_grant(grantable: Grantable, state: str) -> None:
    before, after = run_virtually(_act_before_and_after(state, grantable))
    assert before
    assert after == 0


async def _view_only() -> tuple[set[Grantable], dict[str, str]]:
    scene = Scene("granted", Grantable.SCREEN_VIEW)
    await scene.reach()
    others = [each for each in Grantable if each is not Grantable.SCREEN_VIEW]
    for number, other in enumerate(others, start=10):
        scene.stage.open_channel(number, other.capability, scene.grant_ids[Grantable.SCREEN_VIEW])
        await asyncio.sleep(0.1)
    refused = {
        other.value: said.code
        for said in scene.heard
        if isinstance(said, ChannelRefused)
        for number, other in enumerate(others, start=10)
        if said.channel_no == number
    }
    # on the screen's own channel, what belongs to the others is no message at all
    scene.stage.open_channel(50, "screen", scene.grant_ids[Grantable.SCREEN_VIEW])
    await asyncio.sleep(0.1)
    scene.stage.act(50, "input")
    await asyncio.sleep(0.5)
    await scene.stage.close()
    assert not any(isinstance(said, ChannelClosed) and said.code == "finished" for said in scene.heard)
    return scene.stage.effects.grantables, refused


def test_con_04_who_may_only_see_is_refused_each_of_the_others_by_itself() -> None:
    acted, refused = run_virtually(_view_only())
    assert acted == {Grantable.SCREEN_VIEW}
    assert refused == {
        each.value: ErrorCode.E_GRANT_NONE for each in Grantable if each is not Grantable.SCREEN_VIEW
    }


async def _reuse() -> tuple[set[Grantable], set[Grantable]]:
    """A grant's id in another session of the same device, which also is what a restart leaves of it."""
    first = Scene("granted", Grantable.INPUT_CONTROL)
    await first.reach()
    stolen = first.grant_ids[Grantable.INPUT_CONTROL]
    second = Scene("none", Grantable.INPUT_CONTROL)
    await second.reach()
    second.stage.open_channel(1, "input", stolen)
    await asyncio.sleep(0.5)
    assert ChannelRefused(1, ErrorCode.E_GRANT_NONE) in second.heard
    await first.try_everything()
    await first.stage.close()
    await second.stage.close()
    return first.stage.effects.grantables, second.stage.effects.grantables


def test_con_03_a_grant_of_another_session_is_none() -> None:
    acted, stolen = run_virtually(_reuse())
    assert acted == {Grantable.INPUT_CONTROL}, "the control"
    assert stolen == set()
