"""The exact layer's inner loops in C (`picture.h`), built with the package where there is a compiler.

Without it `load` gives None, and numpy does the same work (`pixel_tools.py`): the pictures are as exact,
cost two to three times the time, and contents that move diagonally are sent as pixels.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol, cast


class Native(Protocol):
    """The C module. Arrays are of two dimensions, with contiguous rows; a ValueError says what is wrong."""

    def changed_tiles(self, before: Any, now: Any, marked: Any, differing: Any) -> None:
        """Writes 1 or 0 for each tile: whether it is marked and differs."""
        ...

    def trimmed_rectangles(self, before: Any, now: Any, mask: Any, tiles_limit: int) -> bytes:
        """int32: x, y, width, height of what differs in each tile, neighbours that fit together as one."""
        ...

    def write_residues(self, words: Any, out: Any) -> int:
        """Writes three bytes a pixel, and one more that means nothing; how many without that one."""
        ...

    def motion(self, width: int, height: int) -> object:
        """What `find_copies` needs for areas up to this size."""
        ...

    def find_copies(self, motion: object, before: Any, now: Any, limit: int, gain_pixels: int) -> bytes:
        """int32: x, y, width, height, to x, to y of each copy, which are carried out in `before`."""
        ...


def load() -> Native | None:
    """The C module; None if it was not built."""
    try:
        return cast("Native", importlib.import_module("agent.capabilities.screen.native._picture"))
    except ImportError:
        return None
