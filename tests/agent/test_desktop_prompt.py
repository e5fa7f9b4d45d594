"""The prompt as the person meets it: a real window on Xvfb, real clicks and keys, a small service."""

import time

import pytest
from msgspec.structs import replace

from agent.desktop.ipc_messages import (
    CancelPrompt,
    PromptAnswered,
)
from protocol.errors import ErrorCode
from tests.support.desktop_person import SPACE, TAB, armed, compare, seen, take_keyboard
from tests.support.desktop_service import DesktopProcess, a_prompt, wait_for
from tests.support.x_person import XPerson

pytestmark = pytest.mark.real


def test_the_prompt_says_what_is_asked_and_allow_means_that_alone(
    desktop: DesktopProcess, person: XPerson
) -> None:
    desktop.order(a_prompt(("diagnostics.read",)))
    allow = armed(person)
    person.click(*seen(person, "asked:diagnostics.read").middle)  # words, and no control
    assert desktop.is_silent(0.3)
    person.click(*allow.middle)
    assert desktop.expect(PromptAnswered).allowed == ["diagnostics.read"]


def test_more_time_keeps_the_question_open(desktop: DesktopProcess, person: XPerson) -> None:
    desktop.order(a_prompt(timeout_s=1.5))
    time.sleep(0.8)
    person.click(*seen(person, "more_time").middle)
    assert desktop.is_silent(1.1)
    assert desktop.expect(PromptAnswered).code == ErrorCode.E_CONSENT_TIMEOUT


def test_a_question_that_is_moot_closes_without_an_answer(desktop: DesktopProcess, person: XPerson) -> None:
    desktop.order(a_prompt(number=7))
    seen(person, "allow")
    desktop.order(CancelPrompt(prompt_no=7))
    wait_for(lambda: person.find("allow") is None)
    assert desktop.is_silent(0.2)


def test_con_21_the_keyboard_alone_can_allow(desktop: DesktopProcess, person: XPerson) -> None:
    desktop.order(a_prompt())
    button = armed(person)
    take_keyboard(person, button)
    person.key(TAB)  # from Don't allow, which has the focus, to Allow
    time.sleep(0.7)
    person.key(SPACE)
    assert desktop.expect(PromptAnswered).allowed == ["screen.view"]


def test_digits_that_match_are_part_of_the_answer(desktop: DesktopProcess, person: XPerson) -> None:
    desktop.order(replace(a_prompt(), readback="0417"))
    armed(person)
    compare(person, "back")
    assert desktop.is_silent(0.2), "back says nothing"
    compare(person, "matched")
    person.click(*seen(person, "allow").middle)
    answer = desktop.expect(PromptAnswered)
    assert (answer.allowed, answer.is_matched) == (["screen.view"], True)


def test_digits_that_do_not_match_refuse_with_their_own_code(
    desktop: DesktopProcess, person: XPerson
) -> None:
    desktop.order(replace(a_prompt(), readback="0417"))
    armed(person)
    compare(person, "mismatched")
    answer = desktop.expect(PromptAnswered)
    assert (answer.allowed, answer.code) == ([], ErrorCode.E_READBACK_MISMATCH)


def test_con_21_the_keyboard_alone_compares_digits_and_one_key_accuses_nobody(
    desktop: DesktopProcess, person: XPerson
) -> None:
    desktop.order(replace(a_prompt(), readback="0417"))
    button = armed(person)
    take_keyboard(person, button)
    for _ in range(4):  # Allow, More time, Block, what is in the body: the first of it is Verify
        person.key(TAB)
    time.sleep(0.7)
    person.key(SPACE)
    seen(person, "matched")
    time.sleep(1.8)
    person.key(SPACE)  # the focus is on Back
    wait_for(lambda: person.find("matched") is None)
    assert desktop.is_silent(0.2)
    person.key(TAB)
    time.sleep(0.7)
    person.key(SPACE)
    assert desktop.expect(PromptAnswered).allowed == ["screen.view"]
