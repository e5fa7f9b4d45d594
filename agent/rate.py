"""How often something may happen, so that a hostile relay cannot fill our disk with its own refusals."""

from collections import deque


class RateLimit:
    """At most `count` times in any `per_s` seconds (a sliding window)."""

    def __init__(self, count: int, per_s: float) -> None:
        self._times: deque[float] = deque(maxlen=count)
        self._per_s = per_s

    def allows(self, now_s: float) -> bool:
        """Whether it may happen now; counted only if it may."""
        is_full = len(self._times) == self._times.maxlen
        if is_full and now_s - self._times[0] < self._per_s:
            return False
        self._times.append(now_s)
        return True
