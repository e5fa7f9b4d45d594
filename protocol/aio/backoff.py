"""How long to wait before the next try (pure; beside the shells that use it)."""

import random
from collections.abc import Callable

FIRST_S = 0.5
LONGEST_S = 30.0


class Backoff:
    """Full jitter: each wait is uniform between 0 and a ceiling that doubles up to `longest_s`.

    Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("full jitter").
    """

    def __init__(
        self,
        *,
        first_s: float = FIRST_S,
        longest_s: float = LONGEST_S,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._draw = draw
        self._ceiling_s = first_s

    def next_delay_s(self) -> float:
        """Seconds to wait before the next try; raises the ceiling for the one after."""
        delay_s = self._draw(0.0, self._ceiling_s)
        self._ceiling_s = min(self._ceiling_s * 2, self._longest_s)
        return delay_s

    def reset(self) -> None:
        """A try worked; start over."""
        self._ceiling_s = self._first_s
