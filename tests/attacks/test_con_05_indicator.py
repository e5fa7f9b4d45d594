"""Stop, and the indicator that cannot be got rid of (THREATS.md CON-05, CON-16)."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from agent.desktop.ipc_messages import (
    AllowInput,
    IndicatorShown,
    Inject,
    InputAllowed,
    ScreenEnded,
    StartScreen,
    StopPressed,
)
from protocol.errors import ErrorCode
from protocol.messages.input import Key
from tests.bench.stop import VARIANTS, measure
from tests.support.desktop_person import TICKET, holds_shift, is_alive, seen, worker_pid
from tests.support.desktop_service import DesktopProcess, a_prompt, an_indicator, wait_for
from tests.support.x_person import XPerson

pytestmark = pytest.mark.real


def test_con_16_nothing_acts_without_an_indicator(desktop: DesktopProcess, tmp_path: Path) -> None:
    desktop.order(AllowInput(session_id="s1"))
    assert desktop.expect(InputAllowed).code == ErrorCode.E_INPUT_NONE
    desktop.order(StartScreen(session_id="s1", ticket=TICKET, source="auto"))
    assert desktop.expect(ScreenEnded).code == ErrorCode.E_SCREEN_FAILED
    assert not (tmp_path / "agent.sock.pid").exists()


@pytest.mark.parametrize("is_hung", [False, True])
def test_con_05_stop_ends_capture_and_input_in_the_desktop_process(
    desktop: DesktopProcess, person: XPerson, tmp_path: Path, is_hung: bool
) -> None:
    desktop.order(an_indicator())
    desktop.expect(IndicatorShown)
    desktop.order(StartScreen(session_id="s1", ticket=TICKET, source="auto"))
    pid = worker_pid(tmp_path)
    if is_hung:
        os.kill(pid, signal.SIGSTOP)
    desktop.order(AllowInput(session_id="s1"))
    desktop.expect(InputAllowed)
    shift = Key(keysym=0xFFE1, is_pressed=True)
    desktop.order(Inject(session_id="s1", display_index=0, events=[shift]))
    wait_for(lambda: holds_shift(person))
    stop = seen(person, "stop")

    person.click(*stop.middle)
    wait_for(lambda: not is_alive(pid))
    desktop.expect(StopPressed)
    assert not holds_shift(person)

    desktop.order(AllowInput(session_id="s1"))
    assert desktop.expect(InputAllowed).code == ErrorCode.E_SESSION_STOPPED
    desktop.order(StartScreen(session_id="s1", ticket=TICKET, source="auto"))
    assert desktop.expect(ScreenEnded).code == ErrorCode.E_SESSION_STOPPED


def test_con_05_the_stop_keys_stop_every_session(
    desktop: DesktopProcess, person: XPerson, display: str
) -> None:
    for session_id in ("s1", "s2"):
        desktop.order(an_indicator(session_id))
        desktop.expect(IndicatorShown)
    subprocess.run(["xdotool", "key", "ctrl+alt+shift+x"], env={**os.environ, "DISPLAY": display}, check=True)
    assert {desktop.expect(StopPressed).session_id, desktop.expect(StopPressed).session_id} == {"s1", "s2"}


def test_con_16_a_covered_indicator_comes_back_to_the_top(desktop: DesktopProcess, person: XPerson) -> None:
    desktop.order(an_indicator())
    desktop.expect(IndicatorShown)
    bar = person.find_class("alongside-indicator")
    assert bar is not None
    cover = person.cover(bar)
    took_s = wait_for(lambda: person.topmost() != cover, 1.0)
    print(f"indicator back on top after {took_s * 1000:.0f} ms")
    person.connection.core.DestroyWindow(cover)
    assert desktop.is_silent(0.2)


def test_con_16_an_indicator_that_is_moved_or_unmapped_comes_back(
    desktop: DesktopProcess, person: XPerson, display: str
) -> None:
    desktop.order(an_indicator())
    desktop.expect(IndicatorShown)
    bar = person.find_class("alongside-indicator")
    assert bar is not None
    for words in (["windowmove", str(bar.window), "3000", "3000"], ["windowunmap", str(bar.window)]):
        subprocess.run(["xdotool", *words], env={**os.environ, "DISPLAY": display}, check=True)
        wait_for(lambda: person.find_class("alongside-indicator") == bar)
    assert desktop.is_silent(0.2)


@pytest.mark.parametrize("name", ["alongside-indicator", "alongside-prompt"])
def test_con_16_destroying_a_window_of_ours_ends_the_process_and_the_capture(
    desktop: DesktopProcess, person: XPerson, tmp_path: Path, name: str
) -> None:
    desktop.order(an_indicator())
    desktop.expect(IndicatorShown)
    desktop.order(StartScreen(session_id="s1", ticket=TICKET, source="auto"))
    pid = worker_pid(tmp_path)
    desktop.order(a_prompt())
    seen(person, "allow")
    window = person.find_class(name)
    assert window is not None
    person.connection.core.DestroyWindow(window.window)
    person.connection.flush()
    wait_for(lambda: not is_alive(pid), 2.0)
    assert desktop.child.wait(5) != 0
    desktop.hang_up()


def test_con_05_stop_works_with_the_worker_stopped_and_with_the_service_blocked() -> None:
    """One try of each kind of `python -m tests.bench.stop`, with a real worker; how fast, that says."""
    figures = measure(3, load=0)
    for variant in VARIANTS:
        result = figures[variant]
        assert isinstance(result, dict)
        assert result["stopped_ms"]["count"] == 1
        assert result["acted_after"] == 0
