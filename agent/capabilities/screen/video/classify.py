"""Which tiles are video: they change often, and what changes in them compresses badly (sans-I/O).

Changes are counted as the source reports them, so that a slow link, on which few pictures are made, hides
nothing. A tile counts only if most pictures still had to carry it after copies: contents that move as a whole
are copied, and contents that compress well are cheaper exact. Times are seconds of one monotonic clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import zstandard
from numpy.typing import NDArray

from agent.capabilities.screen.tiles import Mask, Words, write_bgr
from agent.platform.interfaces import Area
from protocol.limits import TILE_PIXELS

CHANGES_MIN = 5
CHANGES_WITHIN_S = 0.5
"""A film has 12 to 30 a half second, but exact pictures of a large one leave time for few looks at it."""
CARRIED_MIN = 2
CARRIED_WITHIN_S = 1.0
CARRIED_SHARE = 0.5
"""Of the pictures for which a tile was read: what is panned between two slides is carried once a slide."""
BAD_SHARE = 0.35
"""Compressed bytes per raw byte of what changed, as pixels: text has 0.05 to 0.24, what a film's decoder made
0.44 to 0.6, a photograph 0.5 to 0.9. As residues these are nearer to each other, up to 0.24 and from 0.27."""
TILES_MIN = 6
PIXELS_MIN = 128 * 128
SIDE_MIN_PIXELS = 96
"""Less is the edge of something that is panned: new there, and copied ever after."""
BOX_SHARE = 0.5
"""How much of the box around them bad tiles must fill: else they are a crowd of small things."""
MOST_SHARE = 0.5
ALIGNMENT_PIXELS = 16
MEASURE_INTERVAL_S = 0.1
MEASURE_INTERVAL_LIMIT_S = 2.0

Counts = NDArray[np.int32]
Raw = NDArray[np.uint8]


class _Recent:
    """How often each tile was named within the last time."""

    def __init__(self, shape: tuple[int, ...], within_s: float) -> None:
        self.counts: Counts = np.zeros(shape, np.int32)
        self._within_s = within_s
        self._kept: deque[tuple[float, Mask]] = deque()

    def add(self, mask: Mask, now_s: float) -> None:
        self._kept.append((now_s, mask))
        self.counts += mask

    def expire(self, now_s: float) -> None:
        while self._kept and self._kept[0][0] <= now_s - self._within_s:
            self.counts -= self._kept.popleft()[1]


class Classifier:
    """Of one display. Tell it every damage, and of every picture `looked` before asking for its `boxes`."""

    def __init__(self, width: int, height: int, shape: tuple[int, ...]) -> None:
        self._width, self._height = width, height
        self._damaged = _Recent(shape, CHANGES_WITHIN_S)
        self._carried = _Recent(shape, CARRIED_WITHIN_S)
        self._looked = _Recent(shape, CARRIED_WITHIN_S)
        self._measure_at_s = 0.0
        self._interval_s = MEASURE_INTERVAL_S

    def damaged(self, mask: Mask, now_s: float) -> None:
        """The source says that these tiles changed."""
        self._damaged.expire(now_s)
        self._damaged.add(mask, now_s)

    def hot(self, now_s: float) -> Mask:
        """The tiles that change often, and that copies do not help."""
        for recent in (self._damaged, self._carried, self._looked):
            recent.expire(now_s)
        is_hot: Mask = (self._damaged.counts >= CHANGES_MIN) & (self._carried.counts >= CARRIED_MIN)
        is_hot &= self._carried.counts >= CARRIED_SHARE * self._looked.counts
        return is_hot

    def active(self, now_s: float) -> Mask:
        """The tiles that changed lately at all."""
        self._damaged.expire(now_s)
        is_active: Mask = self._damaged.counts > 0
        return is_active

    def looked(self, read: Mask, carried: Mask, now_s: float) -> None:
        """A picture read some tiles, and has to carry those of them that differ after copies."""
        self._looked.add(read.copy(), now_s)
        self._carried.add(carried.copy(), now_s)

    def boxes(self, carried: Mask, previous: Words, current: Words, area: Area, now_s: float) -> list[Area]:
        """Where video is that this picture has to carry, aligned and inside of the display; mostly nothing.

        `previous` is the whole display, `current` only `area` of it.
        """
        is_hot = self.hot(now_s) & carried
        if np.count_nonzero(is_hot) < TILES_MIN:
            self._interval_s = MEASURE_INTERVAL_S
            return []
        if now_s < self._measure_at_s:
            return []
        self._measure_at_s = now_s + self._interval_s
        self._interval_s = min(2 * self._interval_s, MEASURE_INTERVAL_LIMIT_S)
        found = _box_of_groups(self._bad_parts(is_hot, previous, current, area))
        return [aligned(one, self._width, self._height) for one in found]

    def _bad_parts(
        self, is_hot: Mask, previous: Words, current: Words, area: Area
    ) -> dict[tuple[int, int], Area]:
        """What changed in each hot tile, if it compresses badly."""
        parts = {}
        for row, column in np.argwhere(is_hot).tolist():
            tile = Area(column * TILE_PIXELS, row * TILE_PIXELS, TILE_PIXELS, TILE_PIXELS).common_with(area)
            if tile is None:
                continue
            now = current[tile.y - area.y : tile.bottom - area.y, tile.x - area.x : tile.right - area.x]
            changed = _changed(previous[tile.y : tile.bottom, tile.x : tile.right], now)
            if changed is not None and compressed_share(_cut(now, changed)) >= BAD_SHARE:
                parts[row, column] = changed.moved(tile.x, tile.y)
        return parts


def compressed_share(words: Words, write: Callable[[Words, Raw], int] = write_bgr) -> float:
    """Compressed bytes per raw byte of these pixels alone, as they are or as `write` says."""
    raw = np.empty(words.size * 3 + 1, np.uint8)
    size = write(words, raw)
    return len(zstandard.ZstdCompressor(level=1).compress(raw.data[:size])) / size


def aligned(area: Area, width: int, height: int) -> Area:
    """The area grown to whole blocks of an encoder, of even size, inside of the display."""
    x, y = area.x & -ALIGNMENT_PIXELS, area.y & -ALIGNMENT_PIXELS
    right = min(-(-area.right // ALIGNMENT_PIXELS) * ALIGNMENT_PIXELS, width & ~1)
    bottom = min(-(-area.bottom // ALIGNMENT_PIXELS) * ALIGNMENT_PIXELS, height & ~1)
    return Area(x, y, right - x, bottom - y)


def united(one: Area, other: Area) -> Area:
    """The smallest area that holds both."""
    x, y = min(one.x, other.x), min(one.y, other.y)
    return Area(x, y, max(one.right, other.right) - x, max(one.bottom, other.bottom) - y)


def _cut(words: Words, area: Area) -> Words:
    return words[area.y : area.bottom, area.x : area.right]


def _changed(before: Words, now: Words) -> Area | None:
    """Where most of it changed: not the lines of text that share a tile with the edge of a film."""
    different = before != now
    in_rows, in_columns = np.count_nonzero(different, axis=1), np.count_nonzero(different, axis=0)
    if not in_rows.any():
        return None
    rows = np.flatnonzero(in_rows >= MOST_SHARE * in_rows.max())
    columns = np.flatnonzero(in_columns >= MOST_SHARE * in_columns.max())
    x, y = int(columns[0]), int(rows[0])
    return Area(x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y)


def _box_of_groups(parts: dict[tuple[int, int], Area]) -> list[Area]:
    """The box of each group of neighbours that is large and dense enough, the largest first."""
    boxes = []
    for group in _groups(set(parts)):
        areas = [parts[place] for place in group]
        box = areas[0]
        for one in areas[1:]:
            box = united(box, one)
        pixels = sum(one.width * one.height for one in areas)
        is_dense = pixels >= BOX_SHARE * box.width * box.height
        is_large = pixels >= PIXELS_MIN and min(box.width, box.height) >= SIDE_MIN_PIXELS
        if len(group) >= TILES_MIN and is_large and is_dense:
            boxes.append(box)
    return sorted(boxes, key=lambda box: -box.width * box.height)


def _groups(places: set[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Tiles that touch each other, also across one tile in between: what is flat in a video is not bad."""
    reach = [(down, across) for down in range(-2, 3) for across in range(-2, 3)]
    while places:
        group = [places.pop()]
        for row, column in group:
            near = [(row + down, column + across) for down, across in reach]
            joining = [place for place in near if place in places]
            places.difference_update(joining)
            group += joining
        yield group
