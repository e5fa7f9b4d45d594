"""Which requests this agent has taken, and how many run: each id at most once, a few at a time."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from protocol.errors import ErrorCode, Refused
from protocol.ids import RequestId
from protocol.limits import COMMANDS_AT_ONCE_LIMIT

REMEMBERED_LIMIT = 20_000


class CommandLedger:
    """One for each run of the agent, shared by all its sessions.

    The newest `REMEMBERED_LIMIT` ids are remembered; older ones cannot be repeated by anybody but a
    technician who holds a grant, since nothing replays what is inside the tunnel.
    """

    def __init__(self) -> None:
        self._taken: OrderedDict[RequestId, None] = OrderedDict()
        self._running = 0

    def take(self, request_id: RequestId) -> None:
        """Remember the id, whether or not it will run.

        Raises:
            Refused: E_STATE, it was taken before.
        """
        if request_id in self._taken:
            raise Refused("this request was taken before; it is not run twice", code=ErrorCode.E_STATE)
        self._taken[request_id] = None
        if len(self._taken) > REMEMBERED_LIMIT:
            self._taken.popitem(last=False)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the few places for running commands.

        Raises:
            Refused: E_BUSY, all are held.
        """
        if self._running >= COMMANDS_AT_ONCE_LIMIT:
            raise Refused(f"{self._running} commands run already", code=ErrorCode.E_BUSY)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
