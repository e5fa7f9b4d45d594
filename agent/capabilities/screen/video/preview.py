"""When something lossy goes ahead of exact pixels that would take too long (sans-I/O)."""

from __future__ import annotations

from collections import deque

import numpy as np

from agent.capabilities.screen.tiles import Mask, Words, write_residues
from agent.capabilities.screen.video.classify import compressed_share
from agent.platform.interfaces import Area
from protocol.limits import TILE_PIXELS

OVER_S = 0.3
"""A preview is made only if the exact pixels would take longer than that."""
SIZE_S = 0.08
"""How long a preview may take."""
SLOW_BYTES_PER_S = 1e6
"""Faster links have a whole display in a second; what is not measured yet counts as faster."""
BUDGETS_KEPT = 4
"""The greatest of them counts: the budget of one picture is small because another has just gone."""
TILES_SAMPLED = 8


class PreviewNeed:
    """Of one display. `budget_s` is the time in which the link delivers a picture's budget."""

    def __init__(self, shape: tuple[int, ...], budget_s: float) -> None:
        self._budgets: deque[float] = deque(maxlen=BUDGETS_KEPT)
        self._budget_s = budget_s
        self._shown: Mask = np.zeros(shape, np.bool_)

    def given(self, budget_bytes: float) -> None:
        """What the picture that is being made may have."""
        self._budgets.append(budget_bytes)

    def damaged(self, mask: Mask) -> None:
        """The source says that these tiles changed: what a preview showed of them is over."""
        self._shown &= ~mask

    def shown(self, mask: Mask) -> None:
        """A preview of these tiles is on its way."""
        self._shown |= mask

    @property
    def rate_bytes_per_s(self) -> float:
        """What the link delivers, by the budgets."""
        return max(self._budgets, default=0.0) / self._budget_s

    @property
    def size_bytes(self) -> float:
        """How large a preview may be."""
        return self.rate_bytes_per_s * SIZE_S

    def is_there(self, found: Mask, current: Words, area: Area) -> bool:
        """Whether what differs in the tiles `found` should be. `current` is `area` of the display."""
        rate = self.rate_bytes_per_s
        fresh = found & ~self._shown
        most_bytes = 3 * TILE_PIXELS**2 * int(np.count_nonzero(fresh))
        if not 0 < rate < SLOW_BYTES_PER_S or most_bytes < rate * OVER_S:
            return False
        return exact_bytes(fresh, current, area) > rate * OVER_S


def exact_bytes(found: Mask, current: Words, area: Area) -> float:
    """About what these tiles take exactly, by some of them."""
    places = np.argwhere(found)
    sampled = places[:: max(1, len(places) // TILES_SAMPLED)].tolist()
    cuts = []
    for row, column in sampled:
        one = Area(column * TILE_PIXELS, row * TILE_PIXELS, TILE_PIXELS, TILE_PIXELS).common_with(area)
        if one is not None:
            cuts.append(current[one.y - area.y : one.bottom - area.y, one.x - area.x : one.right - area.x])
    share = sum(compressed_share(cut, write_residues) for cut in cuts) / max(1, len(cuts))
    return share * 3 * TILE_PIXELS**2 * len(places)
