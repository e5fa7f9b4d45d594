"""Paints private windows over before anything is compared or encoded.

Which windows are private is decided here (`PrivateWindows`, sans-I/O); `MaskedSource` is a `ScreenSource`
around the real one. A cover lies wherever a private window was at any moment between the picture before and
the end of reading this one, so that no moment is left in which it could have been read uncovered.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from agent.platform.interfaces import (
    Area,
    Cursor,
    DisplayArea,
    Noticed,
    ScreenSource,
    SeenWindow,
    WindowWatch,
    WindowWords,
)
from protocol.errors import BackendUnavailable, ErrorCode
from protocol.private_windows import SYSTEM_PROMPTS, PrivateWindow

if TYPE_CHECKING:
    from agent.platform.interfaces import Pixels

LINGER_S = 0.5
"""A place stays covered for so long after a private window has left it: until what is below has painted."""
COVERS_LIMIT = 64
DAMAGE_COMPARED_LIMIT = 32
EVERYWHERE = Area(-(1 << 16), -(1 << 16), 1 << 18, 1 << 18)
STRIPE_PIXELS = 16
STRIPES = (0x5A6270, 0x646C7A)  # red, green, blue


class PrivateWindows:
    """Which places are to be covered. Feed it what a `WindowWatch` has seen, and the time.

    A window that fitted an entry once stays private for as long as it exists, whatever its title says then.
    Private too: its dialogs, and theirs (transient for it), and every popup of the same program, which is
    known by connection, process, group leader or class. A window that could not be asked counts as private.

    The system's own prompts are private always. Without any other entry nothing is covered for fear that it
    may be one: such a prompt says what it is, and many programs could not be helped otherwise.
    """

    def __init__(self, entries: Iterable[PrivateWindow]) -> None:
        self._take(entries)
        self._fitted: dict[int, frozenset[PrivateWindow]] = {}
        self._verdicts: dict[tuple[object, ...], frozenset[PrivateWindow]] = {}
        self._seen: Sequence[SeenWindow] | None = None
        self._places: frozenset[Area] = frozenset()
        self._until_s: dict[Area, float] = {}

    def change(self, entries: Iterable[PrivateWindow]) -> None:
        """Another list. What fitted an entry that is still there stays private."""
        self._take(entries)
        self._verdicts.clear()
        self._seen = None
        kept = {window_id: fitted & self._entries for window_id, fitted in self._fitted.items()}
        self._fitted = {window_id: fitted for window_id, fitted in kept.items() if fitted}

    def _take(self, entries: Iterable[PrivateWindow]) -> None:
        listed = frozenset(entries)
        self.is_strict = bool(listed)
        self._entries = listed.union(SYSTEM_PROMPTS)

    def covers(self, windows: Sequence[SeenWindow], now_s: float, *, is_after_grab: bool) -> frozenset[Area]:
        """The areas to paint over. `is_after_grab`: a picture was read since the last call.

        Only then do titles matter that a window had between two looks and that nobody read.
        """
        if windows is not self._seen:
            self._seen = windows
            self._places = self._judge(windows)
        self._until_s |= dict.fromkeys(self._places, now_s + LINGER_S)
        self._until_s = {area: until_s for area, until_s in self._until_s.items() if until_s > now_s}
        self._merge()
        is_judged = is_after_grab and self.is_strict
        doubtful = (window for window in windows if window.has_missed_titles) if is_judged else ()
        return frozenset(self._until_s).union(place for window in doubtful for place in window.places)

    def _judge(self, windows: Sequence[SeenWindow]) -> frozenset[Area]:
        everyone = [words for window in windows for words in window.inside]
        # numbers of windows that are gone may be given to others
        known = {words.window_id: self._fitted.get(words.window_id, frozenset()) for words in everyone}
        for words in everyone:
            known[words.window_id] |= self._fitting(words)
        self._fitted = {window_id: fitted for window_id, fitted in known.items() if fitted}
        if len(self._verdicts) > 4 * len(everyone) + COVERS_LIMIT:
            self._verdicts.clear()
        private = _with_dialogs(self._fitted, everyone)
        programs = [words for words in everyone if words.window_id in private]
        return frozenset(
            place
            for window in windows
            if (self.is_strict and not window.is_known) or _is_private(window, private, programs)
            for place in window.places
        )

    def _fitting(self, words: WindowWords) -> frozenset[PrivateWindow]:
        said = (words.classes, words.titles, words.are_titles_cut)
        if said not in self._verdicts:
            self._verdicts[said] = frozenset(
                entry
                for entry in self._entries
                if entry.fits(words.classes, words.titles, are_titles_cut=words.are_titles_cut)
            )
        return self._verdicts[said]

    def _merge(self) -> None:
        """Few areas are kept: more than that become one that holds them all."""
        for are_left_only in (True, False):
            if len(self._until_s) <= COVERS_LIMIT:
                return
            merged = [area for area in self._until_s if not (are_left_only and area in self._places)]
            if merged:
                until_s = max(self._until_s.pop(area) for area in merged)
                whole = _around(merged)
                self._until_s[whole] = max(until_s, self._until_s.get(whole, 0.0))


class MaskedSource:
    """A `ScreenSource` whose pictures have no pixel of a private window.

    When the windows cannot be told any more, `tell` gets the reason; if there are entries, everything is
    covered from then on.
    It owns `source` and `watch`.
    """

    def __init__(
        self,
        source: ScreenSource,
        watch: WindowWatch,
        entries: Iterable[PrivateWindow],
        tell: Callable[[str], None],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises BackendUnavailable where two descriptors cannot be waited for as one."""
        self.name, self.detail = source.name, source.detail
        self._source, self._watch, self._tell, self._now_s = source, watch, tell, now_s
        self._private = PrivateWindows(entries)
        if self._private.is_strict:
            self.detail += "; private windows are painted over"
        self._is_blind = False
        self._told: frozenset[Area] = frozenset()
        self._painted: frozenset[Area] = frozenset()
        self._both = None if source.wake_fd is None else _waiting_for(source.wake_fd, watch.wake_fd)
        self.wake_fd: int | None = None if self._both is None else self._both.fileno()

    def cover(self, entries: Iterable[PrivateWindow]) -> None:
        """These and no others are private from now on; what changes by that is damage at the next look."""
        self._private.change(entries)

    def displays(self) -> Sequence[DisplayArea]:
        """See `ScreenSource`."""
        return self._source.displays()

    def look(self) -> Noticed:
        """See `ScreenSource`. Places that become covered or uncovered are damage, what is below is not."""
        covers = self._covers(is_after_grab=False)
        noticed = self._source.look()
        damage = noticed.damage
        if len(damage) <= DAMAGE_COMPARED_LIMIT:
            steady = covers & self._told
            damage = tuple(area for area in damage if not any(_holds(cover, area) for cover in steady))
        # besides what changed since the last look, covers that a picture had only for a moment
        changed = (covers ^ self._told) | (self._painted - covers)
        self._told, self._painted = covers, frozenset()
        return Noticed((*damage, *changed), noticed.are_displays_new, noticed.is_cursor_new)

    def grab(self, area: Area) -> Pixels | None:
        """See `ScreenSource`."""
        # what happened before the picture is not to be mixed up with what happens while it is read
        self._covers(is_after_grab=False)
        pixels = self._source.grab(area)
        if pixels is None:
            return None
        covers = self._covers(is_after_grab=True)
        self._painted |= covers
        return painted_over(pixels, area, covers)

    def cursor(self) -> Cursor | None:
        """See `ScreenSource`."""
        return self._source.cursor()

    def close(self) -> None:
        """See `ScreenSource`."""
        if self._both is not None:
            self._both.close()
        self._watch.close()
        self._source.close()

    def _covers(self, *, is_after_grab: bool) -> frozenset[Area]:
        if not self._is_blind:
            try:
                windows = self._watch.look()
                return self._private.covers(windows, self._now_s(), is_after_grab=is_after_grab)
            except BackendUnavailable as exc:
                self._go_blind(exc.detail)
        return frozenset({EVERYWHERE} if self._private.is_strict else ())

    def _go_blind(self, reason: str) -> None:
        self._is_blind = True
        if self._both is not None:
            self._both.unregister(self._watch.wake_fd)
        self._watch.close()
        done = "everything is covered" if self._private.is_strict else "the system's prompts are not covered"
        self._tell(f"{done}, because private windows cannot be found any more: {reason}")


def painted_over(pixels: Pixels, where: Area, covers: Collection[Area]) -> Pixels:
    """The picture of `where` with its covered parts painted over; in place if it can be written to.

    The stripes belong to the desktop and not to the window, so a moving cover changes at its edges only.
    """
    cut = [common for cover in covers if (common := where.common_with(cover)) is not None]
    if not cut:
        return pixels
    mine = pixels if pixels.flags.writeable else pixels.copy()
    words = mine.view(np.uint32)[..., 0]
    for area in cut:
        target = words[area.y - where.y : area.bottom - where.y, area.x - where.x : area.right - where.x]
        period = 2 * STRIPE_PIXELS
        columns = np.arange(area.x, area.right + period) // STRIPE_PIXELS % 2
        line = np.array(STRIPES, np.uint32)[columns]
        for first in range(min(period, area.height)):
            start = (area.y + first) % period
            target[first::period] = line[start : start + area.width]
    return mine


def _is_private(window: SeenWindow, private: Collection[int], programs: Iterable[WindowWords]) -> bool:
    if any(words.window_id in private for words in window.inside):
        return True
    return window.is_popup and any(_is_of(window.itself, program) for program in programs)


def _is_of(popup: WindowWords, program: WindowWords) -> bool:
    """Whether this popup is the program's; frames of a window manager are the window manager's own."""
    if popup.transient_for == program.window_id or popup.owner == program.owner != 0:
        return True
    is_same_process = popup.process_id == program.process_id != 0
    is_same_group = popup.leader == program.leader != 0
    return is_same_process or is_same_group or not set(popup.classes).isdisjoint(program.classes)


def _with_dialogs(fitted: Collection[int], everyone: Iterable[WindowWords]) -> set[int]:
    """These windows, and those that are transient for one of them, and so on."""
    private = set(fitted)
    dialogs = [words for words in everyone if words.transient_for]
    while more := {words.window_id for words in dialogs if words.transient_for in private} - private:
        private |= more
    return private


def _around(areas: Sequence[Area]) -> Area:
    x, y = min(area.x for area in areas), min(area.y for area in areas)
    return Area(x, y, max(area.right for area in areas) - x, max(area.bottom for area in areas) - y)


def _holds(outer: Area, inner: Area) -> bool:
    return outer.common_with(inner) == inner


def _waiting_for(first_fd: int, second_fd: int) -> select.epoll:
    """One descriptor that is readable when one of two is (epoll(7))."""
    if not hasattr(select, "epoll"):
        raise BackendUnavailable("this system has no epoll", code=ErrorCode.E_SCREEN_PRIVATE)
    both = select.epoll(2)
    both.register(first_fd, select.EPOLLIN)
    both.register(second_fd, select.EPOLLIN)
    return both
