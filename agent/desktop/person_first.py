"""Whose pointer it is: while a person uses a device of their own, nobody moves it from afar.

What counts as a movement: a net way of MOVED_PX within GUARD_S, so a mouse that trembles on its table stops
nobody. Who is moving already aims with less: then AIMED_PX do. A press always counts.
"""

from typing import Final

GUARD_S: Final = 1.0
"""So long after the person's last movement, press or key."""
MOVED_PX: Final = 8
AIMED_PX: Final = 2
_LONG_AGO_S: Final = float("-inf")


class PersonFirst:
    """Told of what a person's own devices do; answers for the pointer with its buttons, and for the keys."""

    def __init__(self) -> None:
        self._way: tuple[float, float] = (0.0, 0.0)
        self._since_s = self._pointer_s = self._keys_s = _LONG_AGO_S

    def moved(self, dx: float, dy: float, now_s: float) -> None:
        """The device moved by so many pixels."""
        if now_s - self._since_s >= GUARD_S:
            self._way, self._since_s = (0.0, 0.0), now_s
        self._way = (self._way[0] + dx, self._way[1] + dy)
        enough = AIMED_PX if self.has_pointer(now_s) else MOVED_PX
        if max(abs(each) for each in self._way) >= enough:
            self._way, self._since_s = (0.0, 0.0), now_s
            self._pointer_s = now_s

    def pressed(self, now_s: float) -> None:
        """A button or a finger went down or up."""
        self._pointer_s = now_s

    def typed(self, now_s: float) -> None:
        """A key went down or up."""
        self._keys_s = now_s

    def has_pointer(self, now_s: float) -> bool:
        """Whether the pointer and its buttons are the person's now."""
        return now_s - self._pointer_s < GUARD_S

    def has_keys(self, now_s: float) -> bool:
        """Whether the keys are the person's now."""
        return now_s - self._keys_s < GUARD_S
