"""The icon in a real tray: it comes, is clicked, goes with its tray, and comes back with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.desktop.ipc_messages import HideIndicator
from agent.desktop.tray_icon import WINDOW_NAME, _pixels
from agent.desktop.tray_state import TrayState, tray_ppm
from tests.agent.test_desktop_tray import LIMIT_S, press, restore, window_of
from tests.support.desktop_service import an_indicator, wait_for
from tests.support.tray_program import TrayProgram, tray_program
from tests.support.tray_service import TrayService, desktop_with_tray
from tests.support.x_person import XPerson

LEAST_SIDE_PX = 22  # smaller ones cannot be told apart, nor hit


@pytest.fixture
def tray(display: str) -> Iterator[TrayProgram]:
    with tray_program(display) as program:
        program.start()
        yield program


@pytest.fixture
def service(display: str, tray: TrayProgram, tmp_path: Path) -> Iterator[TrayService]:
    with desktop_with_tray(tmp_path, display) as served:
        yield served


def picture_of(person: XPerson) -> bytes:
    """The icon's pixels as the person sees them; empty while it is not to be seen."""
    icon = person.find_class(WINDOW_NAME)
    if icon is None:
        return b""
    core, everything = person.connection.core, 0xFFFFFFFF
    shot = core.GetImage(2, person.root, icon.x, icon.y, icon.width, icon.height, everything).reply()
    return bytes(shot.data.raw if hasattr(shot.data, "raw") else shot.data)


def click_icon(person: XPerson, button: int = 1) -> None:
    icon = person.find_class(WINDOW_NAME)
    assert icon is not None
    person.click(*icon.middle, button=button)


@pytest.mark.real
def test_a_click_opens_the_window_and_closing_it_leaves_the_icon_alone(
    service: TrayService, display: str, person: XPerson
) -> None:
    wait_for(lambda: person.find_class(WINDOW_NAME) is not None, LIMIT_S)
    assert person.find("panel:help") is None, "it came up by itself"

    def opened() -> bool:  # the tray may still be moving its icons
        if person.find("panel:help") is None and person.find_class(WINDOW_NAME) is not None:
            click_icon(person)
        return person.find("panel:help") is not None

    wait_for(opened, LIMIT_S)
    press(person, "panel:about", lambda: service.asked.count("StatusAsked") > 1)
    assert person.find_class(WINDOW_NAME) is not None


@pytest.mark.real
def test_a_killed_tray_leaves_the_window_list_and_one_that_returns_gets_the_icon(
    service: TrayService, tray: TrayProgram, display: str, person: XPerson
) -> None:
    wait_for(lambda: person.find_class(WINDOW_NAME) is not None, LIMIT_S)
    tray.kill()
    wait_for(lambda: person.find_class(WINDOW_NAME) is None, LIMIT_S)
    wait_for(lambda: window_of(display, WINDOW_NAME) == "", LIMIT_S)  # nor left on the bare desktop
    restore(display, person)  # in the window list, as where there never was a tray
    tray.start()
    wait_for(lambda: person.find_class(WINDOW_NAME) is not None, LIMIT_S)
    for _ in range(2):  # and again
        tray.kill()
        wait_for(lambda: person.find_class(WINDOW_NAME) is None, LIMIT_S)
        tray.start()
        wait_for(lambda: person.find_class(WINDOW_NAME) is not None, LIMIT_S)


@pytest.mark.real
def test_what_the_icon_shows_follows_the_state(service: TrayService, person: XPerson) -> None:
    wait_for(lambda: shows(person, TrayState.READY), LIMIT_S)
    service.order(an_indicator())
    wait_for(lambda: shows(person, TrayState.IN_SESSION), LIMIT_S)
    service.order(HideIndicator(an_indicator().session_id))
    wait_for(lambda: shows(person, TrayState.READY), LIMIT_S)


def shows(person: XPerson, state: TrayState) -> bool:
    """Whether the icon's pixels are those of this state, at the size that the tray gave it."""
    icon, seen = person.find_class(WINDOW_NAME), picture_of(person)
    if icon is None or not seen or min(icon.width, icon.height) < LEAST_SIDE_PX:
        return False
    side = min(icon.width, icon.height)
    wanted = _pixels(tray_ppm(state, side), side)
    left, top = (icon.width - side) // 2, (icon.height - side) // 2
    rows = range(top, top + side)
    found = b"".join(seen[(y * icon.width + left) * 4 : (y * icon.width + left + side) * 4] for y in rows)
    return without_alpha(found) == without_alpha(wanted)


def without_alpha(pixels: bytes) -> bytes:
    return bytes(byte for at, byte in enumerate(pixels) if at % 4 != 3)


def test_the_pixels_are_blue_green_red_and_opaque() -> None:
    ppm = b"P6 2 2 255\n" + bytes(range(1, 13))
    assert _pixels(ppm, 2) == bytes((3, 2, 1, 255, 6, 5, 4, 255, 9, 8, 7, 255, 12, 11, 10, 255))
