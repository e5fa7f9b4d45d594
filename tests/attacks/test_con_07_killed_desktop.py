"""A desktop process that is killed while a technician controls (THREATS.md P5, P7)."""

from pathlib import Path

import pytest

from agent.desktop.ipc_messages import AllowInput, IndicatorShown, Inject, InputAllowed
from protocol.messages.input import Event, Key, PointerButton
from tests.support.desktop_service import DesktopProcess, an_indicator, wait_for
from tests.support.x_display import x_display
from tests.support.x_person import XPerson

pytestmark = pytest.mark.real

SHIFT = Key(keysym=0xFFE1, is_pressed=True)
MASK_SHIFT_AND_BUTTON_1 = 0x101


def _held(person: XPerson) -> int:
    return int(person.connection.core.QueryPointer(person.root).reply().mask) & 0x1FFF


def test_con_07_p5_keys_that_a_killed_desktop_process_left_down_go_up_with_its_successor(
    tmp_path: Path,
) -> None:
    with x_display(has_window_manager=True) as display:
        person = XPerson(display)
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
        first = DesktopProcess(tmp_path / "first", display)
        first.order(an_indicator())
        first.expect(IndicatorShown)
        first.order(AllowInput(session_id="s1"))
        first.expect(InputAllowed)
        events: list[Event] = [SHIFT, PointerButton(button=1, is_pressed=True)]
        first.order(Inject(session_id="s1", display_index=0, events=events))
        wait_for(lambda: _held(person) == MASK_SHIFT_AND_BUTTON_1)
        first.child.kill()
        first.child.wait()
        first.hang_up()
        second = DesktopProcess(tmp_path / "second", display)
        assert _held(person) == 0
        second.close()
        person.close()
