"""The prompt as the person meets it: a real window on Xvfb, real clicks and keys, a small service."""

import os
import subprocess
import sys
import time

import pytest

from agent.desktop.ipc_messages import (
    AllowInput,
    CancelPrompt,
    IndicatorShown,
    Inject,
    InputAllowed,
    PromptAnswered,
)
from protocol.errors import ErrorCode
from protocol.limits import PROMPT_GUARD_S
from protocol.messages.input import PointerButton, PointerMove
from tests.support.desktop_person import ESCAPE, RETURN, SPACE, TAB, armed, seen, take_keyboard
from tests.support.desktop_service import DesktopProcess, a_prompt, an_indicator, wait_for
from tests.support.x_person import XPerson

pytestmark = pytest.mark.real


def test_allow_pressed_too_early_does_nothing_and_armed_it_allows(
    desktop: DesktopProcess, person: XPerson
) -> None:
    desktop.order(a_prompt())
    allow = seen(person, "allow")
    person.click(*allow.middle)
    person.click(*allow.middle)
    assert desktop.is_silent(0.3)
    time.sleep(1.5)
    person.click(*allow.middle)
    answer = desktop.expect(PromptAnswered)
    assert answer.allowed == ["screen.view", "input.control"]
    assert answer.code == ""
    assert len(answer.text_sha256) == 64
    assert answer.took_s >= 1.5


def test_one_unticked_box_leaves_the_others(desktop: DesktopProcess, person: XPerson) -> None:
    desktop.order(a_prompt(("screen.view", "input.control", "diagnostics.read")))
    allow = armed(person)
    person.click(*seen(person, "box:input.control").middle)
    person.click(*allow.middle)
    assert desktop.expect(PromptAnswered).allowed == ["screen.view", "diagnostics.read"]


def test_with_every_box_unticked_allow_does_nothing(desktop: DesktopProcess, person: XPerson) -> None:
    desktop.order(a_prompt())
    allow = armed(person)
    for grantable in ("screen.view", "input.control"):
        person.click(*seen(person, f"box:{grantable}").middle)
    person.click(*allow.middle)
    assert desktop.is_silent(0.3)
    person.click(*seen(person, "refuse").middle)
    assert desktop.expect(PromptAnswered).code == ErrorCode.E_CONSENT_DENIED


def test_escape_refuses(desktop: DesktopProcess, person: XPerson) -> None:
    desktop.order(a_prompt())
    hint = seen(person, "refuse")
    take_keyboard(person, hint)
    person.key(ESCAPE)
    answer = desktop.expect(PromptAnswered)
    assert (answer.allowed, answer.code) == ([], ErrorCode.E_CONSENT_DENIED)


def test_closing_the_window_refuses(desktop: DesktopProcess, person: XPerson, display: str) -> None:
    desktop.order(a_prompt())
    button = seen(person, "refuse")
    take_keyboard(person, button)
    subprocess.run(["xdotool", "key", "alt+F4"], env={**os.environ, "DISPLAY": display}, check=True)
    assert desktop.expect(PromptAnswered).code == ErrorCode.E_CONSENT_DENIED


def test_no_answer_refuses_with_its_own_code(desktop: DesktopProcess) -> None:
    desktop.order(a_prompt(timeout_s=1.0))
    assert desktop.expect(PromptAnswered).code == ErrorCode.E_CONSENT_TIMEOUT


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


def test_a_second_question_at_the_same_time_is_refused(desktop: DesktopProcess, person: XPerson) -> None:
    desktop.order(a_prompt(number=1))
    desktop.order(a_prompt(number=2))
    second = desktop.expect(PromptAnswered)
    assert (second.prompt_no, second.code) == (2, ErrorCode.E_BUSY)


def test_the_prompt_does_not_take_the_keyboard_from_who_types(
    desktop: DesktopProcess, person: XPerson
) -> None:
    focus = person.connection.core.GetInputFocus().reply().focus
    desktop.order(a_prompt())
    seen(person, "allow")
    for keycode in (RETURN, SPACE, RETURN, SPACE):
        person.key(keycode)
    assert desktop.is_silent(0.3)
    assert person.connection.core.GetInputFocus().reply().focus == focus


def test_a_person_who_types_on_neither_allows_nor_refuses(desktop: DesktopProcess, person: XPerson) -> None:
    desktop.order(a_prompt())
    button = seen(person, "refuse")
    take_keyboard(person, button)
    for _ in range(8):
        person.key(SPACE)
        person.key(RETURN)
        time.sleep(0.1)
    assert desktop.is_silent(0.2)


def test_the_keyboard_alone_can_allow(desktop: DesktopProcess, person: XPerson) -> None:
    desktop.order(a_prompt())
    button = armed(person)
    take_keyboard(person, button)
    person.key(TAB)  # from Don't allow, which has the focus, to Allow
    time.sleep(0.7)
    person.key(SPACE)
    assert desktop.expect(PromptAnswered).allowed == ["screen.view", "input.control"]


def test_made_up_events_do_not_press_allow(desktop: DesktopProcess, person: XPerson, display: str) -> None:
    desktop.order(a_prompt())
    allow = armed(person)
    for words in (
        ["click", "--window", str(allow.window), "1"],
        ["key", "--window", str(allow.window), "space"],
    ):
        subprocess.run(["xdotool", *words], env={**os.environ, "DISPLAY": display}, check=True)
    assert desktop.is_silent(0.4)


def test_tk_send_from_another_program_reaches_nothing(desktop: DesktopProcess, display: str) -> None:
    script = (
        "import tkinter; r = tkinter.Tk(); r.withdraw();"
        "print([n for n in r.winfo_interps() if 'along' in n.lower()])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "DISPLAY": display},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"


def test_injected_input_cannot_press_the_prompt(desktop: DesktopProcess, person: XPerson) -> None:
    desktop.order(an_indicator())
    desktop.expect(IndicatorShown)
    desktop.order(AllowInput(session_id="s1"))
    assert desktop.expect(InputAllowed).code == ""
    desktop.order(a_prompt())
    x, y = armed(person).middle
    before = person.connection.core.QueryPointer(person.root).reply()
    press = [PointerMove(x=x, y=y), *(PointerButton(button=1, is_pressed=down) for down in (True, False))]
    for _ in range(5):
        desktop.order(Inject(session_id="s1", display_index=0, events=press))
    assert desktop.is_silent(0.4)
    after = person.connection.core.QueryPointer(person.root).reply()
    assert (before.root_x, before.root_y) == (after.root_x, after.root_y)
    person.click(*seen(person, "refuse").middle)
    assert desktop.expect(PromptAnswered).allowed == []
    time.sleep(PROMPT_GUARD_S)
    desktop.order(Inject(session_id="s1", display_index=0, events=[PointerMove(x=5, y=6)]))
    wait_for(lambda: person.connection.core.QueryPointer(person.root).reply().root_x == 5)
