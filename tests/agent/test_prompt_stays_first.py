"""A question that waits for its answer stays before every other window of ours, whatever the person opens."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.desktop.ipc_messages import CancelPrompt, ShowCard
from agent.desktop.tray_icon import WINDOW_NAME as ICON
from tests.agent.test_desktop_tray import LIMIT_S
from tests.support.desktop_person import seen
from tests.support.desktop_service import a_prompt, wait_for
from tests.support.tray_program import tray_program
from tests.support.tray_service import TrayService, desktop_with_tray
from tests.support.window_answers import VISIT
from tests.support.x_display import x_display
from tests.support.x_person import XPerson

pytestmark = pytest.mark.real


# without one, nobody but us keeps a window above another
@pytest.fixture(params=[True, False], ids=["openbox", "no window manager"])
def display(request: pytest.FixtureRequest) -> Iterator[str]:
    with x_display(has_window_manager=request.param) as name:
        yield name


@pytest.fixture
def service(display: str, tmp_path: Path) -> Iterator[TrayService]:
    with tray_program(display) as tray:
        tray.start()
        with desktop_with_tray(tmp_path, display) as served:
            yield served


def height_of(person: XPerson, window: int) -> int:
    """How far up the window that holds this one is in the stack of the desktop."""
    core, at = person.connection.core, window
    while (parent := core.QueryTree(at).reply().parent) != person.root:
        at = parent
    return list(core.QueryTree(person.root).reply().children).index(at)


def is_first(person: XPerson, other: str) -> bool:
    """Whether the prompt and that window are to be seen, the prompt above it."""
    prompt, shown = person.find("refuse"), person.find(other)
    return (
        prompt is not None
        and shown is not None
        and height_of(person, prompt.window) > height_of(person, shown.window)
    )


def test_what_the_person_opens_from_the_icon_comes_up_behind_an_open_prompt(
    service: TrayService, person: XPerson
) -> None:
    wait_for(lambda: "StatusAsked" in service.asked, LIMIT_S)
    wait_for(lambda: person.find_class(ICON) is not None, LIMIT_S)
    service.order(a_prompt())
    seen(person, "refuse")

    def opened() -> bool:  # the tray may still be moving its icons
        icon = person.find_class(ICON)
        if person.find("panel:help") is None and icon is not None:
            person.click(*icon.middle)
        return person.find("panel:help") is not None

    wait_for(opened, LIMIT_S)
    wait_for(lambda: is_first(person, "panel:help"), LIMIT_S)
    icon = person.find_class(ICON)
    assert icon is not None
    for _ in range(3):  # it is open already, and is raised again
        person.click(*icon.middle)
    person.click(*seen(person, "panel:help").middle)
    seen(person, "help:close")
    wait_for(lambda: is_first(person, "help:close"), LIMIT_S)
    assert is_first(person, "panel:help")
    service.order(ShowCard(VISIT, may_rate=True))
    seen(person, "card:close")
    wait_for(lambda: is_first(person, "card:close"), LIMIT_S)
    service.order(CancelPrompt(prompt_no=1))
    wait_for(lambda: person.find("refuse") is None, LIMIT_S)
    person.click(*icon.middle)  # nothing keeps it behind any more
    wait_for(lambda: person.find("panel:help") is not None, LIMIT_S)
