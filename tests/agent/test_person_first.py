"""While a person uses their own devices, nobody moves the pointer from afar."""

from queue import SimpleQueue

import pytest

from agent.desktop.input_gate import InputGate
from agent.desktop.ipc_messages import Inject, InputHeldBack
from agent.desktop.person_first import AIMED_PX, GUARD_S, MOVED_PX, PersonFirst
from agent.platform.input_interface import PersonDid, PersonWatch, TellPerson
from protocol.messages.input import Event, Key, PointerButton, PointerMove, PointerWheel, TypeText
from tests.support.desktop_service import wait_for
from tests.support.injector import RecordingInjector

POINTER = (
    PointerMove(x=1, y=1),
    PointerButton(button=1, is_pressed=True),
    PointerWheel(horizontal=0, vertical=1),
)
KEYS = (Key(keysym=0x61, is_pressed=True), TypeText(text="b"))


def test_a_mouse_that_trembles_takes_no_pointer() -> None:
    person = PersonFirst()
    for step in range(2000):
        person.moved((-1) ** step * 3, (-1) ** (step // 2) * 2, step / 1000)
        assert not person.has_pointer(step / 1000)


def test_a_slow_drift_below_the_threshold_takes_no_pointer() -> None:
    person = PersonFirst()
    for second in range(100):
        person.moved(MOVED_PX - 1, 0, second * GUARD_S)
        assert not person.has_pointer(second * GUARD_S)


def test_many_small_steps_one_way_take_the_pointer_until_a_second_after_the_last() -> None:
    person = PersonFirst()
    for step in range(MOVED_PX):
        assert not person.has_pointer(step * 0.01)
        person.moved(0, -1, step * 0.01)
    last_s = (MOVED_PX - 1) * 0.01
    assert person.has_pointer(last_s + GUARD_S - 0.001)
    assert not person.has_pointer(last_s + GUARD_S)
    assert not person.has_keys(last_s)


def test_who_is_moving_keeps_the_pointer_while_they_aim() -> None:
    person = PersonFirst()
    person.moved(MOVED_PX, 0, 0.0)
    for tenth in range(1, 50):
        person.moved(AIMED_PX / 2, 0, tenth / 10)
        assert person.has_pointer(tenth / 10)


def test_a_press_takes_the_pointer_and_a_key_the_keys() -> None:
    person = PersonFirst()
    person.pressed(5.0)
    assert (person.has_pointer(5.9), person.has_keys(5.9)) == (True, False)
    person.typed(8.0)
    assert (person.has_pointer(8.9), person.has_keys(8.9)) == (False, True)


class PlayedWatch:
    """A watch that a test speaks for."""

    is_closed = False

    def open(self, tell: TellPerson) -> PersonWatch:
        self.tell = tell
        return self

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(("did", "held_back"), [(PersonDid.PRESSED, POINTER), (PersonDid.TYPED, KEYS)])
def test_the_gate_holds_back_what_the_person_uses_and_nothing_else(
    did: PersonDid, held_back: tuple[Event, ...]
) -> None:
    injector, told, watch, now = RecordingInjector(), SimpleQueue[InputHeldBack](), PlayedWatch(), [100.0]
    gate = InputGate(lambda: injector, told.put, lambda: now[0], open_watch=watch.open)
    assert gate.allow("s1") == ""
    watch.tell(did, 0.0, 0.0)
    for event in (*POINTER, *KEYS):
        gate.inject(Inject(session_id="s1", display_index=0, events=[event]))
    for _ in held_back:
        assert told.get(timeout=20) == InputHeldBack(session_id="s1", events=1)
    now[0] += GUARD_S
    gate.inject(Inject(session_id="s1", display_index=0, events=[held_back[0], TypeText(text="!!")]))
    wait_for(lambda: injector.played[-1:] == [TypeText(text="!")])
    assert told.empty()
    assert held_back[0] in injector.played
    assert not any(event in injector.played for event in held_back[1:])
    gate.close()
    assert watch.is_closed
