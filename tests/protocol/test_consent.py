"""The consent machine: nothing without a yes, and nothing before the indicator is shown."""

from itertools import product

import pytest

from protocol.consent import (
    INDICATOR_TIMEOUT_S,
    PROMPT_GRACE_S,
    TRANSITIONS,
    ClosePrompt,
    ConsentMachine,
    GiveGrants,
    Input,
    RefuseAll,
    ShowIndicator,
    ShowPrompt,
    State,
)
from protocol.errors import ErrorCode, WrongState
from protocol.grantables import Grantable
from protocol.limits import CONSENT_EXTENSIONS_LIMIT
from protocol.policy import Consent

VIEW, CONTROL, RUN = Grantable.SCREEN_VIEW, Grantable.INPUT_CONTROL, Grantable.COMMANDS_RUN
BOTH = frozenset({VIEW, CONTROL})
ONE = frozenset({VIEW})  # of both, what the person is asked for
LATER = {CONTROL: ErrorCode.E_CONSENT_LATER}
ILLEGAL = [pair for pair in product(State, Input) if pair not in TRANSITIONS]


def asked(offered: frozenset[Grantable] = BOTH) -> ConsentMachine:
    return ConsentMachine(BOTH, offered, prompt_timeout_s=300.0)


def prompting() -> ConsentMachine:
    machine = asked()
    assert machine.start(Consent.ASK, is_anybody_there=True, now_s=100.0) == [ShowPrompt(ONE, 300.0)]
    return machine


def test_allowing_shows_the_indicator_first_and_grants_only_after_it():
    machine = prompting()
    assert machine.allow(ONE, now_s=110.0) == [ShowIndicator(ONE)]
    assert machine.state is State.SHOWING
    assert machine.indicator_shown() == [GiveGrants(ONE, LATER)]


def test_unattended_is_never_unseen():
    machine = asked()
    assert machine.start(Consent.UNATTENDED, is_anybody_there=True, now_s=0.0) == [ShowIndicator(BOTH)]
    assert machine.tick(INDICATOR_TIMEOUT_S) == [
        RefuseAll({VIEW: ErrorCode.E_CONSENT_TIMEOUT, CONTROL: ErrorCode.E_CONSENT_TIMEOUT})
    ]


def test_unattended_without_a_desktop_is_refused():
    machine = asked()
    [refusal] = machine.start(Consent.UNATTENDED, is_anybody_there=False, now_s=0.0)
    assert isinstance(refusal, RefuseAll)
    assert set(refusal.refused.values()) == {ErrorCode.E_CONSENT_NOBODY}


def test_a_person_who_is_asked_for_the_screen_cannot_give_control_along_with_it():
    machine = prompting()
    with pytest.raises(WrongState):
        machine.allow(BOTH, now_s=110.0)
    assert machine.state is State.PROMPTING


@pytest.mark.parametrize(
    ("asked_for", "held", "prompted"),
    [
        (frozenset(Grantable), frozenset(), VIEW),
        (frozenset({RUN, CONTROL}), frozenset(), CONTROL),
        (BOTH, frozenset({VIEW}), CONTROL),
        (BOTH, BOTH, VIEW),
        (frozenset({RUN}), frozenset({VIEW}), RUN),
    ],
)
def test_a_prompt_is_for_one_thing_the_least_that_is_not_held_yet(asked_for, held, prompted):
    machine = ConsentMachine(asked_for, frozenset(Grantable), held=held)
    [shown] = machine.start(Consent.ASK, is_anybody_there=True, now_s=0.0)
    assert isinstance(shown, ShowPrompt)
    assert shown.grantables == {prompted}


def test_what_was_allowed_beforehand_covers_a_bundle_without_a_prompt():
    machine = asked()
    shown = machine.start(Consent.ASK, is_anybody_there=True, now_s=0.0, is_standing=True)
    assert shown == [ShowIndicator(BOTH)]


def test_what_policy_does_not_offer_is_never_shown_to_the_person():
    machine = asked(offered=frozenset({VIEW}))
    [shown] = machine.start(Consent.ASK, is_anybody_there=True, now_s=0.0)
    assert shown == ShowPrompt(frozenset({VIEW}), 300.0)
    machine.allow(frozenset({VIEW}), now_s=1.0)
    [given] = machine.indicator_shown()
    assert given == GiveGrants(frozenset({VIEW}), {CONTROL: ErrorCode.E_POLICY_CAPABILITY})


def test_nothing_offered_is_refused_without_a_prompt():
    machine = asked(offered=frozenset({RUN}))
    [refusal] = machine.start(Consent.ASK, is_anybody_there=True, now_s=0.0)
    assert refusal == RefuseAll(dict.fromkeys(BOTH, ErrorCode.E_POLICY_CAPABILITY))


def test_no_answer_is_a_refusal_at_the_deadline_and_not_before():
    """The deadline leaves room for every extension that the person may press for."""
    machine = prompting()
    deadline_s = 100.0 + 300.0 * (1 + CONSENT_EXTENSIONS_LIMIT) + PROMPT_GRACE_S
    assert machine.tick(deadline_s - 0.1) == []
    assert machine.tick(deadline_s) == [
        ClosePrompt(),
        RefuseAll({VIEW: ErrorCode.E_CONSENT_TIMEOUT} | LATER),
    ]
    assert machine.state is State.REFUSED


def test_an_empty_yes_is_a_no():
    machine = prompting()
    assert machine.allow(frozenset(), now_s=101.0) == [RefuseAll({VIEW: ErrorCode.E_CONSENT_DENIED} | LATER)]


def test_a_person_cannot_grant_what_nobody_asked_for():
    machine = prompting()
    with pytest.raises(WrongState):
        machine.allow(frozenset({RUN}), now_s=101.0)
    assert machine.state is State.PROMPTING


def test_a_technician_who_leaves_takes_the_prompt_along():
    machine = prompting()
    closing, refusal = machine.withdraw()
    assert closing == ClosePrompt()
    assert isinstance(refusal, RefuseAll)


@pytest.mark.parametrize(("state", "given"), ILLEGAL, ids=lambda value: value.name)
def test_a_pair_outside_the_table_is_refused_and_changes_nothing(state, given):
    machine = asked()
    machine.state = state
    with pytest.raises(WrongState):
        machine._step(given)
    assert machine.state is state
