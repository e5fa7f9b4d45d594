"""The person's panel and the code's window: the real desktop process on Xvfb, real clicks and keys."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agent.desktop.drawing import contrast
from agent.desktop.ipc_messages import (
    HelpNews,
    HelpOutcome,
    HideIndicator,
    RatingGiven,
    SessionStatus,
    ShowCard,
    StopPressed,
)
from agent.desktop.language import ENGLISH
from agent.desktop.palette import LIGHT
from agent.desktop.tray_state import (
    TrayState,
    tray_ppm,
    tray_state,
)
from agent.desktop.tray_text import grouped, works_for
from tests.support.desktop_person import ESCAPE, RETURN, SPACE, TAB
from tests.support.desktop_service import an_indicator, wait_for
from tests.support.tray_service import TrayService, desktop_with_tray
from tests.support.window_answers import CODE, VISIT
from tests.support.x_person import XPerson

LIMIT_S = 20.0


@pytest.mark.parametrize(
    ("link", "sessions", "state"),
    [
        ("connected", 0, TrayState.READY),
        ("connecting", 0, TrayState.OFFLINE),
        ("refused", 0, TrayState.OFFLINE),
        ("", 0, TrayState.OFFLINE),
        ("connecting", 1, TrayState.IN_SESSION),
    ],
)
def test_somebody_who_is_here_counts_more_than_the_link(link: str, sessions: int, state: TrayState) -> None:
    assert tray_state(link, sessions) is state


def test_a_pause_is_said_unless_somebody_is_still_here() -> None:
    assert tray_state("connected", 0, 10.0) is tray_state("", 0, 10.0) is TrayState.PAUSED
    assert tray_state("connected", 1, 10.0) is TrayState.IN_SESSION


@pytest.mark.parametrize("side", [16, 32, 64, 96])
def test_the_pictures_differ_in_shape_and_not_only_in_colour(side: int) -> None:
    shapes = set()
    for state in TrayState:
        pixels = tray_ppm(state, side)[-side * side * 3 :]
        shapes.add(tuple(pixels[at : at + 3] == b"\xff\xff\xff" for at in range(0, len(pixels), 3)))
    assert len(shapes) == len(TrayState)


@pytest.mark.parametrize("ink", [LIGHT.muted, LIGHT.accent, LIGHT.danger])
def test_what_tells_the_state_stands_out(ink: str) -> None:
    assert contrast(ink, LIGHT.background) >= 4.5


def test_a_fingerprint_is_read_in_groups_and_none_is_said() -> None:
    assert grouped("0123456789ab") == "0123 4567 89ab"
    assert grouped("") == ""


def test_the_countdown_of_a_code_never_runs_below_nothing() -> None:
    assert "9:59" in works_for(598.7, ENGLISH)
    assert "0:00" in works_for(-3, ENGLISH)


@pytest.fixture
def service(display: str, tmp_path: Path) -> Iterator[TrayService]:
    with desktop_with_tray(tmp_path, display) as served:
        yield served


def window_of(display: str, name: str) -> str:
    """The window's number, mapped or not; "" when there is none."""
    words = ["xdotool", "search", "--class", f"^{name}$"]
    told = subprocess.run(words, env={"DISPLAY": display}, capture_output=True, text=True).stdout.split()
    return told[-1] if told else ""


def clipboard(display: str) -> str:
    """What would be pasted."""
    program = "import tkinter; root = tkinter.Tk(); root.withdraw(); print(root.clipboard_get())"
    words = [sys.executable, "-c", program]
    return subprocess.run(words, env={"DISPLAY": display}, capture_output=True, text=True).stdout


def title_of(display: str) -> str:
    """What the window list says of the panel."""
    words = ["xdotool", "getwindowname", window_of(display, "alongside-panel")]
    return subprocess.run(words, env={"DISPLAY": display}, capture_output=True, text=True).stdout


def restore(display: str, person: XPerson) -> None:
    """Take the panel out of the window list, as a task bar does."""
    wait_for(lambda: window_of(display, "alongside-panel") != "", LIMIT_S)
    # the window manager shows it for a moment before it has read that it is to be minimised
    wait_for(lambda: person.find_class("alongside-panel") is None, LIMIT_S)
    number = window_of(display, "alongside-panel")

    def is_up() -> bool:  # the window manager may hear of the window only now
        subprocess.run(["xdotool", "windowactivate", number], env={"DISPLAY": display}, capture_output=True)
        return person.find("panel:help") is not None

    wait_for(is_up, LIMIT_S)


def press(person: XPerson, part: str, is_done: Callable[[], bool]) -> None:
    """Press it until that shows: a window that has just come up may still be moved by the window manager."""

    def pressed() -> bool:
        found = person.find(part)
        if found is not None and not is_done():
            person.click(*found.middle)
            with suppress(AssertionError):
                wait_for(is_done, 1.0)
        return is_done()

    wait_for(pressed, LIMIT_S)


@pytest.mark.real
def test_without_a_tray_the_panel_waits_minimised_and_help_is_got_from_it(
    service: TrayService, display: str, person: XPerson
) -> None:
    restore(display, person)
    press(person, "panel:help", lambda: person.find("help:code") is not None)
    wait_for(lambda: "HelpAsked" in service.asked, LIMIT_S)
    assert not service.voided.is_set()
    press(person, "help:close", service.voided.is_set)
    assert service.voided.wait(LIMIT_S), "the code of a closed window was still good"
    wait_for(lambda: person.find("help:code") is None, LIMIT_S)


@pytest.mark.real
def test_after_a_wrong_guess_another_code_is_shown_when_the_person_asks_for_it(
    service: TrayService, display: str, person: XPerson
) -> None:
    restore(display, person)
    press(person, "panel:help", lambda: service.helping is not None)
    service.tell(HelpNews(HelpOutcome.WRONG))
    assert service.voided.wait(LIMIT_S)
    assert service.asked.count("HelpAsked") == 1
    press(person, "help:again", lambda: service.asked.count("HelpAsked") == 2)


@pytest.mark.real
def test_help_is_got_by_keyboard_alone(service: TrayService, display: str, person: XPerson) -> None:
    restore(display, person)

    def asked() -> bool:
        person.key(RETURN)  # the panel has the keyboard, and Get help its focus
        with suppress(AssertionError):
            wait_for(lambda: service.helping is not None, 2.0)
        return service.helping is not None

    wait_for(asked, LIMIT_S)
    wait_for(lambda: person.find("help:close") is not None, LIMIT_S)

    def left() -> bool:
        person.key(ESCAPE)
        return service.voided.wait(1.0)

    wait_for(left, LIMIT_S)


@pytest.mark.real
def test_what_was_allowed_beforehand_is_taken_back(
    service: TrayService, display: str, person: XPerson
) -> None:
    restore(display, person)
    press(person, "panel:allowed", lambda: person.find("panel:take_back:0") is not None)
    press(person, "panel:take_back:0", lambda: "StandingRevoked" in service.asked)
    wait_for(lambda: person.find("panel:take_back:0") is None, LIMIT_S)
    assert service.standing == []


@pytest.mark.real
def test_con_12_a_block_is_lifted_in_the_window_and_not_while_somebody_is_here(
    service: TrayService, display: str, person: XPerson
) -> None:
    service.is_somebody_here = True
    restore(display, person)
    press(person, "panel:blocked", lambda: person.find("panel:lift:0") is not None)
    press(person, "panel:lift:0", lambda: "BlockLifted" in service.asked)
    wait_for(lambda: person.find("panel:lift:0") is None, LIMIT_S)  # the page says why not
    assert service.blocks
    service.is_somebody_here = False
    press(person, "panel:blocked", lambda: person.find("panel:lift:0") is not None)
    press(person, "panel:lift:0", lambda: service.blocks == [])
    wait_for(lambda: person.find("panel:lift:0") is None, LIMIT_S)


@pytest.mark.real
def test_every_page_is_reached_by_keyboard_alone_and_a_list_can_be_copied(
    service: TrayService, display: str, person: XPerson
) -> None:
    restore(display, person)
    wait_for(lambda: person.find("panel:check") is not None, LIMIT_S)
    tabs = {"VisitsAsked": 3, "CheckAsked": 2}  # from Get help on, in reading order
    at = 0
    for question, place in sorted(tabs.items(), key=lambda item: item[1]):
        while at < place:
            person.key(TAB)
            at += 1

        def is_asked(name: str = question) -> bool:
            person.key(SPACE)
            with suppress(AssertionError):
                wait_for(lambda: name in service.asked, 2.0)
            return name in service.asked

        wait_for(is_asked, LIMIT_S)
    press(person, "panel:check", lambda: person.find("panel:copy") is not None)
    press(person, "panel:copy", lambda: "1.2 of 119.2 GiB" in clipboard(display))


@pytest.mark.real
def test_the_person_pauses_and_ends_the_pause_in_the_panel(
    service: TrayService, display: str, person: XPerson
) -> None:
    restore(display, person)
    press(person, "panel:pause", lambda: service.paused_s > 0)
    wait_for(lambda: "Paused" in title_of(display), LIMIT_S)
    press(person, "panel:pause", lambda: service.paused_s == 0)
    wait_for(lambda: "Paused" not in title_of(display), LIMIT_S)


@pytest.mark.real
def test_the_card_is_answered_by_the_person_and_goes_when_somebody_connects(
    service: TrayService, display: str, person: XPerson
) -> None:
    wait_for(lambda: "StatusAsked" in service.asked, LIMIT_S)
    service.order(ShowCard(VISIT, may_rate=True))
    wait_for(lambda: person.find("card:send") is not None, LIMIT_S)

    def sent() -> bool:  # Send does nothing before a thumb was pressed
        for part in ("card:bad", "card:send"):
            found = person.find(part)
            if found is not None:
                person.click(*found.middle)
        with suppress(AssertionError):
            wait_for(lambda: service.rating is not None, 1.0)
        return service.rating is not None

    wait_for(sent, LIMIT_S)
    assert service.rating == RatingGiven(VISIT.session_id, False, "")
    wait_for(lambda: person.find("card:good") is None, LIMIT_S)
    service.order(an_indicator())
    wait_for(lambda: window_of(display, "alongside-card") == "", LIMIT_S)
    service.order(HideIndicator(an_indicator().session_id))


@pytest.mark.real
def test_con_12_digits_that_do_not_match_stop_that_session_from_the_person_s_window(
    service: TrayService, display: str, person: XPerson
) -> None:
    restore(display, person)
    press(person, "panel:verify", lambda: service.asked.count("StatusAsked") > 1)
    assert person.find("panel:mismatched:0") is None, "nobody is here"
    shown = an_indicator()
    service.sessions = [SessionStatus(shown.session_id, "dana", ["screen.view"], 60.0, "0417")]
    service.order(shown)
    press(person, "panel:verify", lambda: person.find("panel:mismatched:0") is not None)
    press(person, "panel:matched:0", lambda: person.find("panel:matched:0") is None)
    assert not [one for one in service.said if isinstance(one, StopPressed)], "a match ends nothing"
    press(person, "panel:verify", lambda: person.find("panel:mismatched:0") is not None)
    stopped = StopPressed(shown.session_id, is_mismatch=True)
    press(person, "panel:mismatched:0", lambda: stopped in service.said)
    service.order(HideIndicator(shown.session_id))


def test_the_code_of_the_tests_has_the_form_of_a_real_one() -> None:
    assert all(len(group) == 3 and group.isdecimal() for group in CODE.split())
