"""The demo person: clicks the real button on a demo display, and refuses to act anywhere else."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.desktop.ipc_messages import PromptAnswered
from protocol.errors import ErrorCode
from tests.support.desktop_service import DesktopProcess, a_prompt
from tests.support.x_display import x_display
from tests.support.x_person import XPerson

pytestmark = pytest.mark.real

SCRIPT = Path(__file__).parents[2] / "scripts" / "demo_person.py"


def mark_as_demo(display: str) -> XPerson:
    person = XPerson(display)
    core = person.connection.core
    name = "_ALONGSIDE_DEMO_DISPLAY"
    atom = core.InternAtom(False, len(name), name).reply().atom
    core.ChangePropertyChecked(0, person.root, atom, 31, 8, 1, b"1").check()
    return person


def demo_person(display: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), "--display", display, *words], stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("has_window_manager", [False, True])
def test_the_demo_person_answers_as_told(tmp_path: Path, has_window_manager: bool) -> None:
    with x_display(has_window_manager=has_window_manager) as display:
        marker = mark_as_demo(display)
        for words, allowed, code in (
            ((), ["screen.view"], ""),
            (("--refuse",), [], ErrorCode.E_CONSENT_DENIED),
        ):
            folder = tmp_path / str(len(words))
            folder.mkdir()
            desktop = DesktopProcess(folder, display)
            with demo_person(display, *words) as someone:
                desktop.order(a_prompt())
                answer = desktop.expect(PromptAnswered)
                assert (answer.allowed, answer.code) == (allowed, code)
                assert someone.wait(10) == 0
            assert desktop.close() == 0
        marker.close()


def test_the_demo_person_refuses_a_display_that_is_not_a_demo() -> None:
    with x_display() as display, demo_person(display) as someone:
        assert someone.stderr is not None
        said = someone.stderr.read()
        assert someone.wait(10) == 3
        assert "only the person answers" in said


def test_the_demo_person_without_a_display_says_so() -> None:
    with demo_person(":9871") as someone:
        assert someone.wait(10) == 6
