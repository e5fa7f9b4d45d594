"""The peer's clock: what delays, drift and lies can do to it, and what they cannot."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from protocol.peer_clock import CLOCK_SAMPLES, DRIFT, ROUNDING_MS, WAITING_LIMIT, PeerClock

delays_ms = st.floats(0, 5000)
Clock = Callable[[float], float]
ways = st.lists(st.tuples(delays_ms, delays_ms, st.floats(1, 10_000)), min_size=1, max_size=30)


def exchange(
    clock: PeerClock, number: int, now_ms: float, there_ms: float, back_ms: float, peer_ms: Clock
) -> float:
    """One heartbeat over ways of these lengths; when its answer is there. `peer_ms` is the peer's clock."""
    clock.asked(number, now_ms)
    clock.answered(number, int(peer_ms(now_ms + there_ms)), now_ms + there_ms + back_ms)
    return now_ms + there_ms + back_ms


def test_before_the_first_answer_nothing_is_known():
    clock = PeerClock()
    clock.asked(1, 10.0)
    assert (clock.offset_ms, clock.round_trip_ms, clock.error_ms(20.0)) == (None, None, None)


def test_the_offset_comes_from_the_exchange_with_the_least_delay():
    clock = PeerClock()
    exchange(clock, 1, 1000, 400, 0, lambda at_ms: at_ms + 5000)
    exchange(clock, 2, 2000, 5, 5, lambda at_ms: at_ms + 5000)
    exchange(clock, 3, 3000, 0, 900, lambda at_ms: at_ms + 5000)
    assert clock.offset_ms == 5000
    assert clock.round_trip_ms == 900


@given(ways=ways, offset_ms=st.floats(-1e9, 1e9))
def test_however_unequal_the_ways_are_the_error_is_at_most_half_the_best_round_trip(ways, offset_ms):
    clock, now_ms = PeerClock(), 0.0
    for number, (there_ms, back_ms, pause_ms) in enumerate(ways, 1):
        now_ms = exchange(
            clock, number, now_ms + pause_ms, there_ms, back_ms, lambda at_ms: at_ms + offset_ms
        )
    assert clock.offset_ms is not None
    assert abs(clock.offset_ms - offset_ms) <= clock.error_ms(now_ms) + 1e-3
    newest = [there_ms + back_ms for there_ms, back_ms, _ in ways[-CLOCK_SAMPLES:]]
    aged_ms = DRIFT * sum(there + back + pause for there, back, pause in ways)
    assert clock.error_ms(now_ms) <= min(newest) / 2 + ROUNDING_MS + aged_ms + 1e-6


@given(ways=ways, drift=st.floats(-DRIFT, DRIFT))
def test_clocks_that_drift_apart_stay_within_the_error_that_is_named(ways, drift):
    clock, now_ms = PeerClock(), 0.0
    for number, (there_ms, back_ms, pause_ms) in enumerate(ways, 1):
        now_ms = exchange(
            clock, number, now_ms + pause_ms, there_ms, back_ms, lambda at_ms: at_ms * (1 + drift)
        )
    later_ms = now_ms + 5000
    assert abs(clock.offset_ms - later_ms * drift) <= clock.error_ms(later_ms) + 1e-3


def test_an_old_exchange_gives_way_to_a_newer_one_that_is_hardly_slower():
    clock = PeerClock()
    exchange(clock, 1, 0, 5.0, 5.0, lambda at_ms: at_ms + 100)
    exchange(clock, 2, 60_000, 5.1, 5.1, lambda at_ms: at_ms + 106)
    assert abs(clock.offset_ms - 106) < 1


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(-(1 << 63), 1 << 64), st.floats(0, 1e6)), max_size=60)
)
def test_answers_that_nobody_waits_for_change_nothing(given_answers):
    clock = PeerClock()
    for number, says_ms, at_ms in given_answers:
        clock.answered(number, says_ms, at_ms)
    assert clock.offset_ms is None


@given(says_ms=st.integers(-(1 << 63), (1 << 64) - 1))
def test_a_peer_cannot_say_when_we_asked(says_ms):
    """The round trip is by our own clock alone, whatever the answer says."""
    clock = PeerClock()
    clock.asked(1, 100.0)
    clock.answered(1, says_ms, 130.0)
    assert clock.round_trip_ms == 30.0


def test_an_answer_from_before_its_question_is_ignored():
    clock = PeerClock()
    clock.asked(1, 1000.0)
    clock.answered(1, 1, 900.0)
    assert clock.offset_ms is None


def test_the_oldest_heartbeat_without_an_answer_tells_how_long_nothing_came():
    clock = PeerClock()
    assert clock.waiting_ms(5.0) == 0
    clock.asked(1, 100.0)
    clock.asked(2, 200.0)
    assert clock.waiting_ms(1300.0) == 1200
    clock.answered(1, 0, 1300.0)
    assert clock.waiting_ms(1300.0) == 1100
    clock.answered(2, 0, 1300.0)
    assert clock.waiting_ms(9000.0) == 0


def test_a_peer_that_never_answers_costs_no_memory():
    clock = PeerClock()
    for number in range(1000):
        clock.asked(number, float(number))
    assert len(clock._waiting) == WAITING_LIMIT
