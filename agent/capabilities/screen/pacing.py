"""When to look at the screen again (sans-I/O). Times are seconds of one monotonic clock."""

PICTURE_INTERVAL_S = 1 / 60
LOOK_INTERVAL_S = 1 / 250
CURSOR_CHECK_INTERVAL_S = 5.0
POLL_ACTIVE_INTERVAL_S = 1 / 30
POLL_IDLE_INTERVAL_S = 1 / 10


class LookPace:
    """Limits how often a source is looked at.

    A source that wakes us is left alone until it does, but for a slow check of the cursor (a program can
    move it without an event; most that do also draw something, and each picture checks it). While something
    goes on it is looked at every 4 ms at most, and only as often as pictures are made while one is held
    back. A source that cannot wake us is asked ten times a second, thirty while its pictures change.
    """

    def __init__(self, *, can_wake: bool) -> None:
        self._can_wake = can_wake
        self._earliest_s = 0.0
        self.due_s = 0.0

    def looked(self, now_s: float, *, is_active: bool, is_held: bool) -> None:
        """The source was looked at. `is_active`: there was something; `is_held`: a picture has to wait."""
        if not self._can_wake:
            self.due_s = now_s + (POLL_ACTIVE_INTERVAL_S if is_active else POLL_IDLE_INTERVAL_S)
            self._earliest_s = self.due_s
        elif is_active:
            # due at once after: replies read from an X server may have brought events past the socket
            self._earliest_s = self.due_s = now_s + (PICTURE_INTERVAL_S if is_held else LOOK_INTERVAL_S)
        else:
            self._earliest_s, self.due_s = now_s, now_s + CURSOR_CHECK_INTERVAL_S

    def may_wake(self, now_s: float) -> bool:
        """Whether the source's `wake_fd` is to be watched now."""
        return self._can_wake and now_s >= self._earliest_s
