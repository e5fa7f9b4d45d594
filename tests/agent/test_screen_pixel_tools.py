"""C and numpy find the same changes and write the same bytes; C finds what moved in any direction, too."""

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.capabilities.screen import tiles
from agent.capabilities.screen.native import Native, load
from agent.capabilities.screen.pixel_tools import GAINED_PIXELS_MIN, NativePixels, NumpyPixels
from agent.platform.interfaces import Area
from protocol.limits import PICTURE_PART_TILES_LIMIT
from tests.support.picture_decoder import bgr_of, residues_of

NATIVE = load()
needs_c = pytest.mark.skipif(
    NATIVE is None, reason="needs a C compiler when the package is installed: gcc, python3-dev"
)
SIDES = st.integers(1, 260)
SEEDS = st.integers(0, 1 << 32)


def native() -> Native:
    assert NATIVE is not None
    return NATIVE


def noise(height: int, width: int, seed: int) -> np.ndarray:
    """Random pixels, with the byte that has no meaning random, too."""
    return np.random.default_rng(seed).integers(0, 1 << 32, (height, width), dtype=np.uint32)


def shown(words: np.ndarray) -> np.ndarray:
    """What has a meaning."""
    return words & 0xFFFFFF


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler: apt-get install gcc python3-dev")
def test_the_native_part_is_built_where_there_is_a_compiler():
    assert NATIVE is not None


def scattered(width: int, height: int, seed: int) -> tuple[np.ndarray, np.ndarray, Area, np.ndarray]:
    """Before, now (of an area), the area, and a mask in it."""
    random = np.random.default_rng(seed)
    before = noise(height, width, seed) & 0xFFFFFF
    after = before.copy()
    for _ in range(random.integers(0, 6)):
        y, x = random.integers(0, height), random.integers(0, width)
        part = after[y : y + random.integers(1, 90), x : x + random.integers(1, 90)]
        part ^= np.uint32(random.integers(0, 1 << 24))
    marked = random.random(tiles.tile_mask(width, height).shape) < 0.6
    area = tiles.bounds(marked, width, height) or Area(0, 0, min(width, 64), min(height, 64))
    return before, after[area.y : area.bottom, area.x : area.right].copy(), area, marked


@needs_c
@given(SIDES, SIDES, SEEDS)
def test_both_find_the_same_changed_tiles(width, height, seed):
    before, now, area, marked = scattered(width, height, seed)
    by_c, by_numpy = NativePixels(native(), width, height), NumpyPixels(width, height)
    found = by_c.changed(before, now, area, marked)
    assert np.array_equal(found, by_numpy.changed(before, now, area, marked))


@needs_c
@given(SIDES, SIDES, SEEDS)
def test_rectangles_hold_all_that_differs_and_end_where_something_does(width, height, seed):
    before, now, area, marked = scattered(width, height, seed)
    by_c = NativePixels(native(), width, height)
    changed = by_c.changed(before, now, area, marked)
    whole = before.copy()
    whole[area.y : area.bottom, area.x : area.right] = now
    differs = before != whole
    covered = np.zeros_like(differs)
    for one in by_c.rectangles(changed, before, now, area):
        inside = (slice(one.y, one.bottom), slice(one.x, one.right))
        assert not covered[inside].any()
        covered[inside] = True
        assert one.y // 64 == (one.bottom - 1) // 64
        assert differs[inside][[0, -1]].any(axis=1).all()
        assert differs[inside][:, [0, -1]].any(axis=0).all()
    in_tiles = np.repeat(np.repeat(changed, 64, 0), 64, 1)[:height, :width]
    assert np.array_equal(covered & differs, differs & in_tiles)
    assert not (covered & ~in_tiles).any()


@needs_c
def test_a_rectangle_is_never_larger_than_a_part():
    width = 64 * (PICTURE_PART_TILES_LIMIT + 10)
    by_c = NativePixels(native(), width, 64)
    before, now = np.zeros((64, width), np.uint32), np.ones((64, width), np.uint32)
    marked = tiles.tile_mask(width, 64)
    marked[:] = True
    widths = [one.width for one in by_c.rectangles(marked, before, now, Area(0, 0, width, 64))]
    assert widths == [64 * PICTURE_PART_TILES_LIMIT, 640]


@needs_c
def test_the_byte_without_a_meaning_is_no_change():
    before = noise(64, 64, 1)
    by_c = NativePixels(native(), 64, 64)
    marked = np.ones((1, 1), np.bool_)
    assert not by_c.changed(before, before ^ np.uint32(0x7F000000), Area(0, 0, 64, 64), marked).any()


@pytest.mark.parametrize("kind", ["numpy", pytest.param("c", marks=needs_c)])
@given(width=SIDES, height=st.integers(1, 40), seed=SEEDS)
def test_residues_are_what_the_protocol_says_and_give_the_pixels_back(kind, width, height, seed):
    words = noise(height, width + 3, seed)[:, 3:]
    made = NumpyPixels(width, height) if kind == "numpy" else NativePixels(native(), width, height)
    out = np.zeros(width * height * 3 + 1, np.uint8)
    assert made.write(words, out) == width * height * 3
    bgr = np.ascontiguousarray(words).view(np.uint8).reshape(height, width, 4)[..., :3]
    assert out[:-1].tobytes() == residues_of(bgr)
    assert bgr_of(out[:-1].reshape(height, width, 3)).tobytes() == bgr.tobytes()


def glyphs(height: int, width: int, seed: int) -> np.ndarray:
    """Something with edges, as windows have."""
    random = np.random.default_rng(seed)
    small = random.random((height // 5 + 1, width // 3 + 1)) > 0.5
    return np.repeat(np.repeat(small, 5, 0), 3, 1)[:height, :width] * np.uint32(0xD0D0D0)


def desktop(at: tuple[int, int], seed: int = 3) -> np.ndarray:
    """A window of 400 x 300 on a wallpaper."""
    words = glyphs(700, 1000, seed)
    words[at[1] : at[1] + 300, at[0] : at[0] + 400] = glyphs(300, 400, seed + 1)
    return words


@needs_c
@pytest.mark.parametrize("step", [(1, 1), (13, 7), (-9, 21), (-40, -33), (30, 0), (0, -17)])
def test_a_dragged_window_is_one_copy_whatever_its_way(step):
    before, now = desktop((300, 200)), desktop((300 + step[0], 200 + step[1]))
    by_c = NativePixels(native(), 1000, 700)
    marked = np.ones(tiles.tile_mask(1000, 700).shape, np.bool_)
    (copy,) = by_c.find(before, now, Area(0, 0, 1000, 700), marked)
    assert (copy.to_x - copy.x, copy.to_y - copy.y) == step
    assert (copy.width, copy.height) == (400, 300)
    assert (before != now).sum() <= 400 * abs(step[1]) + 300 * abs(step[0])


@needs_c
def test_a_whole_screen_that_pans_is_one_copy():
    world = glyphs(900, 1300, 5)
    before, now = world[:700, :1000].copy(), world[9:709, 16:1016].copy()
    by_c = NativePixels(native(), 1000, 700)
    marked = np.ones(tiles.tile_mask(1000, 700).shape, np.bool_)
    (copy,) = by_c.find(before, now, Area(0, 0, 1000, 700), marked)
    assert (copy.x, copy.y, copy.to_x, copy.to_y, copy.width, copy.height) == (16, 9, 0, 0, 984, 691)


def contours(height: int, width: int) -> np.ndarray:
    """Something smooth, as a wallpaper is: few pixels differ from the one beside them."""
    y, x = np.mgrid[:height, :width]
    waves = np.sin(x / 90 + np.cos(y / 70)) + np.cos(y / 110 + x / 200)
    return (64 + 30 * waves).astype(np.uint32) * np.uint32(0x010101)


@needs_c
@pytest.mark.parametrize("step", [(16, 9), (-16, 9), (16, -9), (-16, -9), (2, 1), (-1, -2), (5, 0), (0, -5)])
def test_a_pan_around_things_that_stand_still_is_copied_but_for_these(step):
    """The copies are neighbours, and must neither grow into each other nor spoil what the next one reads."""
    world = contours(800, 1200)
    world[300:500, 420:700] = glyphs(200, 280, 9)
    before = world[50:750, 100:1100].copy()
    now = world[50 + step[1] : 750 + step[1], 100 + step[0] : 1100 + step[0]].copy()
    for y, x in ((0, 480), (200, 100), (420, 800), (600, 300)):
        before[y : y + 60, x : x + 120] = now[y : y + 60, x : x + 120] = 0x123456
    by_c = NativePixels(native(), 1000, 700)
    marked = np.ones(tiles.tile_mask(1000, 700).shape, np.bool_)
    assert by_c.find(before, now, Area(0, 0, 1000, 700), marked)
    at_edges = 1000 * abs(step[1]) + 700 * abs(step[0])
    assert (before != now).sum() <= at_edges + 5 * GAINED_PIXELS_MIN


WAYS = st.tuples(st.integers(-80, 80), st.integers(-80, 80))


@needs_c
@settings(max_examples=80)
@given(SEEDS, st.lists(WAYS, min_size=1, max_size=5), st.sampled_from([64, 128, 0]))
def test_copies_in_their_order_give_what_is_left_behind_and_only_right_pixels(seed, ways, first):
    """Two windows move, over each other, too; the area begins at a tile and need not be all."""
    random = np.random.default_rng(seed)
    width, height = 640 + int(random.integers(0, 64)), 500
    by_c = NativePixels(native(), width, height)
    area = Area(first, 64, width - first, height - 64)
    previous = glyphs(height, width, seed)
    places = [(200, 150), (330, 200)]
    for way in ways:
        now = glyphs(height, width, seed)
        places = [
            (x + way[0] * sign, y + way[1] * sign) for (x, y), sign in zip(places, (1, -1), strict=True)
        ]
        for index, (x, y) in enumerate(places):
            left, top = max(0, x), max(0, y)
            cut = now[top : max(0, y + 220), left : max(0, x + 260)]
            cut[...] = glyphs(220, 260, seed + index + 1)[: cut.shape[0], : cut.shape[1]]
        marked = tiles.tile_mask(width, height)
        tiles.mark(marked, [area], width, height)
        replayed = previous.copy()
        current = now[area.y : area.bottom, area.x : area.right].copy()
        copies = by_c.find(previous, current, area, marked)
        for one in copies:
            source = replayed[one.y : one.y + one.height, one.x : one.x + one.width].copy()
            assert source.shape == (one.height, one.width)
            replayed[one.to_y : one.to_y + one.height, one.to_x : one.to_x + one.width] = source
        assert np.array_equal(replayed, previous)
        if copies:
            last = copies[-1]
            place = (slice(last.to_y, last.to_y + last.height), slice(last.to_x, last.to_x + last.width))
            assert np.array_equal(shown(previous[place]), shown(now[place]))
        previous[...] = now


PAIR = np.zeros((64, 64), np.uint32)
MASK = np.ones((1, 1), np.bool_)
WRONG = {
    "another size": lambda c: c.changed_tiles(PAIR, PAIR[:32], MASK, MASK),
    "a mask of another size": lambda c: c.changed_tiles(PAIR, PAIR, np.ones((2, 1), np.bool_), MASK),
    "one dimension": lambda c: c.trimmed_rectangles(PAIR.ravel(), PAIR, MASK, 85),
    "other items": lambda c: c.trimmed_rectangles(PAIR.astype(np.uint16), PAIR, MASK, 85),
    "rows that are not contiguous": lambda c: c.write_residues(PAIR[:, ::2], np.zeros(1 << 14, np.uint8)),
    "no room": lambda c: c.write_residues(PAIR, np.zeros(64 * 64 * 3, np.uint8)),
    "rows from below": lambda c: c.write_residues(PAIR[::-1], np.zeros(1 << 14, np.uint8)),
    "no display": lambda c: c.motion(0, 64),
    "too large a display": lambda c: c.motion(1 << 15, 64),
    "too many copies": lambda c: c.find_copies(c.motion(64, 64), PAIR.copy(), PAIR, 65, 1),
    "items between two addresses": lambda c: c.write_residues(
        np.ndarray((64, 64), np.uint32, bytearray(64 * 64 * 4 + 1), 1), np.zeros(1 << 14, np.uint8)
    ),
    "no tiles": lambda c: c.trimmed_rectangles(PAIR, PAIR, MASK, 0),
    "more tiles than there are numbers for": lambda c: c.trimmed_rectangles(PAIR, PAIR, MASK, 1 << 26),
    "copies that save nothing": lambda c: c.find_copies(c.motion(64, 64), PAIR.copy(), PAIR, 16, 0),
    "something else than motion": lambda c: c.find_copies(PAIR, PAIR.copy(), PAIR, 16, 1),
}


@needs_c
@pytest.mark.parametrize("what", WRONG)
def test_wrong_arrays_are_refused_before_anything_is_read(what):
    with pytest.raises(ValueError):  # noqa: PT011 -- each has its own words
        WRONG[what](native())


@needs_c
def test_pictures_that_must_not_be_written_are_refused():
    fixed = PAIR.copy()
    fixed.flags.writeable = False
    with pytest.raises((ValueError, BufferError)):
        native().find_copies(native().motion(64, 64), fixed, PAIR, 16, 1)


@needs_c
def test_an_area_larger_than_the_display_finds_nothing():
    words = glyphs(128, 128, 9)
    assert native().find_copies(native().motion(64, 64), words.copy(), np.roll(words, 5, 0), 16, 1) == b""
