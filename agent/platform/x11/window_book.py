"""Which windows lie on an X11 desktop, kept up to date by what the server tells (no connection of its own).

Source: X Window System Protocol, X Version 11, chapter 10 "Events" (SubstructureNotify on the root window
tells of every child, in the order in which things happened).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from agent.platform.interfaces import Area, SeenWindow, WindowWords

TITLE_CHANGES_READABLE = 1
"""Of one change both values are known: the one read before and the one read after."""


@dataclass(slots=True)
class _Top:
    window_id: int
    area: Area | None
    is_mapped: bool
    is_popup: bool
    itself: WindowWords
    inside: tuple[WindowWords, ...] = ()
    containers: frozenset[int] = frozenset()
    is_drawn: bool = True
    is_known: bool = False
    is_stale: bool = True
    places: list[Area] = field(default_factory=list)
    title_changes: dict[tuple[int, int], int] = field(default_factory=dict)

    def stand(self) -> None:
        """Note where it is, if it is to be seen."""
        if self.is_mapped and self.area is not None and (not self.places or self.places[-1] != self.area):
            self.places.append(self.area)

    def seen(self) -> SeenWindow:
        """It, since the last `take`."""
        has_missed = any(count > TITLE_CHANGES_READABLE for count in self.title_changes.values())
        places = tuple(dict.fromkeys(self.places)) if self.is_drawn else ()
        # a window that was never read, or changed after it was read, may be anything
        is_known = self.is_known and not self.is_stale
        return SeenWindow(
            self.window_id, places, self.is_popup, is_known, has_missed, self.itself, self.inside
        )


class WindowBook:
    """Tell it what happened, in order; `unread` are the windows to be asked; `take` is what came of it."""

    def __init__(self) -> None:
        self._tops: dict[int, _Top] = {}
        self._gone: list[_Top] = []
        self._is_changed = True
        self._taken: tuple[SeenWindow, ...] = ()

    def appeared(self, window_id: int, area: Area | None, *, is_popup: bool, is_mapped: bool = False) -> None:
        """A child of the root window; `area` with its border, None where it has to be asked for."""
        self.gone(window_id)
        top = _Top(window_id, area, is_mapped, is_popup, WindowWords(window_id))
        self._tops[window_id] = top
        self._changed(top)

    def moved(self, window_id: int, area: Area, *, is_popup: bool) -> None:
        """Another place or size."""
        if (top := self._tops.get(window_id)) is not None:
            top.area, top.is_popup = area, is_popup
            self._changed(top)

    def placed(self, window_id: int, area: Area) -> None:
        """Where it is, for one that lacked its place."""
        if (top := self._tops.get(window_id)) is not None and top.area is None:
            top.area = area
            self._changed(top)

    def shifted(self, window_id: int, x: int, y: int) -> None:
        """Another place, the same size."""
        if (top := self._tops.get(window_id)) is not None and top.area is not None:
            top.area = Area(x, y, top.area.width, top.area.height)
            self._changed(top)

    def mapped(self, window_id: int, *, is_mapped: bool) -> None:
        """It is to be seen from now on, or not any more."""
        if (top := self._tops.get(window_id)) is not None:
            top.is_mapped = is_mapped
            self._changed(top)

    def gone(self, window_id: int) -> None:
        """Destroyed, or put into another window."""
        if (top := self._tops.pop(window_id, None)) is not None:
            if top.places:
                self._gone.append(top)
            self._is_changed = True

    def renamed(self, window_id: int, title_atom: int | None) -> None:
        """One of the words of this window changed; `title_atom` is which of its titles, if it was one."""
        for top in self._holding(window_id):
            top.is_stale = self._is_changed = True
            if title_atom is not None and top.places:
                counted = (window_id, title_atom)
                top.title_changes[counted] = top.title_changes.get(counted, 0) + 1

    def rearranged(self, window_id: int) -> None:
        """Something happened to the windows in this one, which may be in another one itself."""
        found = list(self._holding(window_id))
        # a parent that was never met: it lies in a window whose inside was read before it came
        for top in found or [each for each in self._tops.values() if not each.inside]:
            top.is_stale = self._is_changed = True

    def unread(self) -> list[int]:
        """Windows that have to be asked what they are, and then `read` or `unreadable`.

        Hidden ones too: a dialog or a menu may be private because of a window that is not to be seen.
        """
        return [top.window_id for top in self._tops.values() if top.is_stale]

    def lacks_place(self, window_id: int) -> bool:
        """Whether its area has to be asked for."""
        return window_id in self._tops and self._tops[window_id].area is None

    def about_to_read(self, window_id: int) -> None:
        """Questions go out now: what changes after this makes it stale again."""
        if (top := self._tops.get(window_id)) is not None:
            top.is_stale = False

    def read(
        self,
        itself: WindowWords,
        inside: Iterable[WindowWords],
        containers: Iterable[int],
        *,
        is_drawn: bool,
    ) -> None:
        """The answers. `containers`: every window in it that was met and has no words."""
        if (top := self._tops.get(itself.window_id)) is not None:
            top.itself, top.inside, top.containers = itself, tuple(inside), frozenset(containers)
            top.is_drawn, top.is_known = is_drawn, True
            self._is_changed = True

    def unreadable(self, window_id: int) -> None:
        """It could not be asked; it counts as anything until it is asked again."""
        if (top := self._tops.get(window_id)) is not None:
            top.is_known = False
            self._is_changed = True

    def take(self) -> tuple[SeenWindow, ...]:
        """Every window since the last `take`; the same object as then, if nothing happened."""
        if not self._is_changed:
            return self._taken
        tops = [*self._tops.values(), *self._gone]
        self._taken = tuple(top.seen() for top in tops)
        self._is_changed = bool(self._gone)
        self._gone = []
        for top in self._tops.values():
            before = top.places
            top.places = []
            top.stand()
            # a second `take` says less than this one, so it is not the same
            self._is_changed |= before != top.places or bool(top.title_changes)
            top.title_changes = {}
        return self._taken

    def _changed(self, top: _Top) -> None:
        self._is_changed = True
        top.stand()

    def _holding(self, window_id: int) -> Iterator[_Top]:
        for top in self._tops.values():
            is_named = any(words.window_id == window_id for words in top.inside)
            if top.window_id == window_id or is_named or window_id in top.containers:
                yield top
