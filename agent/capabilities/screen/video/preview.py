"""When something lossy goes ahead of exact pixels that would take too long (sans-I/O)."""

from __future__ import annotations

import numpy as np

from agent.capabilities.screen.tiles import Mask, Words, write_residues
from agent.capabilities.screen.video.classify import compressed_share
from agent.platform.interfaces import Area
from protocol.limits import TILE_PIXELS

SIZE_SHARE = 0.4
"""Of what is too much exactly: so large may a preview be."""
TILES_SAMPLED = 8


class PreviewNeed:
    """Of one display."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shown: Mask = np.zeros(shape, np.bool_)

    def damaged(self, mask: Mask) -> None:
        """The source says that these tiles changed: what a preview showed of them is over."""
        self._shown &= ~mask

    def shown(self, mask: Mask) -> None:
        """A preview of these tiles is on its way, or the last frame of a video."""
        self._shown |= mask

    def fresh(self, found: Mask) -> Mask:
        """Those of these tiles of which no preview shows what they are now."""
        return found & ~self._shown

    def is_there(self, fresh: Mask, current: Words, area: Area, over_bytes: float) -> bool:
        """Whether what differs in these tiles takes more than that. `current` is `area` of the display."""
        most_bytes = 3 * TILE_PIXELS**2 * int(np.count_nonzero(fresh))
        return most_bytes > over_bytes and exact_bytes(fresh, current, area) > over_bytes


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
