"""Something lossy ahead of exact pixels that would take too long (no clock, no process)."""

import numpy as np
import pytest

from agent.capabilities.screen.video.codecs import H264, JPEG
from agent.capabilities.screen.video.preview import PreviewNeed, exact_bytes
from agent.platform.interfaces import Area
from protocol.errors import BackendUnavailable
from tests.support.moving_pictures import text_lines, video_frame
from tests.support.video_stage import Stage

WIDTH, HEIGHT = 704, 448
SLOW_BYTES = 4_000
"""A budget of 30 ms: 1 Mbit/s."""


def shown_error(stage: Stage) -> float:
    return float(np.abs(stage.viewer.canvas[..., 2::-1].astype(int) - stage.pixels[..., :3]).mean())


def slow_stage(codecs: list[str], budget_bytes: float = SLOW_BYTES, opens: object = None) -> Stage:
    stage = Stage(WIDTH, HEIGHT, codecs, opens)
    stage.budget_bytes = budget_bytes
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
    assert len(frame.encoded) < SLOW_BYTES * 4
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


def test_a_link_that_nobody_measured_yet_counts_as_fast():
    need = PreviewNeed((7, 11), 0.03)
    found = np.ones((7, 11), np.bool_)
    current = video_frame(WIDTH, HEIGHT, 0).view(np.uint32)[..., 0]
    area = Area(0, 0, WIDTH, HEIGHT)
    assert not need.is_there(found, current, area)
    need.given(32 << 10)
    assert not need.is_there(found, current, area)
    for _ in range(4):
        need.given(SLOW_BYTES)
    assert need.is_there(found, current, area)


def test_a_small_budget_between_larger_ones_is_no_slow_link():
    need = PreviewNeed((7, 11), 0.03)
    found = np.ones((7, 11), np.bool_)
    current = video_frame(WIDTH, HEIGHT, 0).view(np.uint32)[..., 0]
    for budget in (60_000, 4_000, 15_000):
        need.given(budget)
        assert not need.is_there(found, current, Area(0, 0, WIDTH, HEIGHT))


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
