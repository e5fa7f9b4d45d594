"""How much an encoder may spend on a frame (no clock)."""

import itertools

import pytest

from agent.capabilities.screen.video.effort import BUSY_SHARE, FRAME_INTERVALS_S, RISE_LIMIT_S, Effort

FILM_S = 1 / 30


def play(effort: Effort, frame_s: float, seconds: float, now_s: float = 0.0) -> tuple[int, float]:
    """A film of 30 frames a second whose frames take so long; how many were made, and the time after it."""
    made = 0
    for _ in range(round(seconds / FILM_S)):
        now_s += FILM_S
        if now_s >= effort.due_s:
            effort.spent(frame_s, now_s)
            made += 1
    return made, now_s


def test_an_encoder_that_keeps_up_makes_every_frame_at_its_best():
    effort = Effort(levels=2)
    made, _ = play(effort, 0.010, 60)
    assert made == 60 * 30
    assert (effort.level, effort.interval_s) == (0, FILM_S)


def test_quality_is_given_up_before_frames_are():
    effort = Effort(levels=3)
    levels, now_s = [], 0.0
    while effort.interval_s == FILM_S:
        _, now_s = play(effort, 0.025, FILM_S, now_s)
        if effort.level not in levels:
            levels.append(effort.level)
    assert levels == [0, 1, 2]


@pytest.mark.parametrize(("frame_s", "least", "most"), [(0.025, 14, 16), (0.055, 7, 10)])
def test_the_encoder_works_not_all_of_the_time(frame_s, least, most):
    effort = Effort()
    _, now_s = play(effort, frame_s, 4)
    made, _ = play(effort, frame_s, 4, now_s)
    assert least <= made / 4 <= most
    assert made * frame_s / 4 < BUSY_SHARE + 0.05


def test_what_cannot_be_sustained_at_all_is_eight_frames_a_second():
    effort = Effort()
    _, now_s = play(effort, 0.2, 6)
    made, _ = play(effort, 0.2, 4, now_s)
    assert effort.interval_s == FRAME_INTERVALS_S[-1]
    assert made / 4 <= 1 / FRAME_INTERVALS_S[-1] + 2


def test_a_film_that_becomes_cheap_gets_all_of_its_frames_again():
    effort = Effort(levels=2)
    _, now_s = play(effort, 0.06, 5)
    assert effort.interval_s > FILM_S
    _, now_s = play(effort, 0.004, 40, now_s)
    made, _ = play(effort, 0.004, 2, now_s)
    assert made == 60
    assert effort.level == 0


def test_what_fails_again_and_again_is_tried_ever_less_often():
    # what a frame takes grows with how many there are: the step above looks affordable and never is
    effort, now_s, changes, before = Effort(), 0.0, [], FILM_S
    while now_s < 600:
        frame_s = 0.024 if effort.interval_s == FILM_S else 0.006
        _, now_s = play(effort, frame_s, FILM_S, now_s)
        if effort.interval_s != before:
            before = effort.interval_s
            changes.append(now_s)
    falls = changes[::2]
    waits = [round(later - earlier) for earlier, later in itertools.pairwise(falls)]
    assert waits == sorted(waits)
    assert waits[-1] > 4 * waits[0]
    assert waits[-1] < RISE_LIMIT_S + 10


def test_a_faster_film_is_shown_at_thirty_frames_a_second_and_evenly():
    effort, made_at = Effort(), []
    for number in range(240):
        now_s = number / 60
        if now_s >= effort.due_s:
            effort.spent(0.005, now_s)
            made_at.append(now_s)
    gaps = [round(60 * (later - earlier)) for earlier, later in itertools.pairwise(made_at)]
    assert set(gaps[2:]) == {2}


@pytest.mark.parametrize("early_s", [0.0, 0.004, 0.008])
def test_an_uneven_film_of_thirty_frames_loses_none(early_s):
    effort, made = Effort(), 0
    for number in range(300):
        now_s = 5.0 + number * FILM_S - early_s * (number % 3 == 0)
        if now_s >= effort.due_s:
            effort.spent(0.005, now_s)
            made += 1
    assert made == 300


def test_one_slow_frame_changes_nothing():
    effort = Effort(levels=2)
    _, now_s = play(effort, 0.005, 5)
    _, now_s = play(effort, 0.06, FILM_S, now_s)
    play(effort, 0.005, 1, now_s)
    assert (effort.level, effort.interval_s) == (0, FILM_S)


def test_a_pause_of_the_film_does_not_count_as_time_to_spare():
    effort = Effort()
    _, now_s = play(effort, 0.055, 3)
    assert effort.interval_s == FRAME_INTERVALS_S[-1]
    play(effort, 0.055, 1, now_s + 100)
    assert effort.interval_s == FRAME_INTERVALS_S[-1]


def test_another_encoder_begins_where_the_one_before_ended():
    effort = Effort(levels=1)
    play(effort, 0.055, 3)
    before = effort.interval_s
    effort.use(1)
    assert effort.interval_s == before
    effort.use(3)
    assert effort.level in range(3)
