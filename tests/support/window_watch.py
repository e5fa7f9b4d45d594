"""A `WindowWatch` in memory."""

import os

from agent.platform.interfaces import Area, SeenWindow, WindowWords
from protocol.errors import BackendUnavailable


def words(window_id: int, window_class: str = "", title: str = "", **more: int) -> WindowWords:
    """What a window says of itself."""
    return WindowWords(
        window_id,
        classes=(window_class,) if window_class else (),
        titles=(title,) if title else (),
        **more,
    )


def window(said: WindowWords, *places: Area, is_popup: bool = False, **more: bool) -> SeenWindow:
    """A window on the desktop without a frame."""
    terms = {"is_known": True, "has_missed_titles": False} | more
    return SeenWindow(said.window_id, tuple(places), is_popup=is_popup, itself=said, inside=(said,), **terms)


class FakeWatch:
    """Says what `windows` holds; what a test puts into `coming` is said once, at the look after the next."""

    def __init__(self, *windows: SeenWindow) -> None:
        self.windows = tuple(windows)
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK)
        self.failure = ""
        self.looks = 0
        self._is_open = True

    def wake(self) -> None:
        """There may be something new."""
        os.eventfd_write(self.wake_fd, 1)

    def look(self) -> tuple[SeenWindow, ...]:
        """See `WindowWatch`."""
        self.looks += 1
        if self.failure:
            raise BackendUnavailable(self.failure)
        return self.windows

    def close(self) -> None:
        """See `WindowWatch`."""
        if self._is_open:
            self._is_open = False
            os.close(self.wake_fd)
