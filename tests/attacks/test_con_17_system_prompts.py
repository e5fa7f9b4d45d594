"""The windows in which the system asks for a password: neither seen nor answered from afar."""

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from agent.capabilities.screen.worker import open_masked
from agent.desktop.ipc_messages import AllowInput, IndicatorShown, Inject, InputAllowed, InputHeldBack
from agent.platform.input_interface import InputInjector
from agent.platform.interfaces import Area
from agent.platform.x11.guarded_input import open_guarded_injector
from protocol.errors import ErrorCode, Refused
from protocol.messages.input import Key
from tests.support.desktop_service import DesktopProcess, an_indicator
from tests.support.event_window import EventWindow
from tests.support.secret_window import SecretProgram, secret_pixels, secret_program
from tests.support.xvfb import start_xvfb

pytestmark = pytest.mark.real

WHOLE = Area(0, 0, 640, 480)
PLACE = (100, 100, 120, 80)
PROMPTS = (
    "Polkit-gnome-authentication-agent-1",
    "polkit-kde-authentication-agent-1",
    "Gcr-prompter",
    "Pinentry-gtk-2",
    "Ssh-askpass",
)
PRESS, RELEASE = (Key(keysym=0x61, is_pressed=is_pressed) for is_pressed in (True, False))


@pytest.fixture
def small_display(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with start_xvfb((WHOLE.width, WHOLE.height)) as server:
        monkeypatch.setenv("DISPLAY", server.display)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        yield server.display


def shown(program: SecretProgram, name: str) -> int:
    window = program.open(PLACE, names=(name, "Authenticate"))
    program.show(window)
    return window


def test_con_17_a_prompt_of_the_system_is_in_no_picture(small_display: str) -> None:
    source = open_masked("xcffib", ())
    try:
        with secret_program(small_display) as program:
            editor = shown(program, "Editor")
            assert secret_of(source.grab(WHOLE)) == PLACE[2] * PLACE[3], "control: any other window is seen"
            program.destroy(editor)
            for name in PROMPTS:
                window = shown(program, name)
                assert secret_of(source.grab(WHOLE)) == 0, name
                program.destroy(window)
    finally:
        source.close()


def test_con_17_a_list_that_is_emptied_still_covers_the_prompts(small_display: str) -> None:
    source = open_masked("xcffib", ())
    try:
        source.cover(())
        with secret_program(small_display) as program:
            shown(program, PROMPTS[0])
            assert secret_of(source.grab(WHOLE)) == 0
    finally:
        source.close()


def test_con_17_no_event_is_played_while_the_system_asks(small_display: str) -> None:
    injector = open_guarded_injector(small_display)
    try:
        with closing(EventWindow(small_display)) as events, secret_program(small_display) as program:
            injector.inject(PRESS, 0)
            assert text_after_release(injector, events) == "a", "control: events act"
            for name in PROMPTS:
                window = shown(program, name)
                with pytest.raises(Refused) as refused:
                    injector.inject(PRESS, 0)
                assert refused.value.code == ErrorCode.E_INPUT_PAUSED
                program.destroy(window)
            injector.inject(PRESS, 0)
            text = text_after_release(injector, events)
            assert text == "aa", "nothing was played in between, and now they act again"
    finally:
        injector.close()


def test_con_17_a_hidden_prompt_holds_nothing_back(small_display: str) -> None:
    injector = open_guarded_injector(small_display)
    try:
        with secret_program(small_display) as program:
            program.hide(shown(program, PROMPTS[0]))
            injector.inject(PRESS, 0)
            injector.inject(RELEASE, 0)
    finally:
        injector.close()


def test_con_17_the_desktop_process_says_what_it_held_back(desktop: DesktopProcess, display: str) -> None:
    desktop.order(an_indicator())
    desktop.expect(IndicatorShown)
    desktop.order(AllowInput(session_id="s1"))
    assert desktop.expect(InputAllowed).code == ""
    with secret_program(display) as program:
        shown(program, PROMPTS[0])
        desktop.order(Inject(session_id="s1", display_index=0, events=[PRESS, RELEASE]))
        assert desktop.expect(InputHeldBack) == InputHeldBack(session_id="s1", events=2)


def text_after_release(injector: InputInjector, events: EventWindow) -> str:
    injector.inject(RELEASE, 0)
    return str(events.until(lambda line: line["kind"] == "release")[-1]["text"])


def secret_of(pixels: np.ndarray | None) -> int:
    assert pixels is not None
    return secret_pixels(pixels)
