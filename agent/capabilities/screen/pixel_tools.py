"""What the exact layer does with every pixel: in C where that was built, else with numpy.

Both find the same changes and write the same bytes. Only C finds what moved diagonally, and only numpy
remembers hashes between pictures. Pictures are arrays of 32-bit words (BGRX); `previous` is the whole
display, `current` only `area` of it, and `area` starts at a tile.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.capabilities.screen import tiles
from agent.capabilities.screen.native import Native, load
from agent.capabilities.screen.scroll import CHANGED_TILES_MIN, ScrollFinder, SearchPace
from agent.platform.interfaces import Area
from protocol.limits import COPIES_PER_PICTURE_LIMIT, PICTURE_PART_TILES_LIMIT, TILE_PIXELS
from protocol.messages.screen import Copy

GAINED_PIXELS_MIN = 2 * TILE_PIXELS**2
"""What a copy must save: below two tiles the search for the next one costs more than the pixels."""


class PixelTools(Protocol):
    """Of one display and one viewer."""

    def find(self, previous: tiles.Words, current: tiles.Words, area: Area, marked: tiles.Mask) -> list[Copy]:
        """The copies that save most; `previous` has them carried out when this returns.

        `area` is what `tiles.bounds` said of the `marked` tiles, which may have changed. Afterwards the
        caller makes both equal in all of these, or names the others to `forget`.
        """
        ...

    def forget(self, marked: tiles.Mask) -> None:
        """The viewer will not have, or no longer has, what `find` last saw in these tiles."""
        ...

    def changed(
        self, previous: tiles.Words, current: tiles.Words, area: Area, marked: tiles.Mask
    ) -> tiles.Mask:
        """The marked tiles whose pixels differ."""
        ...

    def rectangles(
        self, mask: tiles.Mask, previous: tiles.Words, current: tiles.Words, area: Area
    ) -> list[Area]:
        """What differs in these tiles, which all do; top to bottom, none larger than a part may be."""
        ...

    def write(self, words: tiles.Words, out: NDArray[np.uint8]) -> int:
        """The pixels as residues (`tiles.write_residues`); how many bytes. `out` has room for one more."""
        ...


def pixel_tools(width: int, height: int) -> PixelTools:
    """The best there are here, for a display of this size."""
    native = load()
    return NumpyPixels(width, height) if native is None else NativePixels(native, width, height)


class NumpyPixels:
    """See `PixelTools`."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._scroll = ScrollFinder(width, height)

    def find(self, previous: tiles.Words, current: tiles.Words, area: Area, marked: tiles.Mask) -> list[Copy]:
        """See `PixelTools`."""
        return self._scroll.find(previous, current, area, marked)

    def forget(self, marked: tiles.Mask) -> None:
        """See `PixelTools`."""
        self._scroll.forget(marked)

    def changed(
        self, previous: tiles.Words, current: tiles.Words, area: Area, marked: tiles.Mask
    ) -> tiles.Mask:
        """See `PixelTools`."""
        return tiles.changed(previous, current, area, marked)

    def rectangles(
        self, mask: tiles.Mask, previous: tiles.Words, current: tiles.Words, area: Area
    ) -> list[Area]:
        """See `PixelTools`."""
        return tiles.trimmed(tiles.rectangles(mask, self._width, self._height), previous, current, area)

    def write(self, words: tiles.Words, out: NDArray[np.uint8]) -> int:
        """See `PixelTools`."""
        return tiles.write_residues(words, out)


class NativePixels:
    """See `PixelTools`."""

    def __init__(self, native: Native, width: int, height: int) -> None:
        self._native = native
        self._motion = native.motion(width, height)
        self._pace = SearchPace()

    def find(self, previous: tiles.Words, current: tiles.Words, area: Area, marked: tiles.Mask) -> list[Copy]:
        """See `PixelTools`."""
        if np.count_nonzero(marked) < CHANGED_TILES_MIN or not self._pace.is_due():
            return []
        before = _cut(previous, area)
        found = self._native.find_copies(
            self._motion, before, current, COPIES_PER_PICTURE_LIMIT, GAINED_PIXELS_MIN
        )
        self._pace.searched(is_in_vain=not found)
        made = np.frombuffer(found, np.int32).reshape(-1, 6).tolist()
        x, y = area.x, area.y
        return [
            Copy(from_x + x, from_y + y, across, down, to_x + x, to_y + y)
            for from_x, from_y, across, down, to_x, to_y in made
        ]

    def forget(self, marked: tiles.Mask) -> None:
        """See `PixelTools`. Nothing is remembered."""

    def changed(
        self, previous: tiles.Words, current: tiles.Words, area: Area, marked: tiles.Mask
    ) -> tiles.Mask:
        """See `PixelTools`."""
        differing = np.zeros_like(marked)
        inside = _tiles_of(area)
        self._native.changed_tiles(_cut(previous, area), current, marked[inside], differing[inside])
        return differing

    def rectangles(
        self, mask: tiles.Mask, previous: tiles.Words, current: tiles.Words, area: Area
    ) -> list[Area]:
        """See `PixelTools`."""
        before = _cut(previous, area)
        found = self._native.trimmed_rectangles(
            before, current, mask[_tiles_of(area)], PICTURE_PART_TILES_LIMIT
        )
        made = np.frombuffer(found, np.int32).reshape(-1, 4).tolist()
        return [Area(x + area.x, y + area.y, width, height) for x, y, width, height in made]

    def write(self, words: tiles.Words, out: NDArray[np.uint8]) -> int:
        """See `PixelTools`."""
        return self._native.write_residues(words, out)


def _cut(words: tiles.Words, area: Area) -> tiles.Words:
    return words[area.y : area.bottom, area.x : area.right]


def _tiles_of(area: Area) -> tuple[slice, slice]:
    rows = slice(area.y // TILE_PIXELS, -(-area.bottom // TILE_PIXELS))
    return rows, slice(area.x // TILE_PIXELS, -(-area.right // TILE_PIXELS))
