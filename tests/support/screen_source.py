"""A screen in memory that implements `ScreenSource`."""

import os
import select

import numpy as np

from agent.platform.interfaces import NO_CURSOR, Area, Cursor, CursorImage, DisplayArea, Noticed
from protocol.errors import BackendUnavailable


class FakeScreen:
    """Draw on it with `draw`; it records what was grabbed."""

    name = "fake"
    detail = "a screen in memory"

    def __init__(self, width: int = 320, height: int = 200, *, can_wake: bool = True) -> None:
        self.pixels = np.zeros((height, width, 4), np.uint8)
        self._areas = [Area(0, 0, width, height)]
        self._damage: list[Area] = list(self._areas)
        self._cursor = Cursor(width // 2, height // 2, CursorImage(1, 1, 0, 0, b"\xff\0\0\xff"))
        self._are_displays_new = self._is_cursor_new = self._is_gone = False
        self._wake = os.eventfd(1, os.EFD_NONBLOCK) if can_wake else None
        self.wake_fd: int | None = self._wake
        self.grabs: list[Area] = []
        self.looks = 0

    def draw(self, area: Area, bgr: tuple[int, int, int]) -> None:
        """Fill an area; it is damaged afterwards."""
        self.pixels[area.y : area.bottom, area.x : area.right, :3] = bgr
        self.damage(area)

    def damage(self, area: Area) -> None:
        """Say that an area changed."""
        self._damage.append(area)
        self._notify()

    def resize(self, width: int, height: int, areas: list[Area] | None = None) -> None:
        """Another desktop size, and other displays on it."""
        self.pixels = np.zeros((height, width, 4), np.uint8)
        self._areas = areas or [Area(0, 0, width, height)]
        self._are_displays_new = True
        self.damage(Area(0, 0, width, height))

    def point(self, x: int, y: int, image: CursorImage | None = None) -> None:
        """Move the cursor, and give it another shape."""
        self._cursor = Cursor(x, y, image or self._cursor.image)
        self._is_cursor_new = True
        self._notify()

    def hide_cursor(self) -> None:
        """No cursor is to be seen."""
        self.point(self._cursor.x, self._cursor.y, NO_CURSOR)

    def break_down(self) -> None:
        """The session of the person ended."""
        self._is_gone = True
        self._notify()

    def displays(self) -> list[DisplayArea]:
        """See `ScreenSource`."""
        self._require_alive()
        return [DisplayArea(f"fake-{number}", area, 1.0) for number, area in enumerate(self._areas)]

    def look(self) -> Noticed:
        """See `ScreenSource`."""
        self._require_alive()
        self.looks += 1
        if self._wake is not None and select.select([self._wake], [], [], 0)[0]:
            os.eventfd_read(self._wake)
        noticed = Noticed(tuple(self._damage), self._are_displays_new, self._is_cursor_new)
        self._damage = list(self._areas) if self._wake is None else []
        self._are_displays_new = self._is_cursor_new = False
        return noticed

    def grab(self, area: Area) -> np.ndarray | None:
        """See `ScreenSource`."""
        self._require_alive()
        self.grabs.append(area)
        height, width, _ = self.pixels.shape
        if area.x < 0 or area.y < 0 or area.right > width or area.bottom > height:
            return None
        return self.pixels[area.y : area.bottom, area.x : area.right].copy()

    def cursor(self) -> Cursor:
        """See `ScreenSource`."""
        self._require_alive()
        return self._cursor

    def close(self) -> None:
        """See `ScreenSource`."""
        if self._wake is not None:
            os.close(self._wake)
            self._wake = None

    def _notify(self) -> None:
        if self._wake is not None:
            os.eventfd_write(self._wake, 1)

    def _require_alive(self) -> None:
        if self._is_gone:
            raise BackendUnavailable("the fake screen is gone")
