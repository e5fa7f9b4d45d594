"""The Stop keys: a question promises them only while no other program holds them."""

from collections.abc import Iterator

import pytest

from agent.desktop.hot_key import HotKey
from agent.desktop.ipc_messages import PromptAnswered
from agent.desktop.prompt_text import prompt_text
from tests.support.desktop_person import seen
from tests.support.desktop_service import DesktopProcess, a_prompt, wait_for
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
