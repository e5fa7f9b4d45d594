"""How much an encoder may spend on a frame: less as soon as it cannot keep up with the film (sans-I/O).

What is saved first is quality for the same bits (the encoder's own levels), then frames: 30, 15, 8 a second.
Times are seconds of one monotonic clock; how long a frame took is measured by whoever encodes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

BUSY_SHARE = 0.6
"""Of the time between two frames, spent on encoding one: the rest of it is for the screen and the link.

As long as it takes by the clock: on a machine that has other work, an encoder sustains less."""
FRAME_INTERVALS_S = (1 / 30, 1 / 15, 1 / 8)
"""On average. Encoders are set for 30 a second, and not all of them notice that more come."""
FIRST_FRAMES = 10
SMOOTHING = 0.1
LONGEST_PERIOD_S = 0.25
RISE_AFTER_S = 5.0
RISE_LIMIT_S = 120.0
COSTS_MORE = 1.6
"""What the level above costs at most; twice the frames cost twice as much."""
EARLY_SHARE = 0.3
"""Of the interval, by which a frame may be early: films and clocks are never quite even."""


@dataclass(frozen=True, slots=True)
class _Step:
    level: int
    interval_s: float


class Effort:
    """Of one region; `levels` is how many its encoder has, the best first."""

    def __init__(self, levels: int = 1) -> None:
        self._place = self._frames = 0
        self._encode_s = self._period_s = 0.0
        self._since_s: float | None = None
        self._has_risen = False
        self._rise_after_s = RISE_AFTER_S
        self._frame_at_s: float | None = None
        self._next_s = -math.inf
        self.use(levels)

    def use(self, levels: int) -> None:
        """Another encoder; a place that was found for the one before is kept as far as there is one."""
        last = max(1, levels) - 1
        self._steps = [_Step(level, FRAME_INTERVALS_S[0]) for level in range(last)]
        self._steps += [_Step(last, interval_s) for interval_s in FRAME_INTERVALS_S]
        self._place = min(self._place, len(self._steps) - 1)
        self._begin(None)

    @property
    def level(self) -> int:
        """The encoder's level, 0 is the best."""
        return self._steps[self._place].level

    @property
    def interval_s(self) -> float:
        """The time between two frames, on average at least."""
        return self._steps[self._place].interval_s

    @property
    def due_s(self) -> float:
        """When the next frame may be made."""
        return self._next_s - EARLY_SHARE * self.interval_s

    def spent(self, encode_s: float, now_s: float) -> None:
        """A frame was made now, and took so long."""
        if self._frame_at_s is not None:
            period_s = min(now_s - self._frame_at_s, LONGEST_PERIOD_S)
            self._encode_s = _smoothed(self._encode_s, encode_s, self._frames)
            self._period_s = _smoothed(self._period_s, period_s, self._frames)
            self._frames += 1
        self._frame_at_s = now_s
        self._next_s = max(self._next_s, now_s - EARLY_SHARE * self.interval_s) + self.interval_s
        if self._since_s is None:
            self._since_s = now_s
        if self._frames >= FIRST_FRAMES:
            self._judge(now_s)

    def _judge(self, now_s: float) -> None:
        assert self._since_s is not None
        stayed_s = now_s - self._since_s
        if self._share > BUSY_SHARE and self._place + 1 < len(self._steps):
            # what was tried and failed is tried again less and less often
            was_tried = self._has_risen and stayed_s < RISE_AFTER_S
            self._rise_after_s = min(2 * self._rise_after_s, RISE_LIMIT_S) if was_tried else RISE_AFTER_S
            self._move(1, now_s)
        elif self._place and stayed_s >= self._rise_after_s and self._share_above <= BUSY_SHARE:
            self._move(-1, now_s)

    @property
    def _share(self) -> float:
        return self._encode_s / self._period_s if self._period_s else 0.0

    @property
    def _share_above(self) -> float:
        """What the share would be a step up."""
        above = self._steps[self._place - 1]
        if above.level != self.level:
            return self._share * COSTS_MORE
        return self._share * self.interval_s / above.interval_s

    def _move(self, steps: int, now_s: float) -> None:
        self._place += steps
        self._begin(now_s)
        self._has_risen = steps < 0

    def _begin(self, now_s: float | None) -> None:
        self._since_s = now_s
        self._has_risen = False
        self._encode_s = self._period_s = 0.0
        self._frames = 0


def _smoothed(before: float, value: float, count: int) -> float:
    weight = max(SMOOTHING, 1 / (count + 1))
    return before + weight * (value - before)
