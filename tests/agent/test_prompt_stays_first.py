"""A question that waits for its answer stays before every other window of ours, whatever the person opens."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.desktop.ipc_messages import CancelPrompt, IndicatorShown, ShowCard
from agent.desktop.tray_icon import WINDOW_NAME as ICON
from tests.agent.test_desktop_tray import LIMIT_S
from tests.support.desktop_person import seen
from tests.support.desktop_service import DesktopProcess, a_prompt, an_indicator, wait_for
from tests.support.tray_program import tray_program
from tests.support.tray_service import TrayService, desktop_with_tray
from tests.support.window_answers import VISIT
from tests.support.x_display import set_resolution, x_display
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


@pytest.mark.parametrize(
    ("per_inch", "sessions", "is_room"), [(96, 2, True), (288, 2, True), (288, 4, False)]
)
def test_no_bar_covers_what_a_prompt_says_where_there_is_room_for_both(
    per_inch: int, sessions: int, is_room: bool, tmp_path: Path
) -> None:
    """Somebody is here, and another technician asks whom nobody knows: that stands at the prompt's top."""
    visitor = replace(a_prompt(reason="why " * 40), organisation_name="", technician_name="", readback="0417")
    with x_display("1366x768") as name:
        set_resolution(name, per_inch)
        desktop, person = DesktopProcess(tmp_path, name), XPerson(name)
        try:
            for number in range(sessions):
                desktop.order(an_indicator(f"s{number}"))
                desktop.expect(IndicatorShown)
            desktop.order(visitor)
            refuse = seen(person, "refuse")
            prompt, bar = person.find_class("alongside-prompt"), person.find_class("alongside-indicator")
            assert prompt is not None
            assert bar is not None
            assert (prompt.y >= sessions * bar.height) is is_room
            for part in (refuse, *(seen(person, one) for one in ("allow", "word", "more_time", "block"))):
                assert part.y + part.height <= prompt.y + prompt.height <= 768
        finally:
            person.close()
            assert desktop.close() == 0
