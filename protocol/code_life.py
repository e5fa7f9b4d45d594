"""The life of one shown support code: one guess, ten minutes, and no way back (sans-I/O).

    SHOWN --taken--> TRIED --right--> MATCHED        SHOWN --time_over--> EXPIRED
                       `-----wrong--> REFUSED        SHOWN, TRIED --cancelled--> CANCELLED

It lives in memory alone: when the program or the machine ends, so does the code.
"""

from enum import Enum, auto

from protocol.errors import ErrorCode, Refused
from protocol.limits import CODE_LIFETIME_S
from protocol.support_code import SupportCode


class CodeState(Enum):
    """Where the code stands; only a code that is SHOWN can still be tried."""

    SHOWN = auto()
    TRIED = auto()
    MATCHED = auto()
    REFUSED = auto()
    EXPIRED = auto()
    CANCELLED = auto()


class CodeInput(Enum):
    """What happened."""

    TAKEN = auto()
    RIGHT = auto()
    WRONG = auto()
    TIME_OVER = auto()
    CANCELLED = auto()


TRANSITIONS: dict[tuple[CodeState, CodeInput], CodeState] = {
    (CodeState.SHOWN, CodeInput.TAKEN): CodeState.TRIED,
    (CodeState.SHOWN, CodeInput.TIME_OVER): CodeState.EXPIRED,
    (CodeState.SHOWN, CodeInput.CANCELLED): CodeState.CANCELLED,
    (CodeState.TRIED, CodeInput.RIGHT): CodeState.MATCHED,
    (CodeState.TRIED, CodeInput.WRONG): CodeState.REFUSED,
    (CodeState.TRIED, CodeInput.CANCELLED): CodeState.CANCELLED,
}


class CodeLife:
    """Times are seconds of a clock that nobody sets and that goes on while the machine sleeps."""

    def __init__(self, code: SupportCode, *, now_s: float) -> None:
        self.code = code
        self.state = CodeState.SHOWN
        self.deadline_s = now_s + CODE_LIFETIME_S

    def take(self, now_s: float) -> str:
        """Count the one guess, and only then hand the secret out to be compared.

        Raises:
            Refused: E_CODE_EXPIRED; E_CODE_USED, it was tried, or the person does not wait any more.
        """
        self.tick(now_s)
        if self.state is CodeState.EXPIRED:
            raise Refused("ten minutes are over", code=ErrorCode.E_CODE_EXPIRED)
        if not self._step(CodeInput.TAKEN):
            raise Refused(f"the code is {self.state.name}", code=ErrorCode.E_CODE_USED)
        return self.code.secret

    def judged(self, *, is_right: bool) -> bool:
        """What came of the guess; False when the person took the code back meanwhile."""
        return self._step(CodeInput.RIGHT if is_right else CodeInput.WRONG)

    def cancel(self) -> bool:
        """The person does not wait any more; False when it was over already."""
        return self._step(CodeInput.CANCELLED)

    def tick(self, now_s: float) -> bool:
        """Whether the time is over, now or before."""
        if now_s >= self.deadline_s:
            self._step(CodeInput.TIME_OVER)
        return self.state is CodeState.EXPIRED

    def _step(self, given: CodeInput) -> bool:
        """What is not in the table changes nothing."""
        then = TRANSITIONS.get((self.state, given))
        if then is None:
            return False
        self.state = then
        return True
