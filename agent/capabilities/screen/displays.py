"""Which part of the desktop is shown: one display, all of them, or the one with the pointer (sans-I/O).

Times are seconds of one monotonic clock, areas and places are those of the whole desktop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from agent.platform.interfaces import Area, DisplayArea
from protocol.errors import ErrorCode
from protocol.limits import (
    ALL_DISPLAYS_INDEX,
    DISPLAY_SIDE_LIMIT_PIXELS,
    PICTURE_AREA_LIMIT_PIXELS,
)
from protocol.messages.screen import DisplayMode

if TYPE_CHECKING:
    from agent.platform.interfaces import Pixels

FOLLOW_AFTER_S = 0.5
"""So long the pointer has to stay on another display before that one is shown."""


def box_around(displays: Sequence[DisplayArea]) -> Area:
    """The smallest area that holds them all."""
    areas = [display.area for display in displays]
    x, y = min(area.x for area in areas), min(area.y for area in areas)
    return Area(x, y, max(area.right for area in areas) - x, max(area.bottom for area in areas) - y)


def is_showable(area: Area) -> bool:
    """Whether a picture may be so large."""
    is_short = max(area.width, area.height) <= DISPLAY_SIDE_LIMIT_PIXELS
    return is_short and area.width * area.height <= PICTURE_AREA_LIMIT_PIXELS


class FollowRule:
    """Another display once the pointer has stayed on it for FOLLOW_AFTER_S; on the way through it is none."""

    def __init__(self) -> None:
        self._candidate: int | None = None
        self._since_s = 0.0

    def pointer_on(self, index: int | None, shown_index: int, now_s: float) -> int:
        """The pointer is on this display (None: on none); which one is to be shown."""
        if index is None or index == shown_index:
            self._candidate = None
        elif index != self._candidate:
            self._candidate, self._since_s = index, now_s
        elif now_s >= self._since_s + FOLLOW_AFTER_S:
            self._candidate = None
            return index
        return shown_index

    @property
    def due_s(self) -> float | None:
        """When to look where the pointer is, though it rests."""
        return None if self._candidate is None else self._since_s + FOLLOW_AFTER_S


class ShownDisplays:
    """The displays that there are, and what of them one viewer is shown."""

    def __init__(self, displays: Sequence[DisplayArea]) -> None:
        self.displays = tuple(displays)
        self.mode = DisplayMode.ONE
        self._index = 0
        self._follow = FollowRule()

    @property
    def shown_index(self) -> int:
        """The display that is shown; ALL_DISPLAYS_INDEX for all."""
        return ALL_DISPLAYS_INDEX if self.mode is DisplayMode.ALL else self._index

    @property
    def area(self) -> Area:
        """What is shown."""
        if self.mode is DisplayMode.ALL:
            return box_around(self.displays)
        return self.displays[self._index].area

    @property
    def view(self) -> tuple[int, Area]:
        """What is shown, and where that is."""
        return self.shown_index, self.area

    def show(self, index: int) -> ErrorCode | None:
        """Show this display; why not, if it has just been unplugged: then nothing changes."""
        if index >= len(self.displays):
            return ErrorCode.E_SCREEN_DISPLAY
        self.mode, self._index = DisplayMode.ONE, index
        return None

    def show_all(self) -> ErrorCode | None:
        """Show all as one; why not, if that would be too large: then nothing changes."""
        if not is_showable(box_around(self.displays)):
            return ErrorCode.E_SCREEN_TOGETHER
        self.mode = DisplayMode.ALL
        return None

    def follow(self) -> None:
        """Show the display that the pointer is on, beginning with the one that is shown."""
        self.mode = DisplayMode.FOLLOW
        self._follow = FollowRule()

    def read(self, displays: Sequence[DisplayArea]) -> ErrorCode | None:
        """There are other displays now; why what the viewer chose is not shown any more, if so."""
        shown = self.displays[self._index].name
        self.displays = tuple(displays)
        same = [index for index, display in enumerate(self.displays) if display.name == shown]
        self._index = same[0] if same else 0
        self._follow = FollowRule()
        if self.mode is DisplayMode.ONE and not same:
            return ErrorCode.E_SCREEN_DISPLAY
        if self.mode is DisplayMode.ALL and not is_showable(self.area):
            self.mode = DisplayMode.ONE
            return ErrorCode.E_SCREEN_TOGETHER
        return None

    def pointer_at(self, x: int, y: int, now_s: float) -> bool:
        """Where the pointer is; whether another display is shown from now on."""
        if self.mode is not DisplayMode.FOLLOW:
            return False
        spot = Area(x, y, 1, 1)
        on = [index for index, display in enumerate(self.displays) if display.area.common_with(spot)]
        # where displays mirror one another, the one that is shown is as good as any
        index = self._index if self._index in on else (on[0] if on else None)
        before, self._index = self._index, self._follow.pointer_on(index, self._index, now_s)
        return self._index != before

    @property
    def due_s(self) -> float | None:
        """When to say `pointer_at`, though it did not move; None for not at all."""
        return self._follow.due_s if self.mode is DisplayMode.FOLLOW else None

    def grab(self, area: Area, grab: Callable[[Area], Pixels | None]) -> Pixels | None:
        """These pixels of the desktop, by `ScreenSource.grab`; black where there is no display.

        What lies on several displays is put together from each: not every source can read across them, and
        what an X server has between displays is of no meaning.
        """
        if self.mode is not DisplayMode.ALL:
            return grab(area)
        common = [display.area.common_with(area) for display in self.displays]
        pieces = [piece for piece in common if piece is not None]
        if area in pieces:
            return grab(area)
        canvas = np.zeros((area.height, area.width, 4), np.uint8)
        for piece in pieces:
            pixels = grab(piece)
            if pixels is None:
                return None
            top, left = piece.y - area.y, piece.x - area.x
            canvas[top : top + piece.height, left : left + piece.width] = pixels
        return canvas
