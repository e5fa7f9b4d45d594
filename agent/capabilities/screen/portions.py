"""Which changed tiles go first when not all of them fit into a picture's budget (sans-I/O).

Half of a budget goes to what costs little, the most recently damaged first: a typed letter and a clock do not
wait behind a photograph. The other half goes to what has waited longest, so that nothing waits for ever.

What a tile will cost is not known before it is compressed, and then it is in the stream. It is guessed from
what it cost before, within what its pixels can cost at all: a terminal that becomes a photograph is dear at
once, though its tiles have been cheap for hours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent.capabilities.screen.tiles import Mask, Words
from agent.platform.interfaces import Area
from protocol.limits import TILE_PIXELS

FIRST_COST_BYTES = 400.0
CHEAP_BYTES = 1 << 10
LARGEST_COST_BYTES = 12 << 10
EDGE_BYTES, LEAST_COST_BYTES = 4, 64
LIKELY_SHARE = 0.2
"""Of the most that a tile can cost: text is compressed to about so much, photographs to two to four times."""
LEARNED_LIMIT = 10.0
LEAST_SHARE = 0.25
"""What a picture's first tiles took of their most says little of its next ones: a photograph follows text."""
Indexes = NDArray[np.intp]
Bytes = NDArray[np.float64]


def largest_costs(current: Words, area: Area, shape: tuple[int, ...], previous: Words | None = None) -> Bytes:
    """The most that each tile of `area` can cost (flat, 0 elsewhere): by how often its colour changes.

    `area` starts at a tile and `current` are its pixels. Flat colour costs next to nothing, each change of
    colour along a row a literal pixel and the end of a match. With `previous`, the same pixels as the viewer
    has them, only what differs counts: of a line of text below copied ones, that line.
    """
    is_edge = np.empty(current.shape, np.bool_)
    is_edge[:, 0] = True
    np.not_equal(current[:, 1:], current[:, :-1], out=is_edge[:, 1:])
    if previous is not None:
        is_edge &= current != previous
    rows = np.arange(0, area.height, TILE_PIXELS)
    columns = np.arange(0, area.width, TILE_PIXELS)
    lines = np.add.reduceat(is_edge.view(np.uint8), columns, axis=1, dtype=np.uint16)
    edges = np.add.reduceat(lines, rows, axis=0, dtype=np.uint32)
    costs = np.zeros(shape)
    top, left = area.y // TILE_PIXELS, area.x // TILE_PIXELS
    costs[top : top + len(rows), left : left + len(columns)] = np.minimum(
        LEAST_COST_BYTES + EDGE_BYTES * edges, LARGEST_COST_BYTES
    )
    return costs.ravel()


class TileLedger:
    """What each tile cost when it was sent, and since when a changed one waits. Times are milliseconds.

    For each picture `order` first, then `fitting` and `sent` in turns.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        size = int(np.prod(shape))
        self._cost = np.full(size, FIRST_COST_BYTES)
        self._largest = np.full(size, float(LARGEST_COST_BYTES))
        self._least_share = 0.0
        self._is_waiting = np.zeros(size, dtype=np.bool_)
        self._since_ms = np.zeros(size, dtype=np.int64)
        self._dearer, self._most_share = 1.0, 1.0

    def order(self, found: Mask, budget_bytes: float, now_ms: int, largest: Bytes | None = None) -> Indexes:
        """The tiles of `found` (flat indexes), first to last; top to bottom if the budget does for all.

        `largest`: the most that each tile can cost, where that is known (`largest_costs`).
        """
        self._dearer, self._most_share = 1.0, 1.0
        self._least_share = 0.0 if largest is None else LIKELY_SHARE
        self._largest = np.full(self._cost.size, float(LARGEST_COST_BYTES)) if largest is None else largest
        flat = found.ravel()
        self._since_ms[flat & ~self._is_waiting] = now_ms
        self._is_waiting[...] = flat
        wanted = np.flatnonzero(flat)
        costs = self.costs(wanted)
        if costs.sum() <= budget_bytes:
            return wanted
        cheapest = wanted[np.lexsort((-self._since_ms[wanted], costs > CHEAP_BYTES))]
        first = cheapest[np.cumsum(self.costs(cheapest)) <= budget_bytes / 2]
        rest = wanted[~np.isin(wanted, first)]
        return np.concatenate([first, rest[np.argsort(self._since_ms[rest], kind="stable")]])

    def oldest_ms(self, waiting: Mask) -> int | None:
        """Since when the tile that has waited longest waits; None if none of these was ever in `order`."""
        known = self._since_ms[waiting.ravel() & self._is_waiting]
        return int(known.min()) if known.size else None

    def may_be_dear(self, found: Mask, budget_bytes: float) -> bool:
        """Whether the budget may be too small for these, so that it pays to look at their pixels."""
        known = float(self._cost[found.ravel()].sum())
        return known / LIKELY_SHARE > budget_bytes

    def costs(self, tiles: Indexes) -> Bytes:
        """What these are expected to cost, in bytes; of the picture that `order` was called for last."""
        most = self._largest[tiles]
        costs: Bytes = np.clip(self._cost[tiles], self._least_share * most, np.maximum(most, 1.0))
        return costs

    def fitting(self, order: Indexes, left_bytes: float) -> int:
        """How many of these, from the first, are to be sent together next.

        Those that the budget is likely to do for, and not more than cost twice of it at the worst. Both are
        judged by how dear the tiles of this picture have been so far.
        """
        likely = np.cumsum(self.costs(order)) * self._dearer
        worst = np.cumsum(self._largest[order]) * self._most_share
        guessed = int(np.searchsorted(likely, left_bytes, side="right"))
        surest = int(np.searchsorted(worst, 2 * left_bytes, side="right"))
        return max(1, min(guessed, surest))

    def sent(self, tiles: Indexes, size_bytes: int, areas: Sequence[Area] = ()) -> None:
        """These have been sent together. `areas`: where they differed; without, each cost the same."""
        guessed, most = float(self.costs(tiles).sum()), max(1.0, float(self._largest[tiles].sum()))
        self._dearer = min(max(size_bytes / guessed, 1 / LEARNED_LIMIT), LEARNED_LIMIT)
        self._most_share = min(1.0, max(LEAST_SHARE, 2 * size_bytes / most))
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
