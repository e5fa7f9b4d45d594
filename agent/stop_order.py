"""An order to end from outside of the event loop, where no signal can bring it (a service of Windows)."""

import asyncio
from collections.abc import Callable
from threading import Lock


class StopOrder:
    """Given from any thread, before or after somebody listens; once is enough."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._is_given = False
        self._tell: Callable[[], object] | None = None

    def give(self) -> None:
        """End what listens, and what will."""
        with self._lock:
            self._is_given = True
            if self._tell is not None:
                self._tell()

    def listen(self, heard: Callable[[], None]) -> None:
        """From the running loop: have it call `heard` when the order comes, or soon if it came already."""
        loop = asyncio.get_running_loop()
        with self._lock:
            self._tell = lambda: loop.call_soon_threadsafe(heard)
            if self._is_given:
                self._tell()

    def forget(self) -> None:
        """Nobody listens any more; to be called before the loop is closed."""
        with self._lock:
            self._tell = None
