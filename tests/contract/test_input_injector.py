"""What every input injector holds to: the recording fake, and XTest seen by a real X client."""

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Protocol

import pytest

from agent.platform.input_interface import InputInjector
from agent.platform.x11.input import XTestInjector
from protocol.errors import BackendUnavailable, ErrorCode
from protocol.limits import ALL_DISPLAYS_INDEX
from protocol.messages.input import Key, PointerButton, PointerMove, PointerWheel, TypeText
from tests.support.event_window import EventWindow
from tests.support.injector import RecordingInjector
from tests.support.late_client import late_client
from tests.support.x_display import x_display

A, SHIFT, LEFT, F5 = 0x61, 0xFFE1, 0xFF51, 0xFFC2
MIXED = "user@example.org {~|\\} ÄÖü€ Яя µ"
END = 0xFFC9  # F12, by which a test knows that everything before it has arrived


class Bench(Protocol):
    """An injector and what it did: (kind, keysym or button or position)."""

    injector: InputInjector

    def arrived(self) -> list[tuple[str, object]]: ...


class FakeBench:
    def __init__(self) -> None:
        self.injector = self._recorder = RecordingInjector()

    def arrived(self) -> list[tuple[str, object]]:
        facts: list[tuple[str, object]] = []
        for event in self._recorder.played:
            match event:
                case Key(keysym, is_pressed):
                    facts.append(("press" if is_pressed else "release", keysym))
                case PointerButton(button, is_pressed):
                    facts.append(("button_press" if is_pressed else "button_release", button))
                case PointerMove(x, y):
                    facts.append(("move", (x, y)))
        return facts


_KEYSYMS = {"a": A, "Shift_L": SHIFT, "Left": LEFT, "F5": F5, "F12": END, "A": 0x41}


class XTestBench:
    def __init__(self, display: str) -> None:
        self.window = EventWindow(display)
        self.injector = XTestInjector(display)
        self._marker = XTestInjector(display)

    def arrived(self) -> list[tuple[str, object]]:
        self._marker.inject(Key(keysym=END, is_pressed=True), 0)
        lines = self.window.until(lambda line: line.get("keysym") == "F12")[:-1]
        self._marker.inject(Key(keysym=END, is_pressed=False), 0)
        self.window.until(lambda line: line["kind"] == "release" and line["keysym"] == "F12")
        facts: list[tuple[str, object]] = []
        for line in lines:
            if line["kind"] == "move":
                facts.append(("move", (line["x"], line["y"])))
            elif line["kind"].startswith("button"):
                facts.append((line["kind"], line["button"]))
            else:
                facts.append((line["kind"], _KEYSYMS.get(line["keysym"], line["keysym"])))
        return facts

    def close(self) -> None:
        self.injector.close()
        self._marker.close()
        self.window.close()


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    with x_display() as name:
        yield name


@pytest.fixture(params=["fake", pytest.param("xtest", marks=pytest.mark.real)])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "fake":
        yield FakeBench()
        return
    with closing(XTestBench(request.getfixturevalue("display"))) as real:
        yield real


@contextmanager
def watched_typing(display: str, *, client_display: str = "") -> Iterator[tuple[EventWindow, XTestInjector]]:
    """A client, and who types into it; both end with the test."""
    with (
        closing(EventWindow(client_display or display)) as window,
        closing(XTestInjector(display)) as injector,
    ):
        yield window, injector


def test_a_key_arrives_as_press_and_release(bench: Bench) -> None:
    bench.injector.inject(Key(keysym=A, is_pressed=True), 0)
    bench.injector.inject(Key(keysym=A, is_pressed=False), 0)
    assert bench.arrived() == [("press", A), ("release", A)]


def test_a_second_press_of_a_held_key_changes_nothing(bench: Bench) -> None:
    bench.injector.inject(Key(keysym=SHIFT, is_pressed=True), 0)
    bench.injector.inject(Key(keysym=SHIFT, is_pressed=True), 0)
    assert bench.arrived() == [("press", SHIFT)]


def test_a_release_of_what_is_not_held_changes_nothing(bench: Bench) -> None:
    bench.injector.inject(Key(keysym=A, is_pressed=False), 0)
    bench.injector.inject(PointerButton(button=1, is_pressed=False), 0)
    assert bench.arrived() == []


def test_msg_16_release_all_brings_up_exactly_what_is_held(bench: Bench) -> None:
    bench.injector.inject(PointerMove(x=30, y=30), 0)
    bench.injector.inject(PointerButton(button=1, is_pressed=True), 0)
    bench.injector.inject(Key(keysym=SHIFT, is_pressed=True), 0)
    bench.arrived()
    bench.injector.release_all()
    bench.injector.release_all()
    last_two = bench.arrived()[-2:]
    assert sorted(last_two, key=str) == [("button_release", 1), ("release", SHIFT)]


def test_msg_16_positions_are_clamped_to_the_display(bench: Bench) -> None:
    bench.injector.inject(PointerMove(x=5000, y=5000), 0)
    bench.injector.inject(PointerMove(x=10, y=10), 0)
    moves = [fact for fact in bench.arrived() if fact[0] == "move"]
    assert moves in (
        [("move", (1279, 799)), ("move", (10, 10))],
        [("move", (10, 10))],
    )  # clients may join moves


def test_positions_on_all_displays_are_those_of_the_box_around_them(bench: Bench) -> None:
    bench.injector.inject(PointerMove(x=5000, y=5000), ALL_DISPLAYS_INDEX)
    bench.injector.inject(PointerMove(x=10, y=12), ALL_DISPLAYS_INDEX)
    moves = [fact for fact in bench.arrived() if fact[0] == "move"]
    assert moves in ([("move", (1279, 799)), ("move", (10, 12))], [("move", (10, 12))])  # as above


def test_a_display_that_does_not_exist_changes_nothing(bench: Bench) -> None:
    bench.injector.inject(PointerMove(x=17, y=19), 9)
    assert ("move", (17, 19)) not in bench.arrived()


def test_close_releases_and_may_be_called_twice(bench: Bench) -> None:
    bench.injector.inject(Key(keysym=SHIFT, is_pressed=True), 0)
    bench.arrived()
    bench.injector.close()
    bench.injector.close()
    assert ("release", SHIFT) in bench.arrived()
    bench.injector.release_all()
    with pytest.raises(BackendUnavailable) as refused:
        bench.injector.inject(Key(keysym=A, is_pressed=True), 0)
    assert refused.value.code is ErrorCode.E_INPUT_NONE


@pytest.mark.real
def test_xtest_text_of_any_script_arrives_whole(display: str) -> None:
    with watched_typing(display) as (window, injector):
        text = 'Hello, wörld € "quoted" ÀÉ\tžluťoučký Ελλάδα Привет\nsecond line 你好'
        injector.inject(TypeText(text=text), 0)
        injector.inject(Key(keysym=END, is_pressed=True), 0)
        assert window.until(lambda line: line.get("keysym") == "F12")[-1]["text"] == text


@pytest.mark.real
def test_xtest_finds_the_level_whatever_shift_says(display: str) -> None:
    with watched_typing(display) as (window, injector):
        injector.inject(Key(keysym=ord("?"), is_pressed=True), 0)  # shifted here, without Shift from there
        injector.inject(Key(keysym=ord("?"), is_pressed=False), 0)
        injector.inject(Key(keysym=SHIFT, is_pressed=True), 0)
        injector.inject(Key(keysym=ord("/"), is_pressed=True), 0)  # plain here, with Shift from there
        injector.inject(Key(keysym=ord("/"), is_pressed=False), 0)
        injector.inject(Key(keysym=ord("Q"), is_pressed=True), 0)
        injector.inject(Key(keysym=SHIFT, is_pressed=False), 0)
        injector.inject(Key(keysym=ord("q"), is_pressed=False), 0)  # Shift went up first: it is `q` now
        injector.inject(Key(keysym=END, is_pressed=True), 0)
        lines = window.until(lambda line: line.get("keysym") == "F12")
        assert lines[-1]["text"] == "?/Q"
        assert [line["keysym"] for line in lines if line["kind"] == "release"][-1] == "q"


@pytest.mark.real
def test_xtest_keeps_shift_with_an_arrow_key(display: str) -> None:
    with watched_typing(display) as (window, injector):
        injector.inject(TypeText(text="ab"), 0)
        for keysym in (SHIFT, LEFT):
            injector.inject(Key(keysym=keysym, is_pressed=True), 0)
        left = window.until(lambda line: line.get("keysym") == "Left")[-1]
        assert left["state"] & 1


@pytest.mark.real
def test_xtest_wheel_and_buttons_arrive_by_number(display: str) -> None:
    with watched_typing(display) as (window, injector):
        injector.inject(PointerMove(x=100, y=120), 0)
        injector.inject(PointerWheel(horizontal=0, vertical=2), 0)
        injector.inject(PointerWheel(horizontal=0, vertical=-1), 0)
        for button in (2, 3):
            injector.inject(PointerButton(button=button, is_pressed=True), 0)
            injector.inject(PointerButton(button=button, is_pressed=False), 0)
        lines = window.until(lambda line: line["kind"] == "button_release" and line["button"] == 3)
        assert [line["button"] for line in lines if line["kind"] == "button_press"] == [5, 5, 4, 2, 3]


@pytest.mark.real
def test_xtest_gives_bound_keys_back(display: str) -> None:
    first = XTestInjector(display)
    before = list(first._keymap().keysyms)
    first.inject(TypeText(text="Привет 你好"), 0)
    assert list(first._keymap().keysyms) != before
    first.close()
    second = XTestInjector(display)
    assert list(second._keymap().keysyms) == before
    second.close()


@pytest.mark.real
def test_xtest_without_a_display_says_so() -> None:
    with pytest.raises(BackendUnavailable) as refused:
        XTestInjector(":9871")
    assert refused.value.code is ErrorCode.E_INPUT_NONE


@pytest.mark.real
def test_xtest_whose_display_dies_is_unavailable_and_closes_quietly() -> None:
    with x_display() as name:
        injector = XTestInjector(name)
        injector.inject(Key(keysym=SHIFT, is_pressed=True), 0)
    with pytest.raises(BackendUnavailable):
        injector.inject(Key(keysym=A, is_pressed=True), 0)
    injector.release_all()
    injector.close()


@pytest.mark.real
@pytest.mark.parametrize("layout", [["de"], ["us,ru", "-option", "grp:caps_toggle"], ["fr"]])
def test_xtest_types_the_same_text_in_every_layout(layout: list[str]) -> None:
    with x_display() as name:
        subprocess.run(["setxkbmap", "-display", name, *layout], check=True)
        with watched_typing(name) as (window, injector):
            if "us,ru" in layout:
                switch_group(injector)
            injector.inject(TypeText(text=MIXED), 0)
            injector.inject(Key(keysym=END, is_pressed=True), 0)
            assert window.until(lambda line: line.get("keysym") == "F12")[-1]["text"] == MIXED


@pytest.mark.real
@pytest.mark.parametrize("late_s", [0.0, 0.001])
def test_what_a_client_asks_of_the_server_may_come_late(late_s: float) -> None:
    """Xlib forgets a changed key when it hears of it while it waits for the map after an earlier change."""
    with x_display() as name, late_client(name, late_s) as client_display:
        subprocess.run(["setxkbmap", "-display", name, "us,ru", "-option", "grp:caps_toggle"], check=True)
        with watched_typing(name, client_display=client_display) as (window, injector):
            switch_group(injector)
            injector.inject(TypeText(text=MIXED), 0)
            for letter in "yw":  # by keys, and with no keycode left that was not used just now
                for is_pressed in (True, False):
                    injector.inject(Key(keysym=ord(letter), is_pressed=is_pressed), 0)
            injector.inject(Key(keysym=END, is_pressed=True), 0)
            assert window.until(lambda line: line.get("keysym") == "F12")[-1]["text"] == MIXED + "yw"


def switch_group(injector: XTestInjector) -> None:
    """The second layout is in force, as if the person had switched to it."""
    for is_pressed in (True, False):
        injector.inject(Key(keysym=0xFE08, is_pressed=is_pressed), 0)


@pytest.mark.real
def test_xtest_heeds_caps_lock(display: str) -> None:
    with watched_typing(display) as (window, injector):
        for _ in range(2):
            injector.inject(Key(keysym=0xFFE5, is_pressed=True), 0)
            injector.inject(Key(keysym=0xFFE5, is_pressed=False), 0)
            injector.inject(TypeText(text="aB1!"), 0)
        injector.inject(Key(keysym=END, is_pressed=True), 0)
        assert window.until(lambda line: line.get("keysym") == "F12")[-1]["text"] == "aB1!aB1!"
