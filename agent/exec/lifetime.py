"""When a running command is ended, sans-I/O: facts and the time go in, orders come out."""

from enum import Enum, auto

TIMEOUT_GRACE_S = 2.0
CANCEL_GRACE_S = 0.1
DRAIN_LIMIT_S = 0.5
KILL_EVERY_S = 0.5
KILLS_LIMIT = 6


class State(Enum):
    """Where a command stands; it only ever moves downwards."""

    RUNNING = auto()
    ENDING = auto()
    DRAINING = auto()
    OVER = auto()


class Cause(Enum):
    """Why it is over: by itself, by us, or nobody knows whether it is."""

    EXITED = auto()
    TIMED_OUT = auto()
    CANCELLED = auto()
    EXCEEDED = auto()
    LOST = auto()


class Order(Enum):
    """What the shell has to do to every process of the command."""

    TERMINATE = auto()
    KILL = auto()


class CommandLifetime:
    """Ends a command at its deadline, when cancelled or when it takes too much: first politely, then not.

    After the program itself has exited its output may still arrive for `DRAIN_LIMIT_S`; processes that it
    left behind and that hold its pipes do not keep it alive. One that `KILLS_LIMIT` kills do not end is given
    up. Times are monotonic seconds.
    """

    def __init__(self, started_s: float, timeout_s: float) -> None:
        self.state = State.RUNNING
        self.cause = Cause.EXITED
        self.deadline_s = started_s + timeout_s
        self._kills = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more is waited for."""
        return self.state is State.OVER

    def exited(self, now_s: float) -> None:
        """The program itself is gone; may be said again."""
        if self.state in (State.RUNNING, State.ENDING):
            self.state = State.DRAINING
            self.deadline_s = now_s + DRAIN_LIMIT_S

    def pipes_closed(self) -> None:
        """All output was read to its end; the program itself may still run."""
        if self.state is State.DRAINING:
            self.state = State.OVER

    def cancelled(self, now_s: float) -> list[Order]:
        """The technician, the person or the service's death ends it; may be said again."""
        if self.state is not State.RUNNING:
            return []
        return self._end(Cause.CANCELLED, now_s + CANCEL_GRACE_S)

    def exceeded(self, now_s: float) -> list[Order]:
        """It took more of the device than it may; it is not asked, since it may grow while it is."""
        if self.state is State.RUNNING:
            self._end(Cause.EXCEEDED, now_s)
        elif self.state is not State.ENDING or self._kills:
            return []
        self.deadline_s = now_s
        return self.tick(now_s)

    def left_over(self) -> None:
        """Something of it could not be ended, whatever became of the program itself."""
        self.state = State.OVER
        self.cause = Cause.LOST

    def tick(self, now_s: float) -> list[Order]:
        """Call at `deadline_s`."""
        if now_s < self.deadline_s or self.state is State.OVER:
            return []
        if self.state is State.RUNNING:
            return self._end(Cause.TIMED_OUT, now_s + TIMEOUT_GRACE_S)
        if self.state is State.ENDING and self._kills < KILLS_LIMIT:
            self._kills += 1
            self.deadline_s = now_s + KILL_EVERY_S
            return [Order.KILL]
        if self.state is State.ENDING:
            self.cause = Cause.LOST
        self.state = State.OVER
        return []

    def _end(self, cause: Cause, kill_at_s: float) -> list[Order]:
        self.state = State.ENDING
        self.cause = cause
        self.deadline_s = kill_at_s
        return [Order.TERMINATE]
