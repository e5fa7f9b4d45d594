"""The prompt's answers, its words, the indicator's stubbornness, the input gate: pure."""

import threading
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.desktop.cover_rules import COVERED_LIMIT_S, CoverRules, Order, Sight
from agent.desktop.drawing import Box, Plate, box_ppm, contrast, mark_ppm, plate_ppm
from agent.desktop.input_gate import RELEASE_WAIT_S, InputGate
from agent.desktop.ipc_messages import Inject, InputHeldBack
from agent.desktop.palette import DARK, LIGHT, OUTLINE_PAIRS, TEXT_PAIRS, Palette
from agent.desktop.prompt_rules import KEYS_QUIET_S, PromptRules
from agent.desktop.prompt_text import (
    clock,
    duration,
    indicator_text,
    outside_text,
    prompt_text,
    time_left,
)
from agent.platform.input_interface import InputInjector
from protocol.errors import BackendUnavailable, ErrorCode, Refused
from protocol.limits import CONSENT_ARMING_S, CONSENT_EXTENSIONS_LIMIT, PROMPT_GUARD_S
from protocol.messages.input import Event, Key, TypeText
from tests.support.desktop_service import a_prompt, an_indicator
from tests.support.injector import RecordingInjector

A = Key(keysym=0x61, is_pressed=True)


def rules(timeout_s: float = 60.0) -> PromptRules:
    made = PromptRules(("screen.view",), ordered_s=100.0, timeout_s=timeout_s)
    made.shown(101.0)
    return made


def test_allow_does_nothing_before_the_arming_time_is_over() -> None:
    prompt = rules()
    assert prompt.allow(101.0 + CONSENT_ARMING_S - 0.01) is None
    answer = prompt.allow(101.0 + CONSENT_ARMING_S)
    assert answer is not None
    assert answer.allowed == ("screen.view",)
    assert answer.took_s == CONSENT_ARMING_S


def test_the_arming_time_starts_when_the_person_can_see_the_prompt() -> None:
    prompt = PromptRules(("screen.view",), ordered_s=0.0, timeout_s=60.0)
    assert prompt.allow(30.0) is None
    prompt.shown(30.0)
    assert prompt.allow(31.0) is None
    assert prompt.allow(31.5) is not None


def test_the_deadline_refuses_and_more_time_moves_it() -> None:
    prompt = rules(timeout_s=10.0)
    assert prompt.more_time(109.0)
    assert prompt.tick(110.0) is None
    answer = prompt.tick(119.0)
    assert answer is not None
    assert answer.allowed == ()
    assert answer.code == ErrorCode.E_CONSENT_TIMEOUT


def test_more_time_ends_some_day() -> None:
    prompt = rules()
    assert [prompt.more_time(102.0) for _ in range(CONSENT_EXTENSIONS_LIMIT + 1)].count(
        True
    ) == CONSENT_EXTENSIONS_LIMIT


def test_keys_do_nothing_while_the_person_types() -> None:
    prompt = rules()
    presses_s = [101.0 + 0.2 * number for number in range(1, 20)]
    assert not any(prompt.key_counts(at_s) for at_s in presses_s)
    assert prompt.key_counts(presses_s[-1] + KEYS_QUIET_S)


@given(st.lists(st.sampled_from(["allow", "refuse", "tick"]), min_size=1, max_size=8))
def test_a_prompt_is_answered_at_most_once(words: list[str]) -> None:
    prompt = rules()
    answers = [getattr(prompt, word)(200.0) for word in words]
    assert len([answer for answer in answers if answer is not None]) == 1


def test_names_and_reasons_are_plain_text_without_pictures() -> None:
    order = a_prompt(reason="<b>now</b> ✅\u202e evil\nline 🔒🔒")
    text = prompt_text(order, has_hot_key=True)
    assert text.reason == "<b>now</b> � evil line �"
    assert outside_text("Dana ✓ Verified", 64) == "Dana � Verified"
    assert len(outside_text("W" * 10_000, 64)) == 64
    assert outside_text("a" + "\u0301\u0316" * 20, 64).count("\u0316") <= 2


def test_an_unknown_organisation_is_unmistakable() -> None:
    import msgspec

    text = prompt_text(msgspec.structs.replace(a_prompt(), organisation_name=""), has_hot_key=True)
    assert not text.is_verified
    assert "NOT VERIFIED" in text.identity


def test_the_text_hash_changes_with_every_word_that_is_shown() -> None:
    seen = {
        prompt_text(order, has_hot_key=has_hot_key).sha256()
        for order in (a_prompt(), a_prompt(("input.control",)), a_prompt(reason="Another."))
        for has_hot_key in (True, False)
    }
    assert len(seen) == 6


def test_times_read_like_a_person_says_them() -> None:
    assert [duration(s) for s in (45, 60, 1800, 3900)] == [
        "45 seconds",
        "1 minute",
        "30 minutes",
        "1 hour 5 minutes",
    ]
    assert [clock(s) for s in (0, 65.2, 3661)] == ["0:00", "1:05", "1:01:01"]


def test_the_indicator_tells_minutes_until_the_last_one_and_then_seconds() -> None:
    lefts_s = (3661, 3600, 3599.5, 61, 60, 59.2, 1, 0, -5)
    texts = ["1 h 2 min", "1 h 0 min", "1 h 0 min", "2 min", "60 s", "60 s", "1 s", "0 s", "0 s"]
    assert [time_left(left_s)[0] for left_s in lefts_s] == texts


@given(left_s=st.floats(0.001, 8 * 3600))
def test_the_indicator_s_text_holds_exactly_as_long_as_it_says(left_s: float) -> None:
    text, holds_s = time_left(left_s)
    assert 0 < holds_s <= 60.001
    assert time_left(left_s - holds_s * 0.999)[0] == text
    assert time_left(left_s - holds_s - 0.001)[0] != text


def test_in_the_hour_of_a_session_the_indicator_draws_fewer_than_a_hundred_and_thirty_times() -> None:
    left_s, draws = 3600.0, 0
    while left_s > 0:
        left_s -= time_left(left_s)[1] + 1e-6
        draws += 1
    assert draws <= 120


def test_the_indicator_says_who_and_what() -> None:
    who, may = indicator_text(an_indicator(is_unattended=True))
    assert who == "Dana Meyer, Acme Ltd"
    assert may.startswith("can see your screen and use your mouse and keyboard")
    assert "without asking" in may


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_con_21_every_text_has_a_contrast_of_four_and_a_half_and_every_outline_one_of_three(
    palette: Palette,
) -> None:
    for least, pairs in ((4.5, TEXT_PAIRS), (3.0, OUTLINE_PAIRS)):
        for first, second in pairs:
            colours = (getattr(palette, first), getattr(palette, second))
            assert contrast(*colours) >= least, (first, second)


def test_pictures_have_the_size_that_they_claim() -> None:
    for picture, width, height in (
        (plate_ppm(Plate(120, 40, 8, 4, "#ffffff", "#000000", "#f0f0f0", "#0000ff")), 128, 48),
        (box_ppm(Box(28, 8, "#ffffff", "#006060", "#444444", "#ffffff")), 36, 28),
        (mark_ppm(32, accent="#006060", second="#80c0c0", background="#ffffff"), 32, 32),
    ):
        header, _, pixels = picture.partition(b"255\n")
        assert header.split() == [b"P6", str(width).encode(), str(height).encode()]
        assert len(pixels) == width * height * 3


def test_a_covered_indicator_is_lifted_and_given_up_when_that_does_not_help() -> None:
    cover = CoverRules(0.0)
    cover.seen(Sight.CLEAR, 0.1)
    assert cover.is_in_sight
    assert cover.seen(Sight.COVERED, 10.0) is Order.LIFT
    assert not cover.is_in_sight
    assert cover.tick(10.0 + COVERED_LIMIT_S - 0.1) is Order.LIFT
    assert cover.tick(10.0 + COVERED_LIMIT_S) is Order.GIVE_UP


def test_an_indicator_that_never_comes_into_sight_is_given_up() -> None:
    assert CoverRules(5.0).tick(5.0 + COVERED_LIMIT_S) is Order.GIVE_UP


def test_two_programs_that_lift_themselves_do_not_make_a_storm() -> None:
    cover = CoverRules(0.0)
    lifts = [cover.seen(Sight.PARTLY, 1.0 + number / 1000) for number in range(500)]
    assert lifts.count(Order.LIFT) <= 20


class SlowInjector(RecordingInjector):
    """Stays in the first event until it is let go, as when the display server is busy."""

    def __init__(self) -> None:
        super().__init__()
        self.is_in = threading.Event()
        self.may_go = threading.Event()

    def inject(self, event: Event, display_index: int) -> None:
        super().inject(event, display_index)
        self.is_in.set()
        self.may_go.wait(5)


def order(*events: Event, session_id: str = "s1") -> Inject:
    return Inject(session_id=session_id, display_index=0, events=list(events))


def nothing_held_back(message: InputHeldBack) -> None:
    raise AssertionError(message)


def drained(gate: InputGate) -> None:
    gate.close()


def test_events_without_leave_never_act() -> None:
    injector = RecordingInjector()
    gate = InputGate(lambda: injector, nothing_held_back)
    gate.inject(order(A))
    assert gate.allow("other") == ""
    gate.inject(order(A))
    drained(gate)
    assert injector.played == []


def test_an_open_prompt_drops_events_which_is_told_and_lets_go_of_keys() -> None:
    injector, told = SlowInjector(), SimpleQueue[InputHeldBack]()
    gate = InputGate(lambda: injector, told.put)
    assert gate.allow("s1") == ""
    gate.inject(order(A))
    assert injector.is_in.wait(5)
    injector.may_go.set()
    gate.suspend()
    assert injector.held_keys == set()
    gate.inject(order(A, A))
    gate.resume()
    gate.inject(order(A))  # it is gone, and its guard is not
    drained(gate)
    held_back = [told.get_nowait().events for _ in range(told.qsize())]
    assert held_back == [2, 1], "nothing that somebody who may control did is dropped in silence"
    assert injector.played == [A, Key(keysym=0x61, is_pressed=False)]
    assert not injector.is_open


def test_stop_returns_while_the_injector_is_stuck_and_nothing_acts_afterwards() -> None:
    injector = SlowInjector()
    gate = InputGate(lambda: injector, nothing_held_back)
    gate.allow("s1")
    gate.inject(order(TypeText(text="abc")))
    assert injector.is_in.wait(5)
    gate.end("s1")
    injector.may_go.set()
    drained(gate)
    assert injector.played == [TypeText(text="a")]


class RestingInjector(RecordingInjector):
    """Says that its desktop needs a while before a text, until it is told that it is ready."""

    def __init__(self, rest_s: float) -> None:
        super().__init__()
        self.asked: SimpleQueue[Event] = SimpleQueue()
        self.is_ready = threading.Event()
        self._rest_s = rest_s

    def make_ready(self, event: Event) -> float:
        if not isinstance(event, TypeText):
            return 0.0
        self.asked.put(event)
        return 0.0 if self.is_ready.is_set() else self._rest_s


def test_a_text_is_known_in_advance_and_played_when_the_desktop_is_ready_for_it() -> None:
    injector = RestingInjector(0.01)
    gate = InputGate(lambda: injector, nothing_held_back)
    gate.allow("s1")
    gate.inject(order(TypeText(text="xyz")))
    for _ in range(3):
        assert injector.asked.get(timeout=20) == TypeText(text="xyz")
    assert injector.played == []
    injector.is_ready.set()
    while (asked := injector.asked.get(timeout=20)) != TypeText(text="z"):
        assert asked in (TypeText(text="xyz"), TypeText(text="yz"))
    drained(gate)
    assert injector.played[:2] == [TypeText(text="x"), TypeText(text="y")]


def test_who_lets_go_never_waits_for_a_desktop_that_is_not_ready() -> None:
    injector = RestingInjector(RELEASE_WAIT_S * 20)
    gate = InputGate(lambda: injector, nothing_held_back)
    gate.allow("s1")
    gate.inject(order(A, TypeText(text="xyz")))
    injector.asked.get(timeout=20)
    gate.suspend()
    assert injector.played == [A, Key(keysym=0x61, is_pressed=False)]
    injector.is_ready.set()
    gate.resume()
    gate.end("s1")
    drained(gate)
    assert injector.played == [A, Key(keysym=0x61, is_pressed=False)]


def test_what_the_system_holds_back_is_told_and_what_is_down_goes_up() -> None:
    class AskingInjector(RecordingInjector):
        def inject(self, event: Event, display_index: int) -> None:
            if event == TypeText(text="!"):
                raise Refused("the system asks", code=ErrorCode.E_INPUT_PAUSED)
            super().inject(event, display_index)

    injector, told = AskingInjector(), SimpleQueue[InputHeldBack]()
    gate = InputGate(lambda: injector, told.put)
    gate.allow("s1")
    gate.inject(order(A, TypeText(text="b!c"), A))
    assert told.get(timeout=20) == InputHeldBack(session_id="s1", events=2)
    assert injector.held_keys == set()
    drained(gate)
    assert injector.played == [A, TypeText(text="b"), Key(keysym=0x61, is_pressed=False)]


def test_the_gate_says_when_events_act() -> None:
    now = [100.0]
    gate = InputGate(RecordingInjector, nothing_held_back, lambda: now[0])
    assert gate.acts_in_s == 0.0
    gate.suspend()
    assert gate.acts_in_s is None
    gate.resume()
    assert gate.acts_in_s == PROMPT_GUARD_S
    now[0] += PROMPT_GUARD_S
    assert gate.acts_in_s == 0.0


def test_no_injector_is_a_code_and_not_a_crash() -> None:
    def fail() -> InputInjector:
        raise BackendUnavailable("no XTest", code=ErrorCode.E_INPUT_NONE)

    gate = InputGate(fail, nothing_held_back)
    assert gate.allow("s1") == ErrorCode.E_INPUT_NONE
    gate.inject(order(A))
    gate.close()
