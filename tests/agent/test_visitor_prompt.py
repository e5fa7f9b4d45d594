"""What the person reads, waits for and types when nobody can tell who asks."""

import pytest
from msgspec.structs import replace

from agent.desktop.ipc_messages import PromptAnswered
from agent.desktop.prompt_rules import ArmingTerms, PromptRules
from agent.desktop.prompt_text import NO_BREAK, indicator_text, prompt_text
from protocol.limits import VISITOR_ARMING_S
from tests.support.desktop_person import seen
from tests.support.desktop_service import DesktopProcess, a_prompt, an_indicator, wait_for
from tests.support.x_person import XPerson

TERMS = ArmingTerms(VISITOR_ARMING_S, "garden")


def visitor_prompt():
    return replace(a_prompt(), organisation_name="", technician_name="", readback="0417")


def rules() -> PromptRules:
    made = PromptRules(("screen.view",), ordered_s=100.0, timeout_s=300.0, terms=TERMS)
    made.shown(100.0)
    return made


def test_allow_waits_for_ten_seconds_and_for_the_word() -> None:
    prompt = rules()
    assert prompt.allow(100.0 + VISITOR_ARMING_S) is None
    prompt.typed("garden")
    assert prompt.allow(100.0 + VISITOR_ARMING_S - 0.01) is None
    assert prompt.allow(100.0 + VISITOR_ARMING_S) is not None


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
    assert text.readback.endswith(NO_BREAK.join("0417"))
    assert text.word
    assert text.word in text.word_title
    assert {text.warning, text.readback, text.word_title} <= set(
        text.lines()
    )  # what is hashed is what is read
    assert not text.standing


def test_a_verified_technician_has_no_word_and_no_warning() -> None:
    text = prompt_text(replace(a_prompt(), readback="0417"), has_hot_key=False)
    assert (text.warning, text.word, text.word_title) == ("", "", "")
    assert text.readback.endswith(NO_BREAK.join("0417"))


def test_the_indicator_says_it_too() -> None:
    who, _ = indicator_text(replace(an_indicator(), technician_name="", organisation_name=""))
    assert who == "Someone (NOT VERIFIED)"


@pytest.mark.real
def test_the_real_prompt_takes_the_word_and_nothing_made_up(desktop: DesktopProcess, person: XPerson) -> None:
    """The window is there, the word's field takes real keys, and Allow stays shut before ten seconds."""
    desktop.order(visitor_prompt())
    allow, field = seen(person, "allow"), seen(person, "word")
    person.click(*field.middle)
    wait_for(lambda: person.connection.core.GetInputFocus().reply().focus != person.root)
    person.key(36)  # Return in the field is no answer
    person.click(*allow.middle)
    assert desktop.is_silent(0.3)
    person.click(*seen(person, "refuse").middle)
    answer = desktop.expect(PromptAnswered)
    assert not answer.allowed
