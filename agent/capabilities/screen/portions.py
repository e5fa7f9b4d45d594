"""Which changed tiles go first when not all of them fit into a picture's budget (sans-I/O).

Half of a budget goes to what costs little, the most recently damaged first: a typed letter and a clock do not
wait behind a photograph. The other half goes to what has waited longest, so that nothing waits for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent.capabilities.screen.tiles import Mask
from agent.platform.interfaces import Area
from protocol.limits import TILE_PIXELS

FIRST_COST_BYTES = 400.0
CHEAP_BYTES = 1 << 10
LARGEST_COST_BYTES = 12 << 10
GROWTH = 4
Indexes = NDArray[np.intp]


class TileLedger:
    """What each tile cost when it was sent, and since when a changed one waits. Times are milliseconds."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        size = int(np.prod(shape))
        self._cost = np.full(size, FIRST_COST_BYTES)
        self._is_waiting = np.zeros(size, dtype=np.bool_)
        self._since_ms = np.zeros(size, dtype=np.int64)

    def order(self, found: Mask, budget_bytes: float, now_ms: int) -> Indexes:
        """The tiles of `found` (flat indexes), first to last; top to bottom if the budget does for all."""
        flat = found.ravel()
        self._since_ms[flat & ~self._is_waiting] = now_ms
        self._is_waiting[...] = flat
        wanted = np.flatnonzero(flat)
        costs = self._cost[wanted]
        if costs.sum() <= budget_bytes:
            return wanted
        cheapest = wanted[np.lexsort((-self._since_ms[wanted], costs > CHEAP_BYTES))]
        first = cheapest[np.cumsum(self._cost[cheapest]) <= budget_bytes / 2]
        rest = wanted[~np.isin(wanted, first)]
        return np.concatenate([first, rest[np.argsort(self._since_ms[rest], kind="stable")]])

    def oldest_ms(self, waiting: Mask) -> int | None:
        """Since when the tile that has waited longest waits; None if none of these was ever in `order`."""
        known = self._since_ms[waiting.ravel() & self._is_waiting]
        return int(known.min()) if known.size else None

    def costs(self, tiles: Indexes) -> NDArray[np.float64]:
        """What these are expected to cost, in bytes."""
        return self._cost[tiles]

    def fitting(self, order: Indexes, left_bytes: float, tried: int) -> int:
        """How many of these, from the first, are sent next, after `tried` tiles (0: none) went together.

        What they cost is a guess, so that the first part is small enough for raw pixels, and others grow.
        """
        trusted = GROWTH * tried if tried else int(2 * left_bytes // LARGEST_COST_BYTES)
        guessed = int(np.searchsorted(np.cumsum(self._cost[order]), left_bytes, side="right"))
        return max(1, min(trusted, guessed))

    def sent(self, tiles: Indexes, size_bytes: int, areas: Sequence[Area] = ()) -> None:
        """These have been sent together. `areas`: where they differed; without, each cost the same."""
        self._is_waiting[tiles] = False
        weights = self._weights(areas)[tiles] if areas else np.ones(len(tiles))
        cost = np.maximum(1.0, size_bytes * weights / weights.sum())
        self._cost[tiles] = (self._cost[tiles] + cost) / 2

    def _weights(self, areas: Sequence[Area]) -> NDArray[np.float64]:
        """The pixels of each tile that the areas cover; no area leaves its row of tiles."""
        pixels = np.zeros(self._shape)
        for one in areas:
            columns = np.arange(one.x // TILE_PIXELS, -(-one.right // TILE_PIXELS))
            starts = np.maximum(one.x, columns * TILE_PIXELS)
            widths = np.minimum(one.right, (columns + 1) * TILE_PIXELS) - starts
            pixels[one.y // TILE_PIXELS, columns] += widths * one.height
        return pixels.ravel()
