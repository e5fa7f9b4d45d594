"""Contents that moved up, down, left or right: found by hashes, proved by comparing every pixel.

A display is cut into strips, one tile wide. In each strip every line of 64 pixels has a hash; a line that
is to be seen once before and once now votes for the way between the two. The ways with most votes are
tried on all strips at once, and what agrees is joined into rectangles. Nothing here can show a wrong
pixel: a hash only proposes, and what is copied was compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agent.capabilities.screen.tiles import Mask, Words
from agent.platform.interfaces import Area
from protocol.limits import COPIES_PER_PICTURE_LIMIT, TILE_PIXELS
from protocol.messages.screen import Copy

CHANGED_TILES_MIN = 8
"""Less than that costs fewer bytes as pixels than a search costs time."""
GAINED_LINES_MIN = 4 * TILE_PIXELS
"""What a copy must save, in lines of one strip: four tiles."""
BLOCK_LINES_MIN = 8
VOTES_MIN = 6
OFFSETS_TRIED_LIMIT = 4
STEADY_SHARE = 0.8
"""The offset of the picture before is taken without a vote if it explains this much of what changed."""
VAIN_LIMIT = 8
"""So many searches without a copy, as in a film, and only every VAIN_LIMIT-th picture is searched."""
REST_SHARE = 0.25
"""Ways to the left and right are looked for if more than this has moved neither up nor down."""

INDEX_BITS = 16
"""Of a vote: a line's number (below DISPLAY_SIDE_LIMIT_PIXELS) and which of the two pictures it is in."""
PAIR_BASE, PIXEL_BASE = 6364136223846793005, 1664525
"""Multipliers of generators whose numbers spread well (Knuth, TAOCP 2, 3.3.4, and Numerical Recipes, 7.1)."""
STRIP_SALT = np.uint64(0x9E3779B97F4A7C15)
"""Times its number, for each strip: equal lines of different strips are different. 2^64 / golden ratio."""

Hashes = NDArray[np.uint64]
"""One number for each line (first axis) of each strip (second axis)."""

# powers of an odd number: a polynomial hash (Karp and Rabin 1987)
_PAIR_WEIGHTS = np.cumprod(np.full(TILE_PIXELS // 2, PAIR_BASE, dtype=np.uint64))
_PIXEL_WEIGHTS = np.cumprod(np.full(TILE_PIXELS, PIXEL_BASE, dtype=np.uint32), dtype=np.uint32)


@dataclass(frozen=True, slots=True)
class _Block:
    """Lines `first` to `end` of strips (once proved: of pixels across) `left` to `right`.

    Before, they were `offset` lines further on.
    """

    offset: int
    first: int
    end: int
    left: int
    right: int

    @property
    def size(self) -> int:
        return (self.end - self.first) * (self.right - self.left)


@dataclass(frozen=True, slots=True)
class _Plane:
    """An area, turned so that contents move along the first axis. `before` and `old` are kept up to date."""

    before: Words
    now: Words
    old: Hashes
    new: Hashes

    def is_new(self) -> Mask:
        different: Mask = self.old != self.new
        return different

    def equal(self, offset: int) -> tuple[slice, Mask]:
        """The lines that have a counterpart at this offset, and where both have the same hash."""
        length = len(self.new)
        lines = slice(max(0, -offset), min(length, length - offset))
        found: Mask = self.old[lines.start + offset : lines.stop + offset] == self.new[lines]
        return lines, found

    def gain(self, offset: int, is_new: Mask) -> int:
        lines, equal = self.equal(offset)
        return int(np.count_nonzero(equal & is_new[lines]))


class SearchPace:
    """When to search: where nothing moves, as in a film, only every VAIN_LIMIT-th picture."""

    def __init__(self) -> None:
        self._vain_count = 0

    def is_due(self) -> bool:
        """Whether this picture is to be searched; counts it."""
        if self._vain_count < VAIN_LIMIT:
            return True
        self._vain_count += 1
        return self._vain_count % VAIN_LIMIT == 0

    def searched(self, *, is_in_vain: bool) -> None:
        """What came of it."""
        self._vain_count = self._vain_count + 1 if is_in_vain else 0


class ScrollFinder:
    """Of one display. Remembers the hashes of what the viewer has, and the ways that contents last moved."""

    def __init__(self, width: int, height: int) -> None:
        self._table: Hashes = np.zeros((height, width // TILE_PIXELS), np.uint64)
        self._stale: Mask = np.ones((-(-height // TILE_PIXELS), width // TILE_PIXELS), np.bool_)
        self._last_down: list[int] = []
        self._last_across: list[int] = []
        self._pace = SearchPace()

    def find(self, previous: Words, current: Words, area: Area, marked: Mask) -> list[Copy]:
        """The copies that save most; `previous` has them carried out when this returns.

        `previous` is the whole display, `current` only `area` of it: what `tiles.bounds` said of the
        `marked` tiles, which may have changed. Afterwards the caller makes both equal in all of these, or
        names the others to `forget`.
        """
        if np.count_nonzero(marked) < CHANGED_TILES_MIN or not self._pace.is_due():
            self.forget(marked)
            return []
        before = previous[area.y : area.bottom, area.x : area.right]
        down = self._down(before, current, area)
        count = np.count_nonzero(down.is_new())
        blocks = _carried_over(down, self._last_down, COPIES_PER_PICTURE_LIMIT)
        self._last_down = _offsets(blocks)
        copies = [_copy_down(block, area) for block in blocks]
        if np.count_nonzero(down.is_new()) > REST_SHARE * count:
            across = _Plane(before.T, current.T, column_hashes(before), column_hashes(current))
            blocks = _carried_over(across, self._last_across, COPIES_PER_PICTURE_LIMIT - len(copies))
            self._last_across = _offsets(blocks)
            copies += [_copy_across(block, area) for block in blocks]
        self._keep(area, down.new)
        if copies or count >= GAINED_LINES_MIN:
            self._pace.searched(is_in_vain=not copies)
        return copies

    def forget(self, tiles: Mask) -> None:
        """The viewer will not have, or no longer has, what `find` last saw in these tiles."""
        self._stale |= tiles[:, : self._stale.shape[1]]

    def _down(self, before: Words, now: Words, area: Area) -> _Plane:
        left, right = area.x // TILE_PIXELS, area.right // TILE_PIXELS
        old = self._table[area.y : area.bottom, left:right]
        if self._stale[_tile_rows(area), left:right].any():
            old[...] = row_hashes(before)
        return _Plane(before, now, old, row_hashes(now))

    def _keep(self, area: Area, new: Hashes) -> None:
        left, right = area.x // TILE_PIXELS, area.right // TILE_PIXELS
        self._table[area.y : area.bottom, left:right] = new
        self._stale[_tile_rows(area), left:right] = False


def row_hashes(words: Words) -> Hashes:
    """Of each row in strips of 64 columns, from the left; what is left over at the right has none."""
    height, strips = words.shape[0], words.shape[1] // TILE_PIXELS
    pairs = words[:, : strips * TILE_PIXELS].view(np.uint64).reshape(height, strips, TILE_PIXELS // 2)
    hashes: Hashes = np.einsum("rsk,k->rs", pairs, _PAIR_WEIGHTS)
    return hashes


def column_hashes(words: Words) -> Hashes:
    """Of each column in strips of 64 rows, from the top; columns along the first axis."""
    strips, width = words.shape[0] // TILE_PIXELS, words.shape[1]
    bands = words[: strips * TILE_PIXELS].reshape(strips, TILE_PIXELS, width)
    hashes: Hashes = np.einsum("skc,k->cs", bands, _PIXEL_WEIGHTS).astype(np.uint64)
    return hashes << np.uint64(32)


def covered(copies: Iterable[Copy], marked: Mask, width: int, height: int) -> Mask:
    """The tiles that are wholly inside of a copy's target."""
    inside = np.zeros_like(marked)
    for one in copies:
        # a tile at the edge of the display is whole when it reaches the edge
        right = marked.shape[1] if one.to_x + one.width == width else (one.to_x + one.width) // TILE_PIXELS
        end = marked.shape[0] if one.to_y + one.height == height else (one.to_y + one.height) // TILE_PIXELS
        inside[-(-one.to_y // TILE_PIXELS) : end, -(-one.to_x // TILE_PIXELS) : right] = True
    return inside


def _tile_rows(area: Area) -> slice:
    return slice(area.y // TILE_PIXELS, -(-area.bottom // TILE_PIXELS))


def _copy_down(block: _Block, area: Area) -> Copy:
    x, y = area.x + block.left, area.y + block.first
    return Copy(x, y + block.offset, block.right - block.left, block.end - block.first, x, y)


def _copy_across(block: _Block, area: Area) -> Copy:
    x, y = area.x + block.first, area.y + block.left
    return Copy(x + block.offset, y, block.end - block.first, block.right - block.left, x, y)


def _offsets(blocks: Iterable[_Block]) -> list[int]:
    return list({block.offset: None for block in blocks})


def _carried_over(plane: _Plane, last: list[int], limit: int) -> list[_Block]:
    """Blocks in the order in which they are to be copied; each one is in `before` already."""
    copied: list[_Block] = []
    offsets = _candidates(plane, last)
    while offsets:
        is_new = plane.is_new()
        gain, best = max((plane.gain(offset, is_new), offset) for offset in offsets)
        if gain < GAINED_LINES_MIN:
            break
        offsets.remove(best)
        # contents that move up are copied from the top, so that no copy overwrites what a later one needs
        for block in sorted(_blocks(plane, best), key=lambda one: one.first * (1 if best > 0 else -1)):
            proved = _carry_over(plane, block) if len(copied) < limit else None
            if proved is not None:
                copied.append(proved)
    return copied


def _candidates(plane: _Plane, last: list[int]) -> list[int]:
    is_new = plane.is_new()
    wanted = int(np.count_nonzero(is_new))
    if wanted < GAINED_LINES_MIN:
        return []
    usual = [offset for offset in last if abs(offset) < len(plane.new)]
    if sum(plane.gain(offset, is_new) for offset in usual) >= STEADY_SHARE * wanted:
        return usual
    return list(dict.fromkeys([*usual, *_voted(plane, is_new)]))


def _voted(plane: _Plane, is_new: Mask) -> list[int]:
    """The offsets between lines that are there exactly once before and once now, most frequent first."""
    length, strips = plane.new.shape
    low = np.uint64((1 << INDEX_BITS) - 1)
    bit_now = np.uint64(1 << (INDEX_BITS - 1))
    salt = np.arange(strips, dtype=np.uint64) * STRIP_SALT
    line = np.arange(length, dtype=np.uint64)[:, None]
    was = ((plane.old + salt) & ~low) | line
    comes = ((plane.new + salt) & ~low) | line | bit_now
    sorted_keys = np.sort(np.concatenate([was.ravel(), comes[is_new]]))
    is_same = np.diff(sorted_keys & ~low) == 0
    apart = np.concatenate([[False], is_same, [False]])
    is_pair = is_same & ~apart[:-2] & ~apart[2:]
    first, second = sorted_keys[:-1][is_pair] & low, sorted_keys[1:][is_pair] & low
    crosses = (first < bit_now) & (second >= bit_now)
    places = first[crosses].astype(np.int64) - (second[crosses] - bit_now).astype(np.int64)
    votes = np.bincount(places + length, minlength=2 * length)
    votes[length] = 0
    best = np.argsort(votes)[: -OFFSETS_TRIED_LIMIT - 1 : -1]
    return [int(place) - length for place in best if votes[place] >= VOTES_MIN]


def _blocks(plane: _Plane, offset: int) -> list[_Block]:
    """Disjoint rectangles of lines and strips that agree at this offset, and save enough."""
    lines, found = plane.equal(offset)
    equal = np.zeros_like(plane.is_new())
    equal[lines] = found
    useful = equal & plane.is_new()
    blocks: list[_Block] = []
    for _ in range(COPIES_PER_PICTURE_LIMIT):
        gains = np.add.reduce(useful.view(np.uint8), axis=0, dtype=np.uint16)
        strip = int(gains.argmax())
        if gains[strip] < BLOCK_LINES_MIN or gains.sum() < GAINED_LINES_MIN:
            break
        first, end = _longest_run(equal[:, strip], useful[:, strip])
        block = _widened(equal, _Block(offset, first, end, strip, strip + 1))
        inside = (slice(block.first, block.end), slice(block.left, block.right))
        if np.count_nonzero(useful[inside]) >= GAINED_LINES_MIN:
            blocks.append(block)
            equal[inside] = False
            useful[inside] = False
        else:
            useful[:, strip] = False
    return blocks


def _longest_run(equal: NDArray[np.bool_], useful: NDArray[np.bool_]) -> tuple[int, int]:
    """First line and end of the run of equal lines that holds most useful ones."""
    step = np.diff(equal.view(np.int8), prepend=0, append=0)
    starts, ends = np.flatnonzero(step == 1), np.flatnonzero(step == -1)
    if not starts.size:
        return 0, 0
    total = np.concatenate([[0], np.cumsum(useful)])
    best = int((total[ends] - total[starts]).argmax())
    return int(starts[best]), int(ends[best])


def _widened(equal: Mask, block: _Block) -> _Block:
    """More strips to both sides, also with fewer lines where that makes the block larger."""
    while True:
        block = _with_equal_neighbours(equal, block)
        options = [
            _narrowed(equal, block, strip)
            for strip in (block.left - 1, block.right)
            if 0 <= strip < equal.shape[1]
        ]
        larger = [option for option in options if option.size > block.size]
        if not larger:
            return block
        block = max(larger, key=lambda option: option.size)


def _with_equal_neighbours(equal: Mask, block: _Block) -> _Block:
    is_whole: NDArray[np.bool_] = np.logical_and.reduce(equal[block.first : block.end], axis=0)
    left, right = block.left, block.right
    left -= _count_true(is_whole[:left][::-1])
    right += _count_true(is_whole[right:])
    return replace(block, left=left, right=right)


def _narrowed(equal: Mask, block: _Block, strip: int) -> _Block:
    column = equal[block.first : block.end, strip]
    first, end = _longest_run(column, column)
    return replace(
        block,
        first=block.first + first,
        end=block.first + end,
        left=min(block.left, strip),
        right=max(block.right, strip + 1),
    )


def _carry_over(plane: _Plane, block: _Block) -> _Block | None:
    """Compares every pixel, and copies; the block in pixels, wider than its strips or with a part missing.

    A band at a time, so that it is still in the cache when it is copied. Ends at the first band that differs
    after equal ones: hashes, or an earlier copy, may have misled us.
    """
    proved: list[_Block] = []
    for band in _bands(plane, _in_pixels(plane, block)):
        across = slice(band.left, band.right)
        before = plane.before[band.first + band.offset : band.end + band.offset, across]
        now = plane.now[band.first : band.end, across]
        if np.array_equal(before, now):
            plane.before[band.first : band.end, across] = now
            proved.append(band)
        elif proved:
            break
    if not proved:
        return None
    first, end = min(band.first for band in proved), max(band.end for band in proved)
    left, right = min(band.left for band in proved), max(band.right for band in proved)
    whole = (slice(first, end), slice(-(-left // TILE_PIXELS), right // TILE_PIXELS))
    plane.old[whole] = plane.new[whole]
    return _Block(block.offset, first, end, left, right)


def _bands(plane: _Plane, block: _Block) -> Iterator[_Block]:
    """Rows as they are in memory; in such an order that none is overwritten before it was compared."""
    if plane.now.strides[0] < plane.now.strides[1]:
        for left in range(block.left, block.right, TILE_PIXELS):
            right = min(left + TILE_PIXELS, block.right)
            yield _Block(block.offset, block.first, block.end, left, right)
        return
    tops = range(block.first, block.end, TILE_PIXELS)
    for top in tops if block.offset > 0 else reversed(tops):
        yield _Block(block.offset, top, min(top + TILE_PIXELS, block.end), block.left, block.right)


def _in_pixels(plane: _Plane, block: _Block) -> _Block:
    """From strips to pixels; at both sides as many more as agree, for what does not end with a strip."""
    left, right = block.left * TILE_PIXELS, block.right * TILE_PIXELS
    breadth = plane.now.shape[1]
    far_left, far_right = max(0, left - TILE_PIXELS), min(breadth, right + TILE_PIXELS)
    before = plane.before[block.first + block.offset : block.end + block.offset]
    now = plane.now[block.first : block.end]

    def agreeing(columns: slice) -> NDArray[np.bool_]:
        agree: NDArray[np.bool_] = np.logical_and.reduce(before[:, columns] == now[:, columns], axis=0)
        return agree

    left -= _count_true(agreeing(slice(far_left, left))[::-1])
    right += _count_true(agreeing(slice(right, far_right)))
    return replace(block, left=left, right=right)


def _count_true(flags: NDArray[np.bool_]) -> int:
    """How many at the start."""
    return int(flags.size if flags.all() else flags.argmin())
