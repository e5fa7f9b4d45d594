"""When a viewer is told that its picture is behind: pure, and against a share with a viewer that is slow."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.capabilities.screen.behind import AGAIN_INTERVAL_S, BEHIND_AFTER_S, BehindNews
from agent.platform.interfaces import Area
from protocol.messages.screen import Behind, PictureSeen
from tests.agent.test_screen_sharing import Session
from tests.support.screen_source import FakeScreen


def test_a_change_that_is_pictured_soon_is_not_worth_a_word():
    news = BehindNews()
    news.changed(10.0)
    assert news.news(10.0 + BEHIND_AFTER_S - 0.01) == []
    news.pictured(None)
    assert news.due_s is None
    assert news.news(100.0) == []


def test_a_change_that_waits_is_told_once_and_its_end_once():
    news = BehindNews()
    news.changed(10.0)
    news.changed(10.3)
    assert news.news(10.0 + BEHIND_AFTER_S) == [Behind(10_000)]
    assert news.due_s is None
    news.pictured(None)
    assert news.news(12.0) == [Behind(0)]
    assert news.news(13.0) == []


@given(st.lists(st.tuples(st.floats(0.001, 0.3), st.sampled_from(["change", "all", "some"])), max_size=200))
def test_what_is_told_is_true_and_at_most_twice_a_second(steps: list[tuple[float, str]]) -> None:
    news, now_s, since_s = BehindNews(), 100.0, None
    told: list[tuple[float, int]] = []
    for after_s, what in steps:
        now_s += after_s
        if what == "change":
            since_s = now_s if since_s is None else since_s
            news.changed(now_s)
        else:
            since_s = None if what == "all" else now_s
            news.pictured(since_s)
        for one in news.news(now_s):
            told.append((now_s, one.since_ms))
            assert one.since_ms == (0 if since_s is None else int(since_s * 1000))
    lates = [at_s for at_s, since_ms in told if since_ms]
    assert all(later - sooner >= AGAIN_INTERVAL_S - 1e-6 for sooner, later in itertools.pairwise(lates))
    assert all(one[1] or other[1] for one, other in itertools.pairwise(told))


def test_a_viewer_that_does_not_paint_is_told_since_when_it_is_behind_and_that_it_has_caught_up():
    screen = FakeScreen()
    session = Session(screen)
    session.run(3.0)
    pictures = []
    for number in range(1, 120):
        screen.draw(Area(0, 0, 5, 5), (number, number, number))
        pictures += session.step(1 / 60, is_woken=True, acknowledges=False)
    said = [one for one in pictures if isinstance(one, Behind)]
    assert len(said) == 1
    assert said[0].since_ms < session.now_s * 1000 - 1000
    newest = max(one.picture_no for one in pictures if hasattr(one, "picture_no"))
    session.share.received(PictureSeen(newest), session.now_s)
    assert Behind(0) in session.run(1.0)
    screen.close()


def test_a_viewer_that_keeps_up_with_an_endless_film_is_told_nothing():
    screen = FakeScreen()
    session = Session(screen)
    session.run(3.0)
    noise = np.random.default_rng(2)
    sent = []
    for _ in range(300):
        screen.pixels[:60, :60] = noise.integers(0, 256, (60, 60, 4), np.uint8)
        screen.damage(Area(0, 0, 60, 60))
        sent += session.step(1 / 60, is_woken=True)
    assert not any(isinstance(one, Behind) for one in sent)
    screen.close()
