"""The desktop process with its indicators, workers and input: real windows on Xvfb, a small service."""

import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.desktop.indicator import REST_TICK_MS
from agent.desktop.ipc_messages import (
    AllowInput,
    DisplaysRead,
    EndInput,
    HideIndicator,
    IndicatorShown,
    Inject,
    InputAllowed,
    IpcRefused,
    ReadDisplays,
    ScreenEnded,
    StartScreen,
    StopScreen,
)
from agent.desktop.restack_watch import RestackWatch
from agent.desktop.watch import LOOK_S, STUCK_LIMIT_S, StuckWatch
from agent.platform.x11.screen import open_x11_screen
from protocol.errors import ErrorCode
from protocol.messages.input import PointerMove
from tests.support.desktop_person import TICKET, is_alive, seen, worker_pid
from tests.support.desktop_service import DesktopProcess, a_prompt, an_indicator, wait_for
from tests.support.x_person import XPerson

pytestmark = pytest.mark.real


def test_hello_names_the_seat(desktop: DesktopProcess, display: str) -> None:
    assert desktop.hello.os_session == f"x11{display}"
    assert desktop.hello.pid == desktop.child.pid


def test_the_bars_of_two_sessions_stand_below_each_other(desktop: DesktopProcess, person: XPerson) -> None:
    for session_id in ("s1", "s2"):
        desktop.order(an_indicator(session_id))
        desktop.expect(IndicatorShown)
    desktop.order(HideIndicator(session_id="s1"))
    wait_for(lambda: (found := person.find_class("alongside-indicator")) is not None and found.y < 5)


def test_a_worker_is_killed_by_order_and_its_end_is_told(desktop: DesktopProcess, tmp_path: Path) -> None:
    desktop.order(an_indicator())
    desktop.expect(IndicatorShown)
    desktop.order(StartScreen(session_id="s1", ticket=TICKET, source="auto"))
    pid = worker_pid(tmp_path)
    desktop.order(StopScreen(session_id="s1"))
    wait_for(lambda: not is_alive(pid))
    assert desktop.is_silent(0.2)


@pytest.mark.parametrize(
    ("status", "code"), [(0, ""), (6, ErrorCode.E_SCREEN_NONE), (7, ErrorCode.E_SCREEN_FAILED)]
)
def test_a_worker_that_ends_by_itself_is_told_with_its_reason(
    display: str, tmp_path: Path, status: int, code: str
) -> None:
    script = (
        "import sys; assert sys.stdin.buffer.read() == b't' * 32;"
        f"sys.stderr.write('because'); sys.exit({status})"
    )
    desktop = DesktopProcess(tmp_path, display, (sys.executable, "-c", script))
    desktop.order(an_indicator())
    desktop.expect(IndicatorShown)
    desktop.order(StartScreen(session_id="s1", ticket=TICKET, source="auto"))
    ended = desktop.expect(ScreenEnded)
    assert (ended.code, ended.detail) == (code, "because")
    assert desktop.close() == 0


def test_the_end_of_the_service_ends_everything(
    desktop: DesktopProcess, person: XPerson, tmp_path: Path
) -> None:
    desktop.order(an_indicator())
    desktop.expect(IndicatorShown)
    desktop.order(StartScreen(session_id="s1", ticket=TICKET, source="auto"))
    pid = worker_pid(tmp_path)
    desktop.order(a_prompt())
    seen(person, "allow")
    assert desktop.close() == 0
    wait_for(lambda: not is_alive(pid), 0.2)
    assert person.find_class("alongside-indicator") is None


def test_end_input_stops_events(desktop: DesktopProcess, person: XPerson) -> None:
    desktop.order(an_indicator())
    desktop.expect(IndicatorShown)
    desktop.order(AllowInput(session_id="s1"))
    desktop.expect(InputAllowed)
    desktop.order(Inject(session_id="s1", display_index=0, events=[PointerMove(x=40, y=41)]))
    wait_for(lambda: person.connection.core.QueryPointer(person.root).reply().root_x == 40)
    desktop.order(EndInput(session_id="s1"))
    desktop.order(Inject(session_id="s1", display_index=0, events=[PointerMove(x=50, y=51)]))
    assert desktop.is_silent(0.2)
    assert person.connection.core.QueryPointer(person.root).reply().root_x == 40


def test_displays_are_read(desktop: DesktopProcess) -> None:
    desktop.order(ReadDisplays(request_no=3))
    read = desktop.expect(DisplaysRead)
    assert (read.request_no, read.failure) == (3, "")
    assert [(shown.width, shown.height) for shown in read.displays] == [(1280, 800)]


def test_rubbish_on_the_socket_ends_it_with_the_protocol_status(desktop: DesktopProcess) -> None:
    desktop.send_raw(b"\xff\xff\xff\xff rubbish")
    assert desktop.child.wait(5) == 4
    desktop.hang_up()


def test_a_refused_desktop_process_says_why_and_ends(desktop: DesktopProcess) -> None:
    desktop.order(IpcRefused(code=str(ErrorCode.E_ALREADY_RUNNING)))
    assert desktop.child.wait(5) != 0
    desktop.hang_up()


def test_a_signal_ends_it_cleanly(desktop: DesktopProcess) -> None:
    desktop.child.terminate()
    assert desktop.child.wait(5) == 0
    desktop.hang_up()


def test_a_stuck_window_thread_ends_the_process() -> None:
    happened: list[str] = []
    watch = StuckWatch(lambda: None, lambda: happened.append("killed"), lambda _: happened.append("ended"))
    watch.watch(is_needed=True)
    took_s = wait_for(lambda: happened == ["killed", "ended"], 4.0)
    assert took_s > 1.0


def test_a_window_thread_that_answers_goes_on() -> None:
    happened: list[str] = []
    watch = StuckWatch(
        lambda: watch.beat(), lambda: happened.append("killed"), lambda _: happened.append("ended")
    )
    watch.watch(is_needed=True)
    time.sleep(2 * (STUCK_LIMIT_S + LOOK_S))
    watch.watch(is_needed=False)
    assert happened == []


def test_an_indicator_at_rest_draws_nothing(desktop: DesktopProcess, person: XPerson, display: str) -> None:
    desktop.order(an_indicator())
    desktop.expect(IndicatorShown)
    screen = open_x11_screen(display)
    try:
        time.sleep(0.5)
        screen.look()
        time.sleep(REST_TICK_MS / 1000 + 0.5)
        assert not screen.look().damage
    finally:
        screen.close()


def test_a_window_that_comes_before_a_bar_under_a_compositor_is_told(display: str, person: XPerson) -> None:
    """There the server sends no visibility events, and the bar is lifted on this word alone."""
    own: set[int] = set()
    watch = RestackWatch(display, lambda: own)
    fd = watch.descriptor()
    assert fd is not None
    try:
        bar = an_x_window(person)
        person.connection.core.MapWindowChecked(bar).check()
        assert not watch.read()
        watch.watch(is_needed=True)
        is_told(fd, 0.1)
        watch.read()
        other = an_x_window(person)
        person.connection.core.MapWindowChecked(other).check()
        assert is_told(fd, 2.0)
        assert watch.read()
        own.add(bar)
        raise_x_window(person, bar)
        assert is_told(fd, 2.0)
        assert not watch.read()
    finally:
        watch.close()


def is_told(fd: int, within_s: float) -> bool:
    return bool(select.select([fd], [], [], within_s)[0])


def an_x_window(person: XPerson) -> int:
    window: int = person.connection.generate_id()
    setup = person.connection.setup.roots[person.connection.pref_screen]
    person.connection.core.CreateWindowChecked(
        0, window, person.root, 0, 0, 50, 50, 0, 1, setup.root_visual, 1 << 9, [1]
    ).check()
    return window


def raise_x_window(person: XPerson, window: int) -> None:
    person.connection.core.ConfigureWindowChecked(window, 1 << 6, [0]).check()


def test_idle_it_uses_no_processor_time(desktop: DesktopProcess) -> None:
    time.sleep(0.5)

    def used_ticks() -> int:
        fields = Path(f"/proc/{desktop.child.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = used_ticks()
    time.sleep(1.0)
    assert used_ticks() - before <= 1


@pytest.mark.parametrize("words", [["--display", ":9871"], ["--display", ""]])
def test_without_a_display_it_ends_with_one_sentence(tmp_path: Path, words: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "agent.desktop", "--socket", str(tmp_path / "s"), *words],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 6
    assert "E_SCREEN_NONE" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_without_a_service_it_ends_with_one_sentence(display: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "agent.desktop", "--socket", str(tmp_path / "s"), "--display", display],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode != 0
    assert "E_NOT_RUNNING" in ended.stderr
    assert "Traceback" not in ended.stderr
