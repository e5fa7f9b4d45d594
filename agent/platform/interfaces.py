"""What a platform offers to the screen worker. Everything is in physical pixels, origin top left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    """Height x width x 4 bytes: blue, green, red, and one byte without a meaning (BGRX)."""


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle. Of the whole desktop, unless a parameter's description says otherwise."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column that is outside."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row that is outside."""
        return self.y + self.height

    def common_with(self, other: Area) -> Area | None:
        """What both cover; None if they do not touch."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        width, height = min(self.right, other.right) - x, min(self.bottom, other.bottom) - y
        return Area(x, y, width, height) if width > 0 and height > 0 else None

    def moved(self, dx: int, dy: int) -> Area:
        """The same size elsewhere."""
        return Area(self.x + dx, self.y + dy, self.width, self.height)


@dataclass(frozen=True, slots=True)
class DisplayArea:
    """One monitor; `scale` is physical pixels per logical pixel, 1.0 where there is no scaling."""

    name: str
    area: Area
    scale: float


@dataclass(frozen=True, slots=True)
class CursorImage:
    """RGBA, 8 bits each, not premultiplied, row by row. Width and height 0: the cursor is hidden."""

    width: int
    height: int
    hot_x: int
    hot_y: int
    rgba: bytes


NO_CURSOR = CursorImage(0, 0, 0, 0, b"")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Position of the hot spot on the desktop; `image` stays the same object while the shape does."""

    x: int
    y: int
    image: CursorImage


@dataclass(frozen=True, slots=True)
class Noticed:
    """What changed since the last look. `damage` may overlap, and may name what did not change."""

    damage: tuple[Area, ...] = ()
    are_displays_new: bool = False
    is_cursor_new: bool = False

    @property
    def is_anything(self) -> bool:
        """Whether there is a reason to act."""
        return bool(self.damage) or self.are_displays_new or self.is_cursor_new


class ScreenSource(Protocol):
    """Reads the screen. One instance per session, used from one thread.

    `wake_fd` becomes readable when `look` may have something to say: whoever waits for it captures nothing
    while nothing changes. It is None where the system cannot wake us; then the caller asks at its own modest
    rate, and `look` names every display as damaged that may have changed. `name` is what `--source` takes.
    `detail` says how the pixels are read, for people.

    Every method raises BackendUnavailable when the screen is gone for good (the person logged out).
    """

    name: str
    detail: str
    wake_fd: int | None

    def displays(self) -> Sequence[DisplayArea]:
        """Every monitor, at least one, the primary one first. Asks the system anew at each call."""
        ...

    def look(self) -> Noticed:
        """What changed since the last look, without waiting. Pixels that change later are named later."""
        ...

    def grab(self, area: Area) -> Pixels | None:
        """The pixels of `area` as they are now, without the cursor if `cursor` gives one.

        The array is the source's own and holds until the next call of any method; where it is writeable, the
        caller may write to it. None: the area is not (wholly) on the desktop any more; read `displays` again.
        """
        ...

    def cursor(self) -> Cursor | None:
        """Where the cursor is and how it looks; None where the source draws it into the picture."""
        ...

    def close(self) -> None:
        """Releases every handle. May be called twice; nothing else may be called after it."""
        ...


@dataclass(frozen=True, slots=True)
class WindowWords:
    """What one window says of itself, and whose it is. 0 and "" where it says nothing.

    `owner` is the connection to the window system that made it; `leader` the window that its program
    declared as the first of its group; `transient_for` the window that it is a dialog of.
    """

    window_id: int
    owner: int = 0
    process_id: int = 0
    leader: int = 0
    transient_for: int = 0
    classes: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    are_titles_cut: bool = False


@dataclass(frozen=True, slots=True)
class SeenWindow:
    """One window that lies directly on the desktop, as it was between two looks.

    `places`: every area that it covered at any moment since the end of the last look, decoration
    included; empty if it was not to be seen. `is_popup`: its program places it without a window manager
    (menus, tips). `itself` are its own words, `inside` those of every named window in it, itself included.
    `is_known` False: it could not be asked, so it may be anything. `has_missed_titles`: it had another
    title for a moment, which nobody could read.
    """

    window_id: int
    places: tuple[Area, ...]
    is_popup: bool
    is_known: bool
    has_missed_titles: bool
    itself: WindowWords
    inside: tuple[WindowWords, ...]


class WindowWatch(Protocol):
    """Knows which windows there are. One instance per session, used from one thread.

    `wake_fd` becomes readable when there may be something new. Both methods may be called at any time; after
    `look` has raised BackendUnavailable only `close`.
    """

    wake_fd: int

    def look(self) -> tuple[SeenWindow, ...]:
        """Every window, and where it has been since the last look: nothing is left out, however short.

        The same object as the last time if nothing happened. Raises BackendUnavailable when that cannot be
        promised any more.
        """
        ...

    def close(self) -> None:
        """Releases every handle. May be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """One display as a packet of `codec` (its WebCodecs name); without a keyframe before it is of no use."""

    codec: str
    is_key: bool
    width: int
    height: int
    encoded: bytes


@dataclass(frozen=True, slots=True)
class EncodedNews:
    """What came since the last look: packets in order, none left out between two keyframes."""

    pictures: tuple[EncodedPicture, ...] = ()
    are_displays_new: bool = False


@dataclass(frozen=True, slots=True)
class Steering:
    """How the encoder is to go on."""

    rate_bytes_per_s: float
    pictures_per_s: float
    wants_key: bool = False


@runtime_checkable
class EncodedScreenSource(Protocol):
    """A screen that the system gives as video only, one display at a time, with the cursor in it.

    For systems where nobody may read pixels. `codecs`, best first, are what `stream` takes. `name`, `detail`
    and `wake_fd` as in `ScreenSource`, except that there always is a `wake_fd`.

    Every method raises BackendUnavailable when the screen is gone for good, or the person refused it.
    """

    name: str
    detail: str
    wake_fd: int
    codecs: tuple[str, ...]

    def displays(self) -> Sequence[DisplayArea]:
        """Every monitor, at least one."""
        ...

    def stream(self, index: int, codec: str, steering: Steering) -> None:
        """From now on packets of this display come, a keyframe first. Ends the stream before."""
        ...

    def look(self) -> EncodedNews:
        """What came since the last look, without waiting."""
        ...

    def steer(self, steering: Steering) -> None:
        """Another rate, and a keyframe if one is wanted. Nothing happens before `stream`."""
        ...

    def close(self) -> None:
        """Releases every handle. May be called twice; nothing else may be called after it."""
        ...
