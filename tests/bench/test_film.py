"""The counter in the film, and how the film's quality is judged."""

from fractions import Fraction

import av
import numpy as np
import pytest

from tests.bench.film import (
    FILM_AT,
    FILM_STAMP_AT,
    IN_FILM,
    STAMP_COLUMNS,
    STAMP_ROWS,
    counter_of,
    judge_samples,
    picture_index,
    stamped,
    without_film,
)
from tests.bench.pages import FILM_SIZE, clouds
from tests.bench.watch import Film, watch
from tests.bench.workloads import WORKLOADS
from tests.bench.x_board import STAMP_AT

SHAPE = (FILM_SIZE[1], FILM_SIZE[0])


@pytest.fixture(scope="module")
def film():
    return np.stack([clouds(SHAPE, 3, shift=(number * 3, number * 5)) for number in range(3)])


class FakeLook:
    """A viewer's display that shows the film, the next picture with every second look at the counter."""

    def __init__(self, film):
        self.film, self.looks = film, 0

    def read(self, at, size):
        self.looks += at == FILM_STAMP_AT
        number = self.looks // 2
        screen = np.zeros((1080, 1920, 4), np.uint8)
        screen[IN_FILM] = stamped(self.film, number)
        return screen[at[1] : at[1] + size[1], at[0] : at[0] + size[0]]


def test_the_film_plays_there_and_back_without_showing_an_end_twice():
    assert [picture_index(number, 4) for number in range(8)] == [0, 1, 2, 3, 2, 1, 0, 1]


def test_the_counter_is_inside_of_the_film_and_moves_nothing_else(film):
    shown = stamped(film, 77)
    assert counter_of(shown) == 77
    shown[STAMP_ROWS, STAMP_COLUMNS] = film[picture_index(77, 3)][STAMP_ROWS, STAMP_COLUMNS]
    assert np.array_equal(shown, film[picture_index(77, 3)])
    assert WORKLOADS["video"].stamp_at == FILM_STAMP_AT
    assert FILM_AT[0] < FILM_STAMP_AT[0] < FILM_AT[0] + FILM_SIZE[0] - 64
    assert WORKLOADS["typing"].stamp_at == STAMP_AT


@pytest.mark.parametrize("quality", [8, 31])
def test_the_counter_is_read_from_a_poor_codec(film, quality):
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height = FILM_SIZE
    context.pix_fmt, context.time_base = "yuvj420p", Fraction(1, 30)
    context.options = {"qmin": str(quality), "qmax": str(quality)}
    for number in (1, 500, 65_535):
        frame = av.VideoFrame.from_ndarray(stamped(film, number), format="bgra")
        (packet,) = context.encode(frame.reformat(format="yuvj420p"))
        decoder = av.CodecContext.create("mjpeg", "r")
        (shown,) = decoder.decode(packet)
        assert counter_of(shown.to_ndarray(format="bgra")) == number


def test_a_sample_is_compared_with_the_picture_of_its_own_counter(film):
    equal = judge_samples({4: stamped(film, 4), 5: stamped(film, 5)}, film)
    assert (equal.samples, equal.psnr_db, equal.worst_psnr_db) == (2, None, None)
    late = judge_samples({5: stamped(film, 4)}, film)
    assert late.psnr_db is not None
    assert late.psnr_db < 35


def test_the_worst_sample_is_told_beside_the_mean(film):
    off = stamped(film, 7).astype(int)
    off[100:, :, :3] += 10
    found = judge_samples({6: stamped(film, 6), 7: np.clip(off, 0, 255).astype(np.uint8)}, film)
    assert found.psnr_db > found.worst_psnr_db + 2.5


def test_nothing_seen_of_a_film_is_no_quality(film):
    assert judge_samples({}, film).samples == 0


def test_the_rest_is_everything_but_the_film():
    screen = np.full((1080, 1920, 3), 9, np.uint8)
    rest = without_film(screen)
    assert (rest == 0).sum() == FILM_SIZE[0] * FILM_SIZE[1] * 3
    assert (screen == 9).all()


def test_the_watcher_reads_the_counter_of_the_film_and_keeps_whole_pictures_of_it(film):
    look = FakeLook(film)
    kept = Film(look)
    seen, _ = watch(look, 50, float("inf"), kept)
    assert [counter for counter, _ in seen][-3:] == [48, 49, 50]
    assert list(kept.samples) == ["30", "45"]
    assert judge_samples({int(name): shown for name, shown in kept.samples.items()}, film).psnr_db is None
