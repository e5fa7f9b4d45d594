"""The counter in the picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.stamp import CELL_PX, COUNTER_LIMIT, HEIGHT_PX, WIDTH_PX, crc8, draw_stamp, read_stamp


@given(st.integers(0, COUNTER_LIMIT - 1))
def test_every_counter_is_read_back(counter):
    assert read_stamp(draw_stamp(counter)) == counter


@given(st.integers(0, COUNTER_LIMIT - 1), st.integers(0, 2**32 - 1))
def test_noise_of_a_poor_codec_changes_nothing(counter, seed):
    noise = np.random.default_rng(seed).normal(0, 40, (HEIGHT_PX, WIDTH_PX, 1))
    noisy = np.clip(draw_stamp(counter) + noise, 0, 255).astype(np.uint8)
    assert read_stamp(noisy) == counter


def test_less_contrast_and_blurred_edges_change_nothing():
    drawn = draw_stamp(4711).astype(np.float64) * 0.86 + 16
    blurred = (drawn + np.roll(drawn, 1, 1) + np.roll(drawn, -1, 1)) / 3
    assert read_stamp(blurred.astype(np.uint8)) == 4711


def test_the_upper_half_of_one_and_the_lower_of_another_are_no_counter():
    """A torn picture must not be taken for one that was never drawn."""
    wrong = 0
    for counter in range(500):
        torn = draw_stamp(counter)
        torn[HEIGHT_PX // 2 :] = draw_stamp(counter + 1)[HEIGHT_PX // 2 :]
        wrong += read_stamp(torn) not in (None, counter, counter + 1)
    assert wrong <= 5


@pytest.mark.parametrize("level", [0, 90, 255])
def test_an_even_surface_is_no_counter(level):
    assert read_stamp(np.full((HEIGHT_PX, WIDTH_PX, 4), level, np.uint8)) is None


def test_a_picture_moved_by_a_cell_is_no_counter():
    assert read_stamp(np.roll(draw_stamp(1234), CELL_PX, 1)) != 1234


def test_the_checksum_is_the_published_one():
    """CRC-8/SMBUS: its check value is that of "123456789"; two bytes of it here, worked by hand."""
    assert (crc8(0), crc8(1), crc8(0x3132)) == (0x00, 0x07, 0x72)
