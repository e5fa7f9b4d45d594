"""How old the shown picture is: what is known, what is not, and what a lying device can make of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from technician_client.console.picture_age import LATE_S, PictureAge

OFFSET_MS = 250_000.0


def opened(offset_ms: float | None = OFFSET_MS, opened_s: float = 100.0) -> PictureAge:
    return PictureAge(lambda: offset_ms, opened_s)


def agent_ms(now_s: float) -> int:
    return int(now_s * 1000 + OFFSET_MS)


def test_the_age_is_by_the_agent_s_clock_and_its_offset():
    assert opened().age_s(agent_ms(109.5), 110.0) == pytest.approx(0.5, abs=0.001)


def test_before_the_agent_s_clock_is_known_the_age_is_unknown():
    assert opened(offset_ms=None).age_s(agent_ms(109.5), 110.0) is None


@given(says_ms=st.integers(-(1 << 63), 1 << 64), offset_ms=st.floats(-1e19, 1e19), since_s=st.floats(0, 1e6))
def test_whatever_a_device_says_of_its_clock_no_age_is_below_zero_or_before_the_channel(
    says_ms, offset_ms, since_s
):
    age_s = opened(offset_ms).age_s(says_ms, 100.0 + since_s)
    assert age_s is not None
    assert 0 <= age_s <= since_s + 1e-6


def test_a_still_picture_does_not_grow_old():
    age = opened()
    age.handed_over(1, agent_ms(100.0), 100.1)
    age.painted(1, 100.1)
    assert age.late_s(5000.0, 0.0) == 0


def test_a_change_that_waits_at_the_device_makes_the_picture_old_until_there_is_none():
    age = opened()
    age.behind(agent_ms(110.0), 110.6)
    assert age.late_s(110.9, 0.0) == 0
    assert age.late_s(113.0, 0.0) == pytest.approx(3.0, abs=0.01)
    age.behind(0, 113.5)
    assert age.late_s(113.5, 0.0) == 0


def test_a_waiting_change_of_a_device_whose_clock_is_unknown_counts_from_its_message():
    age = opened(offset_ms=None)
    age.behind(agent_ms(110.0), 120.0)
    assert age.late_s(122.0, 0.0) == pytest.approx(2.0)


def test_silence_makes_the_picture_old():
    assert opened().late_s(200.0, 4.0) == 4.0
    assert opened().late_s(200.0, 0.9) == 0


def test_a_picture_that_the_page_does_not_paint_makes_the_shown_one_old():
    age = opened()
    age.handed_over(1, agent_ms(110.0), 110.1)
    assert age.late_s(110.5, 0.0) == 0
    assert age.late_s(112.0, 0.0) == pytest.approx(2.0, abs=0.01)
    age.painted(1, 112.0)
    assert age.late_s(200.0, 0.0) == 0


def test_pictures_that_arrive_late_are_called_late_while_they_come():
    age = opened()
    for number in range(1, 10):
        now_s = 110.0 + number
        age.handed_over(number, agent_ms(now_s - 3.0), now_s)
        age.painted(number, now_s)
        assert age.late_s(now_s, 0.0) == pytest.approx(3.0, abs=0.01)
        assert age.late_s(now_s + 0.9, 0.0) == pytest.approx(3.9, abs=0.01)
    age.handed_over(10, agent_ms(120.0), 120.1)
    age.painted(10, 120.1)
    assert age.late_s(120.2, 0.0) == 0


def test_what_is_sent_anew_is_not_waited_for():
    age = opened()
    age.handed_over(1, agent_ms(110.0), 110.0)
    age.forget_unpainted()
    assert age.late_s(130.0, 0.0) == 0


@given(
    st.lists(
        st.tuples(st.floats(0, 3), st.sampled_from(["over", "paint", "behind", "even"]), st.floats(0, 9)),
        max_size=60,
    )
)
def test_what_is_said_is_nothing_or_more_than_a_second_and_never_more_than_the_channel_s_age(steps):
    age, now_s, sequence = opened(), 100.0, 0
    for after_s, what, old_s in steps:
        now_s += after_s
        match what:
            case "over":
                sequence += 1
                age.handed_over(sequence, agent_ms(now_s - old_s), now_s)
            case "paint":
                age.painted(sequence, now_s)
            case "behind":
                age.behind(agent_ms(now_s - old_s), now_s)
            case "even":
                age.behind(0, now_s)
        late_s = age.late_s(now_s, 0.0)
        assert late_s == 0 or LATE_S < late_s <= now_s - 100.0 + 1e-6
