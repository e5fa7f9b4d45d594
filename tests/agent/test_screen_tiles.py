"""Which tiles changed, and how they are cut into rectangles and parts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capabilities.screen import tiles
from agent.platform.interfaces import Area
from protocol.limits import PICTURE_PART_TILES_LIMIT

SIDES = st.integers(1, 300)


@st.composite
def sizes_and_masks(draw):
    width, height = draw(SIDES), draw(SIDES)
    shape = tiles.tile_mask(width, height).shape
    bits = draw(st.lists(st.booleans(), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    return width, height, np.array(bits, np.bool_).reshape(shape)


def painted(width: int, height: int, areas: list[Area]) -> np.ndarray:
    canvas = np.zeros((height, width), np.int64)
    for area in areas:
        assert area.x >= 0
        assert area.right <= width
        assert area.y >= 0
        assert area.bottom <= height
        canvas[area.y : area.bottom, area.x : area.right] += 1
    return canvas


@given(sizes_and_masks())
def test_rectangles_cover_each_marked_tile_once_and_nothing_else(given_mask):
    width, height, mask = given_mask
    per_pixel = np.repeat(np.repeat(mask, 64, axis=0), 64, axis=1)[:height, :width]
    assert np.array_equal(painted(width, height, tiles.rectangles(mask, width, height)), per_pixel)


def test_neighbours_in_a_row_of_tiles_travel_as_one_rectangle():
    mask = tiles.tile_mask(640, 128)
    mask[0, 2:5] = mask[1, 3] = True
    assert tiles.rectangles(mask, 640, 128) == [Area(128, 0, 192, 64), Area(192, 64, 64, 64)]


def test_a_run_that_is_larger_than_a_part_is_cut():
    mask = tiles.tile_mask(16_384, 64)
    mask[:] = True
    widths = [one.width for one in tiles.rectangles(mask, 16_384, 64)]
    assert max(widths) == PICTURE_PART_TILES_LIMIT * 64
    assert sum(widths) == 16_384


@given(SIDES, SIDES, st.integers(-50, 350), st.integers(-50, 350), SIDES, SIDES)
def test_marking_an_area_marks_each_tile_that_it_touches(width, height, x, y, area_width, area_height):
    mask = tiles.tile_mask(width, height)
    area = Area(x, y, area_width, area_height)
    tiles.mark(mask, [area], width, height)
    for row, column in np.ndindex(mask.shape):
        tile = Area(column * 64, row * 64, min(64, width - column * 64), min(64, height - row * 64))
        assert mask[row, column] == (tile.common_with(area) is not None)


@given(sizes_and_masks())
def test_the_bounds_hold_every_marked_tile_and_no_empty_border(given_mask):
    width, height, mask = given_mask
    area = tiles.bounds(mask, width, height)
    if area is None:
        assert not mask.any()
        return
    rows, columns = np.nonzero(mask)
    assert (area.x, area.y) == (columns.min() * 64, rows.min() * 64)
    assert area.right == min((columns.max() + 1) * 64, width)
    assert area.bottom == min((rows.max() + 1) * 64, height)


@given(sizes_and_masks(), st.data())
def test_exactly_the_marked_tiles_with_a_changed_pixel_are_found(given_mask, data):
    width, height, marked = given_mask
    previous = np.random.default_rng(1).integers(0, 1 << 32, (height, width), dtype=np.uint32)
    current = previous.copy()
    expected = np.zeros_like(marked)
    for _ in range(data.draw(st.integers(0, 6))):
        x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        current[y, x] = previous[y, x] ^ 1
        expected[y // 64, x // 64] = marked[y // 64, x // 64]
    area = tiles.bounds(marked, width, height)
    if area is None:
        return
    cut = current[area.y : area.bottom, area.x : area.right]
    assert np.array_equal(tiles.changed(previous, cut, area, marked), expected)


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 5), st.integers(0, 5))
def test_pixels_are_written_as_bgr_whatever_the_shape_and_the_stride(width, height, left, right):
    whole = np.random.default_rng(2).integers(0, 256, (height, left + width + right, 4), dtype=np.uint8)
    words = whole.view(np.uint32).reshape(height, -1)[:, left : left + width]
    out = np.full(width * height * 3 + 1, 170, np.uint8)
    assert tiles.write_bgr(words, out) == width * height * 3
    assert np.array_equal(out[:-1].reshape(height, width, 3), whole[:, left : left + width, :3])


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (65, 1), (1920, 1080)])
def test_there_is_a_tile_for_every_pixel(size):
    width, height = size
    rows, columns = tiles.tile_mask(width, height).shape
    assert (columns - 1) * 64 < width <= columns * 64
    assert (rows - 1) * 64 < height <= rows * 64
