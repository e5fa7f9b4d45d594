"""Whether a screen worker that is gone is started again (sans-I/O).

A worker that died by itself is started again once for each channel. A cause that a further start does not
remove would end the next one too, and each start costs the viewer a whole picture: after a second death the
channel ends with the code, and the technician decides whether to open it anew. Nothing is started again after
an order to end (revoke, Stop, the end of the session), nor where no screen can be shown.
"""

from enum import Enum, auto

from protocol.errors import ErrorCode, WrongState


class State(Enum):
    """Where the worker of this channel stands."""

    STARTING = auto()
    SHOWING = auto()
    RESTARTING = auto()
    SHOWING_AGAIN = auto()
    OVER = auto()


class Input(Enum):
    """What happened."""

    CAME = auto()  # it is connected
    DIED = auto()  # by itself; another one may do better
    FAILED = auto()  # it could not start, was killed by order, or another one would fare no better
    CLOSED = auto()  # the channel is over


class Order(Enum):
    """What the caller has to do next."""

    SHOW = auto()  # pass its messages on
    START_AGAIN = auto()
    TELL_AND_SHOW = auto()  # say `screen.restarted`, then pass its messages on
    FAIL = auto()  # say `screen.failed`
    NOTHING = auto()


TRANSITIONS: dict[tuple[State, Input], tuple[State, Order]] = {
    (State.STARTING, Input.CAME): (State.SHOWING, Order.SHOW),
    (State.STARTING, Input.DIED): (State.OVER, Order.FAIL),
    (State.STARTING, Input.FAILED): (State.OVER, Order.FAIL),
    (State.SHOWING, Input.DIED): (State.RESTARTING, Order.START_AGAIN),
    (State.SHOWING, Input.FAILED): (State.OVER, Order.FAIL),
    (State.RESTARTING, Input.CAME): (State.SHOWING_AGAIN, Order.TELL_AND_SHOW),
    (State.RESTARTING, Input.DIED): (State.OVER, Order.FAIL),
    (State.RESTARTING, Input.FAILED): (State.OVER, Order.FAIL),
    (State.SHOWING_AGAIN, Input.DIED): (State.OVER, Order.FAIL),
    (State.SHOWING_AGAIN, Input.FAILED): (State.OVER, Order.FAIL),
    (State.STARTING, Input.CLOSED): (State.OVER, Order.NOTHING),
    (State.SHOWING, Input.CLOSED): (State.OVER, Order.NOTHING),
    (State.RESTARTING, Input.CLOSED): (State.OVER, Order.NOTHING),
    (State.SHOWING_AGAIN, Input.CLOSED): (State.OVER, Order.NOTHING),
}


class WorkerLife:
    """One channel's worker, from its first start to the end of the channel."""

    def __init__(self) -> None:
        self.state = State.STARTING

    def step(self, given: Input) -> Order:
        """What to do after this.

        Raises:
            WrongState: this cannot happen now; nothing has changed.
        """
        try:
            self.state, order = TRANSITIONS[self.state, given]
        except KeyError:
            raise WrongState(f"{given.name} while {self.state.name}") from None
        return order


def what_ended(said: str | None, told: ErrorCode | None) -> Input:
    """What the end of a connected worker was.

    `said` is the code of the worker's own last message, `told` the desktop process's code for its end;
    None where there was none. The desktop process tells no end that was ordered, so without its word
    nothing is started again.
    """
    died = told is not None and (said or told) == ErrorCode.E_SCREEN_FAILED
    return Input.DIED if died else Input.FAILED
