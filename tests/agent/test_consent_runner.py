"""The shell around the consent machine: what the person does becomes facts, effects become orders."""

import asyncio
from collections.abc import Callable

import pytest

from agent.consent_runner import ConsentRunner, Outcome, PersonAnswer
from protocol.consent import ConsentMachine, GiveGrants, ShowIndicator, ShowPrompt
from protocol.errors import EnvironmentFault, ErrorCode, Unreachable
from protocol.grantables import Grantable
from protocol.policy import Consent

VIEW, CONTROL = Grantable.SCREEN_VIEW, Grantable.INPUT_CONTROL
BOTH = frozenset({VIEW, CONTROL})


class ScriptedPerson:
    """Answers as told; notes whether the prompt was taken away and the indicator shown."""

    def __init__(self, answer: Callable[[], PersonAnswer] | None) -> None:
        self._answer = answer
        self.was_cancelled = False
        self.can_see_indicator = True
        self.shown: list[frozenset[Grantable]] = []

    async def ask(self, prompt: ShowPrompt) -> PersonAnswer:
        """See `Person`."""
        if self._answer is not None:
            return self._answer()
        try:
            return await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise

    async def show_indicator(self, shown: ShowIndicator) -> None:
        """See `Person`."""
        self.shown.append(shown.grantables)
        if not self.can_see_indicator:
            raise Unreachable("gone", code=ErrorCode.E_CONSENT_NOBODY)


def allows(*grantables: Grantable) -> Callable[[], PersonAnswer]:
    """A person who allows these."""
    return lambda: PersonAnswer(frozenset(grantables), "")


async def run(
    person: ScriptedPerson,
    *,
    consent: Consent = Consent.ASK,
    give: Callable[[GiveGrants], None] = lambda _: None,
    timeout_s: float = 30.0,
) -> Outcome:
    """One ask for both permissions."""
    machine = ConsentMachine(BOTH, BOTH, prompt_timeout_s=timeout_s)
    return await ConsentRunner(machine, person, give).run(consent, is_anybody_there=True)


async def test_only_what_was_asked_and_allowed_is_given() -> None:
    given: list[GiveGrants] = []
    outcome = await run(ScriptedPerson(allows(VIEW)), give=given.append)
    assert outcome == Outcome(frozenset({VIEW}), {CONTROL: ErrorCode.E_CONSENT_LATER})
    assert [effect.granted for effect in given] == [frozenset({VIEW})]


async def test_nothing_is_given_when_the_indicator_cannot_be_shown() -> None:
    person = ScriptedPerson(allows(VIEW))
    person.can_see_indicator = False
    given: list[GiveGrants] = []
    outcome = await run(person, give=given.append)
    assert not outcome.granted
    assert outcome.refused[VIEW] is ErrorCode.E_CONSENT_NOBODY
    assert given == []


async def test_unattended_asks_nobody_and_still_shows_the_indicator() -> None:
    person = ScriptedPerson(None)
    outcome = await run(person, consent=Consent.UNATTENDED)
    assert outcome.granted == BOTH
    assert person.shown == [BOTH]


async def test_no_answer_takes_the_prompt_away_and_refuses() -> None:
    person = ScriptedPerson(None)
    outcome = await run(person, timeout_s=0.01)
    assert outcome.refused[VIEW] is ErrorCode.E_CONSENT_TIMEOUT
    assert person.was_cancelled


async def test_a_desktop_that_dies_while_asking_is_nobody() -> None:
    def dies() -> PersonAnswer:
        raise Unreachable("gone", code=ErrorCode.E_CONSENT_NOBODY)

    outcome = await run(ScriptedPerson(dies))
    assert outcome.refused[VIEW] is ErrorCode.E_CONSENT_NOBODY


async def test_cancelling_withdraws_the_prompt() -> None:
    person = ScriptedPerson(None)
    running = asyncio.create_task(run(person))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert person.was_cancelled


async def test_an_audit_log_that_cannot_be_written_refuses_what_was_allowed() -> None:
    def cannot_write(_: GiveGrants) -> None:
        raise EnvironmentFault("disk full", code=ErrorCode.E_AUDIT_WRITE)

    outcome = await run(ScriptedPerson(allows(VIEW)), give=cannot_write)
    assert not outcome.granted
    assert outcome.refused[VIEW] is ErrorCode.E_AUDIT_WRITE
