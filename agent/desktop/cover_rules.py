"""What to do when something gets in the way of an indicator, sans-I/O."""

from enum import Enum, auto

COVERED_LIMIT_S = 2.0
LIFTS_PER_S_LIMIT = 20


class Sight(Enum):
    """How much of the indicator can be seen."""

    GONE = auto()
    COVERED = auto()
    PARTLY = auto()
    CLEAR = auto()


class Order(Enum):
    """What the shell does."""

    NOTHING = auto()
    LIFT = auto()
    GIVE_UP = auto()


class CoverRules:
    """Lifts the indicator whenever something stands before it; gives the session up when that does not help.

    "Does not help": it was not in sight for `COVERED_LIMIT_S` on end, from the start on too.
    """

    def __init__(self, now_s: float) -> None:
        self._sight = Sight.GONE
        self._hidden_since_s: float | None = now_s
        self._lifts_s: list[float] = []

    @property
    def is_in_sight(self) -> bool:
        """Whether the person can see it at this moment."""
        return self._hidden_since_s is None

    def seen(self, sight: Sight, now_s: float) -> Order:
        """The display server says how much of it can be seen now."""
        self._sight = sight
        if sight in (Sight.CLEAR, Sight.PARTLY):
            self._hidden_since_s = None
        elif self._hidden_since_s is None:
            self._hidden_since_s = now_s
        return Order.NOTHING if sight is Sight.CLEAR else self._lift(now_s)

    def tick(self, now_s: float) -> Order:
        """Call when other windows may have moved, and a few times a second while it is not in sight."""
        if self._hidden_since_s is not None and now_s - self._hidden_since_s >= COVERED_LIMIT_S:
            return Order.GIVE_UP
        # under a compositor the server never says that a window is covered: lift in any case
        return self._lift(now_s)

    def _lift(self, now_s: float) -> Order:
        self._lifts_s = [at_s for at_s in self._lifts_s if now_s - at_s < 1.0]
        if len(self._lifts_s) >= LIFTS_PER_S_LIMIT:
            return Order.NOTHING
        self._lifts_s.append(now_s)
        return Order.LIFT
