"""The watch over the window thread: while a session lives and that thread is stuck, this program ends.

Its end kills the screen workers (they ask the kernel for that), lets go of the display, and tells the service
that nobody can see the session any more.
"""

import os
import threading
import time
from collections.abc import Callable

STUCK_LIMIT_S = 2.0
LOOK_S = 0.5


class StuckWatch:
    """`beat` comes from the window thread; `on_stuck` runs on the watch's thread, then the program ends."""

    def __init__(self, on_stuck: Callable[[], None], end: Callable[[int], None] = os._exit) -> None:
        self._on_stuck = on_stuck
        self._end = end
        self._beat_s = time.monotonic()
        self._is_needed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stuck-watch", daemon=True)
        self._thread.start()

    def beat(self) -> None:
        """The window thread is alive."""
        self._beat_s = time.monotonic()

    def watch(self, *, is_needed: bool) -> None:
        """Look from now on, or rest."""
        if is_needed and not self._is_needed.is_set():
            self.beat()
            self._is_needed.set()
        elif not is_needed:
            self._is_needed.clear()

    def _run(self) -> None:
        while True:
            self._is_needed.wait()
            time.sleep(LOOK_S)
            if self._is_needed.is_set() and time.monotonic() - self._beat_s > STUCK_LIMIT_S:
                self._on_stuck()
                self._end(1)
                return
