"""How often one technician may ask a person who keeps saying no (sans-I/O; times are monotonic seconds).

Asking again and again until somebody gives in is an attack (THREATS.md CON-10), over several sessions too.
"""

from collections import OrderedDict
from dataclasses import dataclass

NOES_FREE = 3
FIRST_WAIT_S = 60.0
LONGEST_WAIT_S = 3600.0
TECHNICIANS_LIMIT = 1000


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

    def __init__(self) -> None:
        self._noes: OrderedDict[str, _Noes] = OrderedDict()

    def may_ask(self, technician_id: str, now_s: float) -> bool:
        """Whether this technician may ask now."""
        noes = self._noes.get(technician_id)
        return noes is None or now_s - noes.last_s >= noes.wait_s

    def said_no(self, technician_id: str, now_s: float) -> None:
        """The person did not want it."""
        noes = self._noes.pop(technician_id, _Noes(0, now_s))
        was_long_ago = now_s - noes.last_s >= LONGEST_WAIT_S
        self._noes[technician_id] = _Noes(1 if was_long_ago else noes.count + 1, now_s)
        while len(self._noes) > TECHNICIANS_LIMIT:
            self._noes.popitem(last=False)

    def said_yes(self, technician_id: str) -> None:
        """The person allowed something: what was before is forgotten."""
        self._noes.pop(technician_id, None)
