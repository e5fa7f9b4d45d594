"""What the person reads, waits for and types when nobody can tell who asks."""

import pytest
from msgspec.structs import replace

from agent.desktop.ipc_messages import PromptAnswered
from agent.desktop.prompt_rules import ArmingTerms, PromptRules
from agent.desktop.prompt_text import indicator_text, prompt_text
from agent.desktop.verify_text import NO_BREAK
from protocol.errors import ErrorCode
from protocol.limits import CONSENT_ARMING_S, VISITOR_ARMING_S
from tests.support.desktop_person import compare, seen
from tests.support.desktop_service import DesktopProcess, a_prompt, an_indicator, wait_for
from tests.support.x_person import XPerson

TERMS = ArmingTerms(VISITOR_ARMING_S, "garden")
WITH_DIGITS = ArmingTerms(VISITOR_ARMING_S, "garden", must_compare=True)


def visitor_prompt():
    return replace(a_prompt(), organisation_name="", technician_name="", readback="0417")


def rules(terms: ArmingTerms = TERMS) -> PromptRules:
    made = PromptRules(("screen.view",), ordered_s=100.0, timeout_s=300.0, terms=terms)
    made.shown(100.0)
    return made


def test_allow_waits_for_ten_seconds_and_for_the_word() -> None:
    prompt = rules()
    assert prompt.allow(100.0 + VISITOR_ARMING_S) is None
    prompt.typed("garden")
    assert prompt.allow(100.0 + VISITOR_ARMING_S - 0.01) is None
    assert prompt.allow(100.0 + VISITOR_ARMING_S) is not None


def test_con_12_the_word_counts_only_after_the_digits_were_compared() -> None:
    prompt = rules(WITH_DIGITS)
    prompt.typed("garden")
    assert prompt.allow(200.0) is None
    prompt.compare(200.0)
    assert prompt.match(202.0)
    assert prompt.allow(202.0) is None, "what was typed before it does not count"
    prompt.typed("garden")
    answer = prompt.allow(202.0)
    assert answer is not None
    assert answer.is_matched


def test_that_the_digits_match_counts_only_in_their_step_and_after_its_arming_time() -> None:
    prompt = rules(WITH_DIGITS)
    assert not prompt.match(200.0)
    prompt.compare(200.0)
    assert not prompt.match(200.0 + CONSENT_ARMING_S - 0.01)
    prompt.stop_comparing()
    assert not prompt.match(210.0)
    assert prompt.is_comparing_missing


def test_nothing_is_allowed_while_the_digits_are_being_compared() -> None:
    prompt = PromptRules(("screen.view",), ordered_s=100.0, timeout_s=300.0)
    prompt.shown(100.0)
    prompt.compare(110.0)
    assert prompt.allow(120.0) is None
    prompt.stop_comparing()
    answer = prompt.allow(120.0)
    assert answer is not None
    assert not answer.is_matched


def test_digits_that_do_not_match_are_a_refusal_with_its_own_code_also_after_they_matched() -> None:
    prompt = rules(WITH_DIGITS)
    assert prompt.mismatch(200.0) is None, "only in the step"
    prompt.compare(200.0)
    assert prompt.match(202.0)
    prompt.compare(203.0)
    answer = prompt.mismatch(203.0)
    assert answer is not None
    assert (answer.allowed, answer.code) == ((), ErrorCode.E_READBACK_MISMATCH)
    assert not answer.is_matched


def test_no_answer_in_the_step_is_a_refusal_as_in_the_prompt() -> None:
    prompt = rules(WITH_DIGITS)
    prompt.compare(399.0)
    answer = prompt.tick(400.0)
    assert answer is not None
    assert answer.code == ErrorCode.E_CONSENT_TIMEOUT


@pytest.mark.parametrize("text", ["", "gard", "gardens", "window", "g arden"])
def test_another_word_does_not_do(text: str) -> None:
    prompt = rules()
    prompt.typed("garden")
    prompt.typed(text)
    assert prompt.allow(200.0) is None


def test_case_and_spaces_around_the_word_do_not_matter() -> None:
    prompt = rules()
    prompt.typed(" Garden ")
    assert prompt.allow(200.0) is not None


def test_the_prompt_says_that_nobody_can_tell_and_shows_no_name() -> None:
    order = replace(visitor_prompt(), technician_name="Microsoft Support")
    text = prompt_text(replace(order, technician_name=""), has_hot_key=False)
    assert text.identity == "NOT VERIFIED. We can't tell who this is."
    assert text.headline == "Someone asks to help you"
    assert "fraud" in text.warning
    assert text.verify is not None
    assert text.verify.digits == NO_BREAK.join("0417")
    assert text.verify.button in text.compare_first
    assert text.word
    assert text.word in text.word_title
    read = {text.warning, text.compare_first, text.word_title, *text.verify.lines()}
    assert read <= set(text.lines())  # what is hashed is what is read
    assert not text.standing


def test_a_verified_technician_has_no_word_and_no_warning() -> None:
    text = prompt_text(replace(a_prompt(), readback="0417"), has_hot_key=False)
    assert (text.warning, text.word, text.word_title, text.compare_first) == ("", "", "", "")
    assert text.verify is not None
    assert text.verify.digits == NO_BREAK.join("0417")


def test_the_indicator_says_it_too() -> None:
    who, _ = indicator_text(replace(an_indicator(), technician_name="", organisation_name=""))
    assert who == "Someone (NOT VERIFIED)"


@pytest.mark.real
def test_the_real_prompt_takes_the_word_after_the_digits_and_nothing_made_up(
    desktop: DesktopProcess, person: XPerson
) -> None:
    """The window is there, the word's field is shut before the digits, and Allow before ten seconds."""
    desktop.order(visitor_prompt())
    seen(person, "allow")
    compare(person, "matched")
    field = seen(person, "word")
    person.click(*field.middle)
    wait_for(lambda: person.connection.core.GetInputFocus().reply().focus != person.root)
    person.key(36)  # Return in the field is no answer
    person.click(*seen(person, "allow").middle)  # the word is missing
    assert desktop.is_silent(0.3)
    person.click(*seen(person, "refuse").middle)
    answer = desktop.expect(PromptAnswered)
    assert not answer.allowed
