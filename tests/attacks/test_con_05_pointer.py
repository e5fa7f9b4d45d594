"""The person's own pointer comes before a technician who moves it all the time (THREATS.md CON-05)."""

from functools import partial

import pytest

from agent.desktop.ipc_messages import (
    AllowInput,
    IndicatorShown,
    Inject,
    InputAllowed,
    InputHeldBack,
    StopPressed,
)
from protocol.messages.input import Event, Key, PointerButton, PointerMove
from tests.bench.stop import EVENTS_EVERY_S, Busy
from tests.support.desktop_person import holds_shift, seen
from tests.support.desktop_service import DesktopProcess, an_indicator, wait_for
from tests.support.own_mouse import OwnMouse
from tests.support.x_person import XPerson

pytestmark = pytest.mark.real

CORNERS = ((700, 500), (720, 520))
SHIFT = Key(keysym=0xFFE1, is_pressed=True)


class Technician:
    """Who may control, and does all the time."""

    def __init__(self, desktop: DesktopProcess) -> None:
        self._desktop, self._corner, self.moves = desktop, 0, 0
        desktop.order(an_indicator())
        desktop.expect(IndicatorShown)
        desktop.order(AllowInput(session_id="s1"))
        assert desktop.expect(InputAllowed).code == ""

    def inject(self, *events: Event) -> None:
        self._desktop.order(Inject(session_id="s1", display_index=0, events=list(events)))

    def has_moved(self, times: int) -> bool:
        return self.moves >= times

    def move(self) -> None:
        self._corner ^= 1
        self.moves += 1
        x, y = CORNERS[self._corner]
        self.inject(PointerMove(x=x, y=y))


def pointer(person: XPerson) -> tuple[int, int]:
    at = person.connection.core.QueryPointer(person.root).reply()
    return at.root_x, at.root_y


def aim(technician: Technician, mouse: OwnMouse, person: XPerson, at: tuple[int, int]) -> None:
    """As a hand does: there, and a moment of rest before the finger comes down; again after a long one."""
    for _ in range(20):
        mouse.go(*at)
        enough = technician.moves + 10
        wait_for(partial(technician.has_moved, enough))
        if pointer(person) == at:
            return
    raise AssertionError("the pointer does not stay where the person puts it")


def test_con_05_a_click_on_stop_arrives_while_the_pointer_is_moved_from_afar(
    desktop: DesktopProcess, person: XPerson
) -> None:
    technician, mouse = Technician(desktop), OwnMouse(person)
    stop = seen(person, "stop")
    with Busy(technician.move, EVENTS_EVERY_S):
        # the control: they act while the person does nothing
        for _ in range(3):
            wait_for(lambda: pointer(person) == CORNERS[0])
            wait_for(lambda: pointer(person) == CORNERS[1])
        aim(technician, mouse, person, stop.middle)
        mouse.click()
        assert desktop.expect(InputHeldBack).session_id == "s1"
        while not isinstance(desktop.expect(InputHeldBack | StopPressed), StopPressed):
            pass


def test_con_05_a_trembling_mouse_stops_no_technician(desktop: DesktopProcess, person: XPerson) -> None:
    technician, mouse = Technician(desktop), OwnMouse(person)
    for step in range(40):
        mouse.move((-1) ** step * 2, 0)
        technician.move()
        wait_for(lambda: pointer(person) in CORNERS)


def test_con_05_what_a_technician_holds_goes_up_when_the_person_moves(
    desktop: DesktopProcess, person: XPerson
) -> None:
    technician, mouse = Technician(desktop), OwnMouse(person)
    technician.inject(SHIFT, PointerMove(x=700, y=500), PointerButton(button=1, is_pressed=True))
    wait_for(lambda: holds_shift(person) and holds_button(person))
    for _ in range(10):
        mouse.move(3, 0)
    wait_for(lambda: not holds_shift(person) and not holds_button(person))


def holds_button(person: XPerson) -> bool:
    return bool(person.connection.core.QueryPointer(person.root).reply().mask & 0x100)
