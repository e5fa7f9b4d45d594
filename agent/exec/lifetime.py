"""When a running command is ended, sans-I/O: facts and the time go in, orders come out."""

from enum import Enum, auto

TIMEOUT_GRACE_S = 2.0
CANCEL_GRACE_S = 0.1
DRAIN_LIMIT_S = 0.5


class State(Enum):
    """Where a command stands; it only ever moves downwards."""

    RUNNING = auto()
    ENDING = auto()
    DRAINING = auto()
    OVER = auto()


class Cause(Enum):
    """Why it is over: by itself, or by us."""

    EXITED = auto()
    TIMED_OUT = auto()
    CANCELLED = auto()


class Order(Enum):
    """What the shell has to do to every process of the command."""

    TERMINATE = auto()
    KILL = auto()


class CommandLifetime:
    """Ends a command at its deadline or when cancelled: first politely, then not.

    After the program itself has exited its output may still arrive for `DRAIN_LIMIT_S`; processes that it
    left behind and that hold its pipes do not keep it alive. Times are monotonic seconds.
    """

    def __init__(self, started_s: float, timeout_s: float) -> None:
        self.state = State.RUNNING
        self.cause = Cause.EXITED
        self.deadline_s = started_s + timeout_s

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

    def tick(self, now_s: float) -> list[Order]:
        """Call at `deadline_s`."""
        if now_s < self.deadline_s or self.state is State.OVER:
            return []
        if self.state is State.RUNNING:
            return self._end(Cause.TIMED_OUT, now_s + TIMEOUT_GRACE_S)
        if self.state is State.ENDING:
            self.deadline_s = (
                now_s + DRAIN_LIMIT_S
            )  # a kill may take a moment; it is repeated until it has worked
            return [Order.KILL]
        self.state = State.OVER
        return []

    def _end(self, cause: Cause, kill_at_s: float) -> list[Order]:
        self.state = State.ENDING
        self.cause = cause
        self.deadline_s = kill_at_s
        return [Order.TERMINATE]
