"""When the viewer is told that changes wait (sans-I/O). Times are seconds of one monotonic clock."""

from protocol.messages.screen import Behind

BEHIND_AFTER_S = 0.5
AGAIN_INTERVAL_S = 1.0


class BehindNews:
    """Tell it of every change, and after every picture what still waits."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._told_ms = 0
        self._told_at_s = float("-inf")

    def changed(self, now_s: float) -> None:
        """Something changed that no picture shows yet."""
        if self._since_s is None:
            self._since_s = now_s

    def pictured(self, waits_since_s: float | None) -> None:
        """A picture was made; what it left out waits since then. None: it left nothing out."""
        self._since_s = waits_since_s

    @property
    def due_s(self) -> float | None:
        """When `news` has something to say."""
        if self._since_s is None:
            return self._told_at_s if self._told_ms else None
        if int(self._since_s * 1000) == self._told_ms:
            return None
        return max(self._since_s + BEHIND_AFTER_S, self._told_at_s + AGAIN_INTERVAL_S)

    def news(self, now_s: float) -> list[Behind]:
        """What to tell now; it counts as told."""
        due_s = self.due_s
        if due_s is None or now_s < due_s:
            return []
        self._told_ms = 0 if self._since_s is None else int(self._since_s * 1000)
        if self._told_ms:
            self._told_at_s = now_s
        return [Behind(self._told_ms)]
