"""What moved is found and copied exactly; what did not move costs little and is never mistaken for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.capabilities.screen import tiles
from agent.capabilities.screen.pictures import PictureMaker
from agent.capabilities.screen.pixel_tools import NumpyPixels, PixelTools, pixel_tools
from agent.capabilities.screen.scroll import ScrollFinder, column_hashes, covered, row_hashes
from agent.platform.interfaces import Area
from protocol.limits import COPIES_PER_PICTURE_LIMIT
from protocol.messages.screen import FROM_AGENT_CODEC, Copy
from tests.support.viewer import Viewer

LINE_PIXELS = 13


@pytest.fixture(params=[pixel_tools, NumpyPixels], ids=["best", "numpy"])
def tools(request: pytest.FixtureRequest) -> Callable[[int, int], PixelTools]:
    """The best that are here, and those that are everywhere."""
    chosen: Callable[[int, int], PixelTools] = request.param
    return chosen


def text(width: int, height: int, seed: int) -> np.ndarray:
    """Lines of glyphs on black, each line different, as a terminal has them."""
    random = np.random.default_rng(seed)
    glyphs = (random.random((40, 10, 6)) > 0.6) * np.uint32(0xDDDDDD)
    words = np.zeros((height, width), np.uint32)
    for y in range(0, height - LINE_PIXELS, LINE_PIXELS):
        for x in range(0, width - 8, 8):
            words[y + 1 : y + 11, x + 1 : x + 7] = glyphs[random.integers(40)]
    return words


@dataclass
class Shown:
    """A picture maker and its viewer; `size_bytes` is what the last picture took."""

    words: np.ndarray
    tools: Callable[[int, int], PixelTools]
    viewer: Viewer = field(default_factory=Viewer)
    size_bytes: int = 0

    def __post_init__(self) -> None:
        height, width = self.words.shape
        self.maker = PictureMaker(width, height, self.tools)
        self.show(self.words)

    def show(self, words: np.ndarray, damage: Area | None = None) -> list[Copy]:
        """The copies of the next picture; the viewer must have it exactly afterwards."""
        height, width = words.shape
        self.maker.damage([damage or Area(0, 0, width, height)])
        area = self.maker.wanted()
        cut = words[area.y : area.bottom, area.x : area.right]
        pixels = np.ascontiguousarray(cut).view(np.uint8).reshape(*cut.shape, 4)
        messages = self.maker.make(pixels, area, 0)
        before = len(self.viewer.copies)
        self.size_bytes = 0
        for message in messages:
            encoded = FROM_AGENT_CODEC.encode(message)
            self.size_bytes += len(encoded)
            seen = self.viewer.show(FROM_AGENT_CODEC.decode(encoded))
            if seen:
                self.maker.seen(seen)
        self.words = words
        assert np.array_equal(self.viewer.bgr(), words.view(np.uint8).reshape(height, width, 4)[..., :3])
        return self.viewer.copies[before:]


def copied_pixels(copies: list[Copy]) -> int:
    return sum(one.width * one.height for one in copies)


def test_a_terminal_that_scrolls_is_one_copy_and_one_new_line(tools):
    long = text(800, 1200, 1)
    shown = Shown(long[:600].copy(), tools)
    shown.show(long[100:700].copy())
    assert shown.show(long[113:713].copy()) == [Copy(0, 13, 800, 587, 0, 0)]
    assert shown.size_bytes < 4_000


@pytest.mark.parametrize("lines", [1, 7, 26, 130, -1, -39])
def test_any_distance_up_or_down_is_found_at_once(tools, lines):
    long = text(640, 1000, 2)
    shown = Shown(long[300:800].copy(), tools)
    (copy,) = shown.show(long[300 + lines : 800 + lines].copy())
    assert copy.y - copy.to_y == lines
    assert copy.height == 500 - abs(lines)
    assert copy.width == 640


@pytest.mark.parametrize("columns", [3, 64, 200, -5])
def test_contents_that_move_sideways_are_found(tools, columns):
    wide = text(1400, 500, 3)
    shown = Shown(wide[:, 300:940].copy(), tools)
    (copy,) = shown.show(wide[:, 300 + columns : 940 + columns].copy())
    assert copy.x - copy.to_x == columns
    assert (copy.width, copy.height) == (640 - abs(columns), 500)


def page(offset: int) -> np.ndarray:
    """A page with a fixed header, a fixed sidebar and a scroll bar, none of which begins at a tile."""
    words = np.full((700, 1000), 0xF0F0F0, np.uint32)
    words[:] = text(1000, 700, 4)
    words[71:, 203:985] = PAGE_TEXT[offset : offset + 629]
    words[71:, 985:] = 0xC0C0C0
    words[80 + offset // 3 : 150 + offset // 3, 987:998] = 0x606060
    return words


PAGE_TEXT = text(782, 1500, 5)


def test_a_page_scrolls_between_its_fixed_header_and_sidebar(tools):
    shown = Shown(page(0), tools)
    shown.show(page(40))
    copies = shown.show(page(80))
    assert {(one.x - one.to_x, one.y - one.to_y) for one in copies} == {(0, 40)}
    assert copied_pixels(copies) > 0.95 * 782 * (629 - 40)
    assert all(one.to_y >= 71 for one in copies)


def test_two_windows_that_scroll_differently_are_two_regions(tools):
    one, other = text(300, 1200, 6), text(400, 1200, 7)

    def desk(step: int) -> np.ndarray:
        words = np.full((600, 900), 0x304050, np.uint32)
        words[50:550, 33:333] = one[step * 13 : step * 13 + 500]
        words[20:580, 410:810] = other[500 - step * 26 : 1060 - step * 26]
        return words

    shown = Shown(desk(0), tools)
    shown.show(desk(1))
    copies = shown.show(desk(2))
    assert {copy.y - copy.to_y for copy in copies} == {13, -26}
    assert copied_pixels(copies) > 0.9 * (300 * 487 + 400 * 534)


def test_one_window_scrolls_up_while_another_moves_sideways(tools):
    one, other = text(400, 1200, 8), text(1200, 512, 9)

    def desk(step: int) -> np.ndarray:
        words = np.full((600, 900), 0x304050, np.uint32)
        words[64:576, :400] = one[step * 13 : step * 13 + 512]
        words[64:576, 420:900] = other[:, step * 20 : step * 20 + 480]
        return words

    shown = Shown(desk(0), tools)
    copies = shown.show(desk(1))
    assert {(copy.x - copy.to_x, copy.y - copy.to_y) for copy in copies} >= {(0, 13), (20, 0)}


def test_a_whole_number_of_screens_of_the_same_colour_moves_nothing(tools):
    shown = Shown(np.zeros((600, 800), np.uint32), tools)
    assert shown.show(np.full((600, 800), 0xFFFFFF, np.uint32)) == []


def test_noise_as_in_a_film_gives_no_copies(tools):
    random = np.random.default_rng(10)
    shown = Shown(random.integers(0, 1 << 24, (600, 800), dtype=np.uint32), tools)
    for _ in range(3):
        assert shown.show(random.integers(0, 1 << 24, (600, 800), dtype=np.uint32)) == []


def test_scrolling_after_a_film_is_found_within_eight_pictures(tools):
    random = np.random.default_rng(21)
    shown = Shown(random.integers(0, 1 << 24, (600, 800), dtype=np.uint32), tools)
    for _ in range(20):
        shown.show(random.integers(0, 1 << 24, (600, 800), dtype=np.uint32))
    long = text(800, 1200, 22)
    shown.show(long[:600].copy())
    assert any(shown.show(long[13 * step : 13 * step + 600].copy()) for step in range(1, 9))


def test_a_few_changed_tiles_are_not_searched(tools):
    shown = Shown(text(800, 600, 11), tools)
    shown.show(text(800, 600, 12))
    moved = shown.words.copy()
    moved[64:128, 64:256] = shown.words[77:141, 64:256]
    assert shown.show(moved, Area(64, 64, 192, 64)) == []


def test_copies_alone_end_with_one_empty_part(tools):
    words = text(640, 640, 13)
    shown = Shown(words, tools)
    above = words.copy()
    above[:320] = words[320:]
    assert shown.show(above) == [Copy(0, 320, 640, 320, 0, 0)]
    assert shown.viewer.pictures[-1].rectangles == []
    assert shown.viewer.pictures[-1].compressed == b""
    assert shown.viewer.pictures[-1].is_last


WIDTHS, HEIGHTS = st.sampled_from([640, 641, 700, 333]), st.sampled_from([512, 500, 449])
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("down"), st.integers(-60, 60), st.integers(0, 200), st.integers(0, 150)),
        st.tuples(st.just("across"), st.integers(-60, 60), st.integers(0, 200), st.integers(0, 150)),
        st.tuples(st.just("draw"), st.integers(1, 300), st.integers(0, 320), st.integers(0, 440)),
        st.tuples(st.just("hold"), st.just(0), st.just(0), st.just(0)),
    ),
    max_size=8,
)


def moved(words: np.ndarray, step: tuple[str, int, int, int], seed: int) -> np.ndarray:
    kind, amount, x, y = step
    after = words.copy()
    if kind == "draw":
        part = after[y : y + amount, x : x + amount]
        part[...] = np.random.default_rng(seed).integers(0, 1 << 24, part.shape, dtype=np.uint32)
    elif kind != "hold":
        part = np.roll(words[y : y + 300, x : x + 400], amount, axis=0 if kind == "down" else 1)
        after[y : y + 300, x : x + 400] = part
    return after


@settings(max_examples=60)
@given(
    st.sampled_from([pixel_tools, NumpyPixels]),
    WIDTHS,
    HEIGHTS,
    MOVES,
    st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_the_viewer_equals_the_screen_whatever_moved_and_was_drawn(tools, width, height, steps, are_shown):
    words = text(width, height, 14)
    shown = Shown(words, tools)
    for seed, (step, is_shown) in enumerate(zip(steps, are_shown, strict=False)):
        words = moved(words, step, seed)
        if is_shown:
            copies = shown.show(words)
            assert len(copies) <= COPIES_PER_PICTURE_LIMIT
    shown.show(words)


@settings(max_examples=60)
@given(WIDTHS, HEIGHTS, MOVES)
def test_the_finder_carries_out_what_it_says(width, height, steps):
    """Its copies, in order, on what was there before, give what it leaves behind; and it is right there."""
    finder, previous = ScrollFinder(width, height), text(width, height, 15)
    for seed, step in enumerate(steps):
        current = moved(previous, step, seed)
        expected, before = previous.copy(), previous.copy()
        marked = tiles.tile_mask(width, height)
        marked[:] = True
        copies = finder.find(previous, current, Area(0, 0, width, height), marked)
        for one in copies:
            source = expected[one.y : one.y + one.height, one.x : one.x + one.width].copy()
            expected[one.to_y : one.to_y + one.height, one.to_x : one.to_x + one.width] = source
        assert np.array_equal(previous, expected)
        inside = np.repeat(np.repeat(covered(copies, marked, width, height), 64, 0), 64, 1)[:height, :width]
        assert np.array_equal(previous[inside], current[inside])
        assert copies or np.array_equal(previous, before)
        previous[:] = current


def test_a_tile_that_was_held_back_spoils_nothing():
    words = text(640, 500, 16)
    finder, previous = ScrollFinder(640, 500), words.copy()
    marked = tiles.tile_mask(640, 500)
    marked[:] = True
    area = Area(0, 0, 640, 500)
    finder.find(previous, text(640, 500, 17), area, marked)  # found nothing, and nothing of it was sent
    finder.forget(marked)
    after = np.roll(words, -13, axis=0)
    assert copied_pixels(finder.find(previous, after, area, marked)) == 640 * 487


@pytest.mark.parametrize("width", [64, 65, 127, 640])
def test_equal_lines_have_equal_hashes_whatever_is_beside_them(width):
    words = text(width, 200, 18)
    rows, columns = row_hashes(words), column_hashes(words)
    assert rows.shape == (200, width // 64)
    assert columns.shape == (width, 3)
    assert np.array_equal(row_hashes(words[50:])[:10], rows[50:60])
    assert np.array_equal(column_hashes(words[64:])[:, 0], columns[:, 1])
    changed = words.copy()
    changed[70, 5] ^= 1
    assert (row_hashes(changed) != rows).sum() == 1
    assert (column_hashes(changed) != columns).sum() == 1


@pytest.mark.parametrize("kind", ["noise", "moving window", "other text"])
def test_a_search_in_vain_takes_milliseconds_at_1080p(kind):
    """The bound is generous for a busy machine: 3 ms were measured alone."""
    random = np.random.default_rng(19)
    background = text(1920, 1080, 20)

    def picture(step: int) -> np.ndarray:
        if kind == "noise":
            return random.integers(0, 1 << 24, (1080, 1920), dtype=np.uint32)
        if kind == "other text":
            return np.ascontiguousarray(background[:, ::-1] if step % 2 else background)
        words = background.copy()
        words[50 + 5 * step : 550 + 5 * step, 60 + 9 * step : 900 + 9 * step] = 0x808080
        return words

    finder, previous = ScrollFinder(1920, 1080), picture(0)
    marked = tiles.tile_mask(1920, 1080)
    marked[:] = True
    took_s = []
    for step in range(1, 8):
        current = picture(step)
        started_s = time.process_time()
        finder.find(previous, current, Area(0, 0, 1920, 1080), marked)
        took_s.append(time.process_time() - started_s)
        previous[:] = current
    assert min(took_s) < 0.010
