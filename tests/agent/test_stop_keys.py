"""The Stop keys: who cannot have them does not promise them, and the bar says so while a session lives."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from agent.desktop.hot_key import HotKey
from agent.desktop.ipc_messages import HideIndicator, IndicatorShown, PromptAnswered, StopPressed
from agent.desktop.prompt_text import keys_taken_text, prompt_text
from tests.support.desktop_person import seen
from tests.support.desktop_service import DesktopProcess, a_prompt, an_indicator, wait_for
from tests.support.x_person import XPerson

pytestmark = pytest.mark.real


@pytest.fixture
def other_program(display: str) -> Iterator[HotKey]:
    keys = HotKey(display, lambda: None)
    yield keys
    keys.close()


def said(desktop: DesktopProcess, person: XPerson, number: int) -> str:
    """The hash of what the question said."""
    desktop.order(a_prompt(number=number))
    person.click(*seen(person, "refuse").middle)
    answer = desktop.expect(PromptAnswered)
    wait_for(lambda: person.find("refuse") is None)
    return answer.text_sha256


def test_a_question_names_the_stop_keys_only_while_they_can_be_had(
    desktop: DesktopProcess, person: XPerson, other_program: HotKey
) -> None:
    promised, silent = (prompt_text(a_prompt(), has_hot_key=has).sha256() for has in (True, False))
    assert said(desktop, person, 1) == promised != silent  # control
    assert other_program.grab()
    assert said(desktop, person, 2) == silent
    other_program.release()
    assert said(desktop, person, 3) == promised


def bar_s_name(person: XPerson) -> str:
    """What the window manager, and whoever reads windows aloud, gets of the bar."""
    bar = person.find_class("alongside-indicator")
    return person.name_of(bar.window) if bar else ""


def press_stop_keys(display: str) -> None:
    subprocess.run(["xdotool", "key", "ctrl+alt+shift+x"], env={**os.environ, "DISPLAY": display}, check=True)


def test_con_05_the_bar_says_that_another_program_has_the_stop_keys(
    desktop: DesktopProcess, person: XPerson, other_program: HotKey, display: str
) -> None:
    assert other_program.grab()
    desktop.order(an_indicator())
    desktop.expect(IndicatorShown)
    wait_for(lambda: person.find("stop_keys") is not None)
    assert bar_s_name(person).endswith(keys_taken_text())
    press_stop_keys(display)
    assert desktop.is_silent(0.5)  # control: they do nothing
    person.click(*seen(person, "stop").middle)
    assert desktop.expect(StopPressed).session_id == "s1"


def test_con_05_keys_that_are_let_go_are_taken_while_the_session_lives(
    desktop: DesktopProcess, person: XPerson, other_program: HotKey, display: str
) -> None:
    assert other_program.grab()
    desktop.order(an_indicator())
    desktop.expect(IndicatorShown)
    wait_for(lambda: person.find("stop_keys") is not None)
    other_program.release()
    wait_for(lambda: person.find("stop_keys") is None)
    assert keys_taken_text() not in bar_s_name(person) != ""
    press_stop_keys(display)
    assert desktop.expect(StopPressed).session_id == "s1"


def test_con_05_a_bar_that_comes_later_says_so_too(
    desktop: DesktopProcess, person: XPerson, other_program: HotKey
) -> None:
    desktop.order(an_indicator())
    desktop.expect(IndicatorShown)
    assert person.find("stop_keys") is None  # control: nobody else has them
    desktop.order(HideIndicator(session_id="s1"))
    wait_for(other_program.grab)
    for session_id in ("s2", "s3"):
        desktop.order(an_indicator(session_id))
        desktop.expect(IndicatorShown)
    wait_for(lambda: person.count("stop_keys") == 2)
