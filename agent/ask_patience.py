"""How often a person may be asked who keeps saying no (sans-I/O; times are monotonic seconds).

Asking again and again until somebody gives in is an attack (THREATS.md CON-10): over several sessions too,
by several technicians, and over a restart of the service. What is remembered goes out by `kept` and in by
`restore`.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from protocol.errors import ErrorCode

NOES_FREE = 3
FIRST_WAIT_S = 60.0
LONGEST_WAIT_S = 3600.0
TECHNICIANS_LIMIT = 1000
DEVICE_NOES_LIMIT = 8
DEVICE_WINDOW_S = 600.0


class KeptNoes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One technician's noes: how many in a row, how long ago the last.

    `blocked_s`: an older version kept here for how long a block still holds; see `agent.blocks`.
    """

    technician_id: str
    count: int
    age_s: float
    blocked_s: float = 0.0


class KeptPatience(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is remembered; `recent_s` is how long ago the newest noes were, whoever got them."""

    technicians: list[KeptNoes]
    recent_s: list[float]


@dataclass(frozen=True, slots=True)
class _Noes:
    count: int
    last_s: float

    @property
    def wait_s(self) -> float:
        """How long the next ask has to wait after the last no."""
        if self.count < NOES_FREE:
            return 0.0
        return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(self.count - NOES_FREE, 10))


class AskPatience:
    """One for each device. A no is a refusal, no answer, a prompt taken back unanswered, or Stop."""

    def __init__(self, on_change: Callable[["AskPatience"], None] = lambda _: None) -> None:
        """`on_change` keeps what there is now, on the disk."""
        self._on_change = on_change
        self._noes: OrderedDict[str, _Noes] = OrderedDict()
        self._recent_s: deque[float] = deque(maxlen=DEVICE_NOES_LIMIT)

    def refusal(self, technician_id: str, now_s: float) -> ErrorCode | None:
        """Why this technician may not ask now; None when it may."""
        noes = self._noes.get(technician_id)
        if noes is not None and now_s - noes.last_s < noes.wait_s:
            return ErrorCode.E_RATE
        # many technicians, or one with many certificates: the person has to have some peace
        is_worn_down = len(self._recent_s) == DEVICE_NOES_LIMIT
        return ErrorCode.E_RATE if is_worn_down and now_s - self._recent_s[0] < DEVICE_WINDOW_S else None

    def said_no(self, technician_id: str, now_s: float) -> None:
        """The person did not want it."""
        noes = self._noes.pop(technician_id, _Noes(0, now_s))
        was_long_ago = now_s - noes.last_s >= LONGEST_WAIT_S
        self._recent_s.append(now_s)
        self._put(technician_id, _Noes(1 if was_long_ago else noes.count + 1, now_s))

    def said_yes(self, technician_id: str) -> None:
        """The person allowed something: what was before is forgotten."""
        had_recent = bool(self._recent_s)
        self._recent_s.clear()
        if self._noes.pop(technician_id, None) is not None or had_recent:
            self._on_change(self)

    def kept(self, now_s: float) -> KeptPatience:
        """What is to be remembered."""
        return KeptPatience(
            [KeptNoes(name, noes.count, now_s - noes.last_s) for name, noes in self._noes.items()],
            [now_s - at_s for at_s in self._recent_s],
        )

    def restore(self, kept: KeptPatience, now_s: float, *, away_s: float) -> None:
        """Go on with what was remembered `away_s` ago."""
        for each in kept.technicians[-TECHNICIANS_LIMIT:]:
            last_s = now_s - max(0.0, each.age_s) - away_s
            self._noes[each.technician_id] = _Noes(max(0, each.count), last_s)
        self._recent_s.extend(now_s - max(0.0, age_s) - away_s for age_s in kept.recent_s)

    def _put(self, technician_id: str, noes: _Noes) -> None:
        self._noes[technician_id] = noes
        while len(self._noes) > TECHNICIANS_LIMIT:
            self._noes.popitem(last=False)
        self._on_change(self)
