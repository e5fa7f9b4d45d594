"""The second screen source: mss, wherever it runs. It cannot tell what changed, so it is polled."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from agent.platform.interfaces import Area, Cursor, DisplayArea, Noticed
from protocol.errors import BackendUnavailable
from protocol.limits import DISPLAY_LIMIT

if TYPE_CHECKING:
    from agent.platform.interfaces import Pixels

NAME = "mss"
LOOKS_PER_DISPLAY_CHECK = 20


def open_mss_screen(*, may_draw_cursor: bool) -> MssScreen:
    """Opens the screen of this process's session.

    `may_draw_cursor`: mss can draw the cursor into the picture (on Linux only).

    Raises:
        BackendUnavailable: with what is missing.
    """
    try:
        bindings = import_module("mss")
    except ImportError as exc:
        raise BackendUnavailable(
            f"mss cannot be loaded ({exc}); install it with: pip install 'alongside[agent]'"
        ) from exc
    try:
        return MssScreen(bindings, may_draw_cursor=may_draw_cursor)
    except (bindings.ScreenShotError, OSError) as exc:
        raise BackendUnavailable(
            f"mss cannot read the screen ({exc}); start the agent inside the person's graphical session"
        ) from exc


class MssScreen:
    """A `ScreenSource`; see there. The cursor is part of the picture."""

    name = NAME
    wake_fd: int | None = None

    def __init__(self, bindings: Any, *, may_draw_cursor: bool) -> None:
        self._bindings = bindings
        self._may_draw_cursor = may_draw_cursor
        self.detail = "mss, asked several times a second"
        self._capture = self._opened()
        self._is_open = True
        self._looks = 0
        self._known = tuple(self._read_displays(self._capture))

    def displays(self) -> Sequence[DisplayArea]:
        """See `ScreenSource`."""
        self._known = self._fresh_displays()
        return self._known

    def look(self) -> Noticed:
        """Every display, each time; whether there are new ones is checked at every twentieth look."""
        self._looks += 1
        before = self._known
        if self._looks % LOOKS_PER_DISPLAY_CHECK == 0:
            self._known = self._fresh_displays()
        return Noticed(tuple(display.area for display in self._known), self._known != before)

    def grab(self, area: Area) -> Pixels | None:
        """See `ScreenSource`."""
        import numpy as np

        place = {"left": area.x, "top": area.y, "width": area.width, "height": area.height}
        try:
            shot = self._capture.grab(place)
        except (self._bindings.ScreenShotError, AssertionError) as exc:
            # mss asserts that an X server which went away has answered
            if any(display.area.common_with(area) == area for display in self._fresh_displays()):
                raise BackendUnavailable(f"mss cannot read the screen any more ({exc})") from exc
            return None
        if (shot.width, shot.height) != (area.width, area.height):
            return None
        return np.frombuffer(shot.raw, np.uint8).reshape(area.height, area.width, 4)

    def cursor(self) -> Cursor | None:
        """None: the picture has it."""
        return None

    def close(self) -> None:
        """See `ScreenSource`."""
        if self._is_open:
            self._is_open = False
            # after a lost connection mss raises here, and a second close would use freed memory
            with suppress(self._bindings.ScreenShotError):
                self._capture.close()

    def _opened(self) -> Any:
        return self._bindings.MSS(with_cursor=True) if self._may_draw_cursor else self._bindings.MSS()

    def _fresh_displays(self) -> tuple[DisplayArea, ...]:
        # mss keeps its list for good, so a second instance reads what is there now
        try:
            probe = self._opened()
            try:
                return tuple(self._read_displays(probe))
            finally:
                probe.close()
        except (self._bindings.ScreenShotError, OSError) as exc:
            raise BackendUnavailable(f"mss cannot read the screen any more ({exc})") from exc

    def _read_displays(self, capture: Any) -> list[DisplayArea]:
        whole, *monitors = capture.monitors
        monitors.sort(key=lambda monitor: not monitor.get("is_primary", False))
        found = [
            DisplayArea(
                str(monitor.get("name") or monitor.get("output") or f"display {index}"),
                Area(monitor["left"], monitor["top"], monitor["width"], monitor["height"]),
                1.0,
            )
            for index, monitor in enumerate(monitors or [whole])
        ]
        return found[:DISPLAY_LIMIT]
