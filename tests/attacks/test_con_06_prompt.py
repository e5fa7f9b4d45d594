"""The prompt against whoever wants it answered: hasty hands, other programs, the technician."""

import os
import subprocess
import sys
import time

import msgspec
import pytest

from agent.desktop.ipc_messages import (
    AllowInput,
    CancelPrompt,
    IndicatorShown,
    Inject,
    InputActs,
    InputAllowed,
    InputHeldBack,
    PromptAnswered,
)
from agent.desktop.prompt_text import prompt_text
from protocol.errors import ErrorCode
from protocol.limits import PROMPT_GUARD_S
from protocol.messages.input import Key, PointerButton, PointerMove
from tests.support.desktop_person import ESCAPE, RETURN, SPACE, armed, seen, take_keyboard
from tests.support.desktop_service import DesktopProcess, a_prompt, an_indicator, wait_for
from tests.support.x_person import XPerson

pytestmark = pytest.mark.real


def test_con_09_allow_pressed_too_early_does_nothing_and_armed_it_allows(
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
    assert answer.allowed == ["screen.view"]
    assert answer.code == ""
    assert len(answer.text_sha256) == 64
    assert answer.took_s >= 1.5


def test_con_06_escape_refuses(desktop: DesktopProcess, person: XPerson) -> None:
    desktop.order(a_prompt())
    hint = seen(person, "refuse")
    take_keyboard(person, hint)
    person.key(ESCAPE)
    answer = desktop.expect(PromptAnswered)
    assert (answer.allowed, answer.code) == ([], ErrorCode.E_CONSENT_DENIED)


def test_con_06_closing_the_window_refuses(desktop: DesktopProcess, person: XPerson, display: str) -> None:
    desktop.order(a_prompt())
    button = seen(person, "refuse")
    take_keyboard(person, button)
    subprocess.run(["xdotool", "key", "alt+F4"], env={**os.environ, "DISPLAY": display}, check=True)
    assert desktop.expect(PromptAnswered).code == ErrorCode.E_CONSENT_DENIED


def test_con_06_no_answer_refuses_with_its_own_code(desktop: DesktopProcess) -> None:
    desktop.order(a_prompt(timeout_s=1.0))
    assert desktop.expect(PromptAnswered).code == ErrorCode.E_CONSENT_TIMEOUT


def test_con_10_a_second_question_at_the_same_time_is_refused(
    desktop: DesktopProcess, person: XPerson
) -> None:
    desktop.order(a_prompt(number=1))
    desktop.order(a_prompt(number=2))
    second = desktop.expect(PromptAnswered)
    assert (second.prompt_no, second.code) == (2, ErrorCode.E_BUSY)


def test_con_09_the_prompt_does_not_take_the_keyboard_from_who_types(
    desktop: DesktopProcess, person: XPerson
) -> None:
    focus = person.connection.core.GetInputFocus().reply().focus
    desktop.order(a_prompt())
    seen(person, "allow")
    for keycode in (RETURN, SPACE, RETURN, SPACE):
        person.key(keycode)
    assert desktop.is_silent(0.3)
    assert person.connection.core.GetInputFocus().reply().focus == focus


def test_con_09_a_person_who_types_on_neither_allows_nor_refuses(
    desktop: DesktopProcess, person: XPerson
) -> None:
    desktop.order(a_prompt())
    button = seen(person, "refuse")
    take_keyboard(person, button)
    for _ in range(8):
        person.key(SPACE)
        person.key(RETURN)
        time.sleep(0.1)
    assert desktop.is_silent(0.2)


def test_con_08_made_up_events_do_not_press_allow(
    desktop: DesktopProcess, person: XPerson, display: str
) -> None:
    desktop.order(a_prompt())
    allow = armed(person)
    for words in (
        ["click", "--window", str(allow.window), "1"],
        ["key", "--window", str(allow.window), "space"],
    ):
        subprocess.run(["xdotool", *words], env={**os.environ, "DISPLAY": display}, check=True)
    assert desktop.is_silent(0.4)


def test_con_08_tk_send_from_another_program_reaches_nothing(desktop: DesktopProcess, display: str) -> None:
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


OF_INPUT = (InputActs, InputHeldBack)
HOLD_SPACE = Key(keysym=0x20, is_pressed=True)


def allow_input(desktop: DesktopProcess) -> None:
    desktop.order(an_indicator())
    desktop.expect(IndicatorShown)
    desktop.order(AllowInput(session_id="s1"))
    assert desktop.expect(InputAllowed).code == ""


def test_nobody_is_told_that_they_control_before_the_guard_of_a_prompt_is_over(
    desktop: DesktopProcess, person: XPerson
) -> None:
    desktop.order(a_prompt(("input.control",)))
    person.click(*armed(person).middle)
    assert desktop.expect(PromptAnswered).allowed
    answered_s = time.monotonic()
    desktop.order(an_indicator())
    desktop.expect(IndicatorShown)
    desktop.order(AllowInput(session_id="s1"))
    allowed = desktop.expect(InputAllowed)
    assert (allowed.code, allowed.is_active) == ("", False)
    assert desktop.expect(InputActs) == InputActs(session_id="s1", is_active=True)
    assert time.monotonic() - answered_s > PROMPT_GUARD_S - 0.1
    desktop.order(Inject(session_id="s1", display_index=0, events=[PointerMove(x=7, y=8)]))
    wait_for(lambda: person.connection.core.QueryPointer(person.root).reply().root_x == 7)
    desktop.order(a_prompt(number=2))
    assert desktop.expect(InputActs) == InputActs(session_id="s1", is_active=False)
    desktop.order(Inject(session_id="s1", display_index=0, events=[PointerMove(x=9, y=9)]))
    assert desktop.expect(InputHeldBack) == InputHeldBack(session_id="s1", events=1)


def test_con_08_a_flood_of_injected_events_around_a_prompt_presses_nothing(
    desktop: DesktopProcess, person: XPerson
) -> None:
    """From before the prompt is there until after it, at the place of Allow, with Space and Return held."""
    desktop.order(a_prompt(number=1))
    x, y = seen(person, "allow").middle  # where it will be the next time
    desktop.order(CancelPrompt(prompt_no=1))
    allow_input(desktop)
    time.sleep(PROMPT_GUARD_S)
    press = [PointerMove(x=x, y=y), *(PointerButton(button=1, is_pressed=down) for down in (True, False))]
    keys = [HOLD_SPACE, Key(keysym=0xFF0D, is_pressed=True)]
    flood = Inject(session_id="s1", display_index=0, events=[*press, *keys])
    for number in range(60):
        if number == 20:
            desktop.order(a_prompt(number=2))
        desktop.order(flood)
        time.sleep(0.05)
    assert desktop.is_silent(0.3, besides=OF_INPUT)
    assert person.find("allow") is not None
    person.click(*seen(person, "allow").middle)  # the control: the person's own click counts
    assert desktop.expect(PromptAnswered).allowed == ["screen.view"]


def test_con_08_a_prompt_is_not_armed_while_an_injected_event_may_still_come(
    desktop: DesktopProcess, person: XPerson
) -> None:
    """The display server is busy with another program for longer than the prompt takes to arm."""
    allow_input(desktop)
    core = person.connection.core
    core.GrabServer()
    core.GetInputFocus().reply()
    desktop.order(Inject(session_id="s1", display_index=0, events=[HOLD_SPACE]))
    desktop.order(a_prompt())
    time.sleep(2.0)
    core.UngrabServer()
    allow = seen(person, "allow")
    person.click(*allow.middle)
    assert desktop.is_silent(0.3, besides=OF_INPUT)
    time.sleep(1.6)
    person.click(*allow.middle)
    assert desktop.expect(PromptAnswered).allowed


def test_con_10_the_person_blocks_a_technician_in_the_prompt(
    desktop: DesktopProcess, person: XPerson
) -> None:
    desktop.order(a_prompt())
    time.sleep(0.3)
    person.click(*seen(person, "block").middle)
    answer = desktop.expect(PromptAnswered)
    assert (answer.allowed, answer.code, answer.standing) == ([], ErrorCode.E_CONSENT_BLOCKED, "")


@pytest.mark.parametrize("whom", ["technician", "group"])
def test_con_20_what_is_allowed_beforehand_is_ticked_and_part_of_the_hashed_text(
    desktop: DesktopProcess, person: XPerson, whom: str
) -> None:
    desktop.order(msgspec.structs.replace(a_prompt(), may_stand=True))
    allow = armed(person)
    person.click(*seen(person, f"standing:{whom}").middle)
    person.click(*allow.middle)
    answer = desktop.expect(PromptAnswered)
    assert (answer.standing, answer.locale) == (whom, "en")
    shown = prompt_text(msgspec.structs.replace(a_prompt(), may_stand=True), has_hot_key=True)
    assert answer.text_sha256 == shown.sha256()
    assert any("without asking" in line for line in shown.lines())


def test_con_12_nothing_is_offered_beforehand_for_whom_nobody_vouches() -> None:
    order = msgspec.structs.replace(a_prompt(), may_stand=True, organisation_name="")
    assert prompt_text(order, has_hot_key=True).standing == ()


def test_con_08_injected_input_cannot_press_the_prompt(desktop: DesktopProcess, person: XPerson) -> None:
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
    assert desktop.is_silent(0.4, besides=OF_INPUT)
    after = person.connection.core.QueryPointer(person.root).reply()
    assert (before.root_x, before.root_y) == (after.root_x, after.root_y)
    person.click(*seen(person, "refuse").middle)
    assert desktop.expect(PromptAnswered).allowed == []
    assert desktop.expect(InputActs).is_active  # and at once the first event does
    desktop.order(Inject(session_id="s1", display_index=0, events=[PointerMove(x=5, y=6)]))
    wait_for(lambda: person.connection.core.QueryPointer(person.root).reply().root_x == 5)
