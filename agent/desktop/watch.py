"""The watch over the window thread: while a session lives and that thread is stuck, this program ends.

Its end kills the screen workers (they ask the kernel for that), lets go of the display, and tells the service
that nobody can see the session any more.
"""

import os
import threading
import time
from collections.abc import Callable

STUCK_LIMIT_S = 1.5
LOOK_S = 1.5


class StuckWatch:
    """Asks the window thread now and then, which answers by `beat` within STUCK_LIMIT_S, or the program ends.

    `ask` makes the window thread call `beat`; it and `on_stuck` run on the watch's thread.
    """

    def __init__(
        self,
        ask: Callable[[], None],
        on_stuck: Callable[[], None],
        end: Callable[[int], None] = os._exit,
    ) -> None:
        self._ask = ask
        self._on_stuck = on_stuck
        self._end = end
        self._is_alive = threading.Event()
        self._is_needed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stuck-watch", daemon=True)
        self._thread.start()

    def beat(self) -> None:
        """The window thread is alive."""
        self._is_alive.set()

    def watch(self, *, is_needed: bool) -> None:
        """Look from now on, or rest."""
        if is_needed:
            self._is_needed.set()
        else:
            self._is_needed.clear()

    def _run(self) -> None:
        while True:
            self._is_needed.wait()
            self._is_alive.clear()
            self._ask()
            if not self._is_alive.wait(STUCK_LIMIT_S) and self._is_needed.is_set():
                self._on_stuck()
                self._end(1)
                return
            time.sleep(LOOK_S)
