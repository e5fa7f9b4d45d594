"""Something lossy ahead of exact pixels that would take too long (no clock, no process)."""

import numpy as np
import pytest

from agent.capabilities.screen.video.codecs import H264, JPEG
from agent.capabilities.screen.video.preview import PreviewNeed, exact_bytes
from agent.platform.interfaces import Area
from protocol.errors import BackendUnavailable
from tests.support.encoders import TimedChoice
from tests.support.moving_pictures import text_lines, video_frame
from tests.support.video_stage import Stage

WIDTH, HEIGHT = 704, 448
SLOW_BYTES = 4_000
"""A budget of 30 ms: 1 Mbit/s. A preview goes ahead of what takes 0.2 s."""
PREVIEW_OVER_BYTES = 26_000


def shown_error(stage: Stage) -> float:
    return float(np.abs(stage.viewer.canvas[..., 2::-1].astype(int) - stage.pixels[..., :3]).mean())


def slow_stage(codecs: list[str], budget_bytes: float = SLOW_BYTES, opens: object = None) -> Stage:
    stage = Stage(WIDTH, HEIGHT, codecs, opens)
    stage.budget_bytes, stage.preview_over_bytes = (
        budget_bytes,
        budget_bytes * PREVIEW_OVER_BYTES / SLOW_BYTES,
    )
    stage.maker.video.patience_s = 0.0
    for _ in range(3):
        stage.put(0, 0, text_lines(64, 16, 0))
        stage.step(0.03)
    return stage


def until_exact(stage: Stage, limit_s: float) -> float:
    """Pictures until nothing is missing; how long that took."""
    began_s = stage.now_s
    while not stage.is_exact():
        stage.step(0.03)
        assert stage.now_s - began_s < limit_s
    return stage.now_s - began_s


def test_a_new_screen_on_a_slow_link_is_seen_at_once_and_becomes_exact():
    stage = slow_stage([H264, JPEG])
    stage.put(0, 0, video_frame(WIDTH, HEIGHT, 0))
    before = shown_error(stage)
    stage.step(0.03)
    (frame,) = stage.viewer.video.frames
    assert frame.codec == JPEG
    assert len(frame.encoded) <= 0.4 * PREVIEW_OVER_BYTES
    assert shown_error(stage) < before / 4
    until_exact(stage, 20.0)
    assert len(stage.viewer.video.ended) == 1
    assert not stage.viewer.regions
    assert len(stage.viewer.video.frames) == 1, "one preview is enough for what does not change"


@pytest.mark.parametrize("codecs", [[H264], []])
def test_without_jpeg_there_is_no_preview(codecs):
    stage = slow_stage(codecs)
    stage.put(0, 0, video_frame(WIDTH, HEIGHT, 0))
    stage.step(0.03)
    assert stage.viewer.video.frames == []
    until_exact(stage, 20.0)


def test_on_a_fast_link_there_is_no_preview():
    stage = slow_stage([JPEG], 100_000)
    stage.put(0, 0, video_frame(WIDTH, HEIGHT, 0))
    until_exact(stage, 2.0)
    assert stage.viewer.video.frames == []


def test_what_is_sent_soon_anyway_has_no_preview():
    stage = slow_stage([JPEG])
    stage.put(0, 0, text_lines(640, 128, 7))
    stage.put(500, 300, video_frame(64, 64, 0))
    until_exact(stage, 1.0)
    assert stage.viewer.video.frames == []


def test_what_changes_during_a_preview_is_shown_too():
    stage = slow_stage([JPEG])
    stage.put(0, 0, video_frame(WIDTH, HEIGHT, 0))
    stage.step(0.03)
    stage.put(0, 0, video_frame(WIDTH, HEIGHT, 40))
    before = shown_error(stage)
    stage.step(0.03)
    assert [frame.region_no for frame in stage.viewer.video.frames] == [1, 1]
    assert shown_error(stage) < before / 3
    until_exact(stage, 20.0)


def test_the_rest_of_a_first_picture_is_previewed():
    stage = slow_stage([JPEG])
    stage.pixels[...] = video_frame(WIDTH, HEIGHT, 0)
    stage.maker.refresh()
    stage.step(0.03)
    assert stage.viewer.video.frames == []
    stage.step(0.03)
    assert len(stage.viewer.video.frames) == 1
    assert shown_error(stage) < 12
    until_exact(stage, 20.0)


def test_a_film_that_starts_in_a_preview_is_not_painted_over_when_that_ends():
    stage = slow_stage([H264, JPEG])
    stage.put(0, 0, text_lines(WIDTH, HEIGHT, 0))
    stage.put(0, 320, video_frame(WIDTH, 128, 9))
    stage.step(0.03)
    assert len(stage.viewer.video.frames) == 1
    stage.budget_bytes = 20_000
    for number in range(90):
        stage.put(320, 64, video_frame(320, 192, number))
        stage.step(1 / 30)
    assert len(stage.viewer.video.ended) == 1
    (film,) = stage.viewer.regions.values()
    assert film.rectangle.width < 360
    shown, drawn = stage.viewer.canvas[80:240, 340:620, 2::-1], stage.pixels[80:240, 340:620, :3]
    assert np.abs(shown.astype(int) - drawn).mean() < 12
    for _ in range(100):
        stage.step(0.03)
    assert stage.is_exact()


def test_without_a_jpeg_encoder_everything_comes_exactly():
    def refuse(*_: object) -> object:
        raise BackendUnavailable("no encoder")

    stage = slow_stage([JPEG], opens=refuse)
    stage.put(0, 0, video_frame(WIDTH, HEIGHT, 0))
    until_exact(stage, 20.0)
    assert stage.viewer.video.frames == []


def test_a_letter_that_is_typed_is_exact_beside_a_preview():
    stage = slow_stage([JPEG])
    stage.put(0, 0, video_frame(WIDTH, 384, 0))
    stage.step(0.03)
    for step in range(6):
        stage.put(64 + 8 * step, 400, text_lines(8, 16, step))
        stage.step(0.03)
    assert stage.viewer.video.frames
    for _ in range(2):
        stage.step(0.03)
    assert np.array_equal(stage.viewer.canvas[400:416, 64:112, 2::-1], stage.pixels[400:416, 64:112, :3])
    assert not stage.is_exact()


def test_what_never_comes_to_rest_is_video_on_a_slow_link_whatever_it_shows():
    stage = slow_stage([H264, JPEG], 8_000)
    for number in range(60):
        stage.put(0, 0, text_lines(WIDTH, HEIGHT, 40 * (number // 6)))
        before = shown_error(stage)
        stage.step(1 / 30)
        if number < 10:
            continue
        assert [one.rectangle.width for one in stage.viewer.regions.values()] == [WIDTH]
        assert number % 6 or shown_error(stage) < 0.8 * before
    assert {frame.codec for frame in stage.viewer.video.frames[5:]} == {H264}
    for _ in range(60):
        stage.step(0.03)
    assert stage.is_exact()


def test_films_inside_of_what_becomes_video_as_a_whole_are_over_and_nothing_is_lost():
    opens = TimedChoice()
    stage = slow_stage([H264, JPEG], 6_000, opens)
    for number in range(45):
        stage.put(64, 64, video_frame(320, 192, number))
        stage.step(1 / 30)
    (film,) = stage.viewer.regions
    for number in range(30):
        stage.put(0, 0, text_lines(WIDTH, HEIGHT, 40 * number))
        stage.put(64, 64, video_frame(320, 192, number))
        stage.step(1 / 30)
    (whole,) = stage.viewer.regions
    assert whole != film
    # no pixel is in two encoders at the same time
    assert opens.most_pixels == WIDTH * HEIGHT
    for _ in range(60):
        stage.step(0.03)
    assert not stage.viewer.regions
    assert stage.is_exact()


def test_a_small_change_in_what_became_video_ends_it():
    stage = slow_stage([H264, JPEG], 8_000)
    for number in range(20):
        stage.put(0, 0, text_lines(WIDTH, HEIGHT, 40 * number))
        stage.step(1 / 30)
    assert stage.viewer.regions
    for number in range(90):
        stage.put(64, 64, text_lines(64, 16, number))
        stage.step(1 / 30)
    assert not stage.viewer.regions
    assert stage.is_exact()


def test_scrolling_that_copies_carry_stays_exact_on_a_slow_link():
    stage = slow_stage([H264, JPEG])
    stage.put(0, 0, text_lines(WIDTH, HEIGHT, 0))
    until_exact(stage, 5.0)
    before = len(stage.viewer.video.frames)
    for number in range(60):
        stage.scroll_up(Area(0, 0, WIDTH, HEIGHT), 16)
        stage.put(0, HEIGHT - 16, text_lines(WIDTH, 16, 100 + number))
        stage.step(1 / 30)
    assert len(stage.viewer.video.frames) == before
    assert stage.is_exact()


def test_a_link_that_seems_slow_for_a_moment_only_has_no_preview():
    stage = slow_stage([JPEG])
    stage.maker.video.patience_s = 0.1
    stage.put(0, 0, video_frame(WIDTH, HEIGHT, 0))
    for _ in range(3):
        stage.step(0.03)
    stage.budget_bytes, stage.preview_over_bytes = 100_000, 600_000
    until_exact(stage, 1.0)
    assert stage.viewer.video.frames == []


def test_on_a_link_that_stays_slow_a_preview_comes_after_a_tenth_of_a_second():
    stage = slow_stage([JPEG])
    stage.maker.video.patience_s = 0.1
    stage.put(0, 0, video_frame(WIDTH, HEIGHT, 0))
    for _ in range(6):
        stage.step(0.03)
    assert len(stage.viewer.video.frames) == 1


def test_what_was_shown_is_needed_again_only_after_damage():
    need, found = PreviewNeed((7, 11)), np.ones((7, 11), np.bool_)
    current = video_frame(WIDTH, HEIGHT, 0).view(np.uint32)[..., 0]
    rest = (current, Area(0, 0, WIDTH, HEIGHT), PREVIEW_OVER_BYTES)
    assert need.is_there(need.fresh(found), *rest)
    need.shown(found)
    assert not need.is_there(need.fresh(found), *rest)
    damaged = np.zeros((7, 11), np.bool_)
    damaged[0, :2] = True
    need.damaged(damaged)
    assert not need.is_there(need.fresh(found), *rest)
    need.damaged(found)
    assert need.is_there(need.fresh(found), *rest)


def test_the_guess_of_what_exact_pixels_take_is_near_and_rather_too_high():
    stage = Stage(WIDTH, HEIGHT, [])
    for drawn in (video_frame(WIDTH, HEIGHT, 0), text_lines(WIDTH, HEIGHT, 0)):
        before = stage.exact_bytes
        stage.put(0, 0, drawn)
        stage.step(0.03)
        took = stage.exact_bytes - before
        found = np.ones((-(-HEIGHT // 64), WIDTH // 64), np.bool_)
        guessed = exact_bytes(found, drawn.view(np.uint32)[..., 0], Area(0, 0, WIDTH, HEIGHT))
        assert took / 1.2 < guessed < took * 2.5
