"""When the person's answer counts, sans-I/O: facts and the time go in, the answer comes out."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from protocol.errors import ErrorCode
from protocol.limits import CONSENT_ARMING_S, CONSENT_EXTENSIONS_LIMIT

KEYS_QUIET_S = 0.5


class State(Enum):
    """A prompt is hidden, then open, then answered; it is answered once."""

    HIDDEN = auto()
    OPEN = auto()
    ANSWERED = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """`allowed` empty is a refusal, and `code` says which; `took_s` counts from when it was shown.

    `standing`: "" or for whom it is allowed for the next time too.
    """

    allowed: tuple[str, ...]
    code: str
    took_s: float
    standing: str = ""
    is_matched: bool = False


@dataclass(frozen=True, slots=True)
class ArmingTerms:
    """How hard it is to say yes: seconds to read, digits to compare, and a word to be typed ("" for none)."""

    arming_s: float = CONSENT_ARMING_S
    word: str = ""
    must_compare: bool = False


VERIFIED = ArmingTerms()


class PromptRules:
    """Allow counts once the prompt was visible for `arming_s`, digits were compared and `word` was typed.

    The word counts only after the digits, and nothing is allowed from inside the step that compares them.

    Keys that press a button count only after the keyboard was quiet for `KEYS_QUIET_S`: whoever types
    when the prompt comes up neither allows nor refuses by accident. Escape, closing and the time refuse.
    """

    def __init__(
        self, asked: Iterable[str], *, ordered_s: float, timeout_s: float, terms: ArmingTerms = VERIFIED
    ) -> None:
        self.asked = tuple(asked)
        self.standing = ""
        self._terms = terms
        self._is_word_typed = not terms.word
        self.is_matched = False
        self._comparing_s: float | None = None
        self.state = State.HIDDEN
        self.deadline_s = ordered_s + timeout_s
        self.extensions_left = CONSENT_EXTENSIONS_LIMIT
        self._timeout_s = timeout_s
        self._shown_s = ordered_s
        self._quiet_from_s = ordered_s

    def shown(self, now_s: float) -> None:
        """The person can see it from now on; may be said again, the first time counts."""
        if self.state is State.HIDDEN:
            self.state = State.OPEN
            self._shown_s = self._quiet_from_s = now_s

    def arming_left_s(self, now_s: float) -> float:
        """Seconds until Allow may be pressed; all of them while nobody can see the prompt."""
        if self.state is State.HIDDEN:
            return self._terms.arming_s
        return max(0.0, self._shown_s + self._terms.arming_s - now_s)

    def left_s(self, now_s: float) -> float:
        """Seconds until no answer counts as a refusal."""
        return max(0.0, self.deadline_s - now_s)

    def may_allow(self, now_s: float) -> bool:
        """Whether Allow can be pressed."""
        is_compared = self._comparing_s is None and not self.is_comparing_missing
        is_ready = is_compared and self._is_word_typed
        return self.state is State.OPEN and is_ready and not self.arming_left_s(now_s)

    @property
    def is_comparing_missing(self) -> bool:
        """Whether the digits are still to be compared."""
        return self._terms.must_compare and not self.is_matched

    def compare(self, now_s: float) -> None:
        """The step with the digits is open from now on."""
        self._comparing_s = now_s

    def stop_comparing(self) -> None:
        """Back to the prompt; nothing was said about the digits."""
        self._comparing_s = None

    def matching_left_s(self, now_s: float) -> float:
        """Seconds until it may be said that the digits match; all of them outside the step."""
        if self._comparing_s is None:
            return CONSENT_ARMING_S
        return max(0.0, self._comparing_s + CONSENT_ARMING_S - now_s)

    def match(self, now_s: float) -> bool:
        """The person says that the digits match; False when that does not count yet."""
        if self.state is not State.OPEN or self.matching_left_s(now_s):
            return False
        self.is_matched, self._comparing_s = True, None
        return True

    def mismatch(self, now_s: float) -> Answer | None:
        """They do not match: a refusal that ends the session. None outside the step."""
        if self._comparing_s is None:
            return None
        self.is_matched = False
        return self._answer((), ErrorCode.E_READBACK_MISMATCH, now_s)

    @property
    def is_word_missing(self) -> bool:
        """Whether the word is still to be typed."""
        return not self._is_word_typed

    def typed(self, text: str) -> None:
        """What stands in the field for the word now; case and spaces around it do not matter."""
        if self.is_comparing_missing:
            return
        self._is_word_typed = text.strip().casefold() == self._terms.word.casefold()

    def key_counts(self, now_s: float) -> bool:
        """Whether this press of a key may work a button; every press restarts the quiet time."""
        is_quiet = self.state is State.OPEN and now_s - self._quiet_from_s >= KEYS_QUIET_S
        self._quiet_from_s = now_s
        return is_quiet

    def more_time(self, now_s: float) -> bool:
        """Start the time anew; False when that was done often enough."""
        if self.state is State.ANSWERED or not self.extensions_left:
            return False
        self.extensions_left -= 1
        self.deadline_s = now_s + self._timeout_s
        return True

    def allow(self, now_s: float) -> Answer | None:
        """The person pressed Allow; None when that does not count yet."""
        if not self.may_allow(now_s):
            return None
        return self._answer(self.asked, "", now_s)

    def block(self, now_s: float) -> Answer | None:
        """Don't allow, and no more questions of this technician for a while."""
        return self._answer((), ErrorCode.E_CONSENT_BLOCKED, now_s)

    def refuse(self, now_s: float) -> Answer | None:
        """Don't allow, Escape or closing; None when it was answered already."""
        return self._answer((), ErrorCode.E_CONSENT_DENIED, now_s)

    def tick(self, now_s: float) -> Answer | None:
        """The refusal that the deadline brings, when it is there."""
        if now_s < self.deadline_s:
            return None
        return self._answer((), ErrorCode.E_CONSENT_TIMEOUT, now_s)

    def _answer(self, allowed: tuple[str, ...], code: str, now_s: float) -> Answer | None:
        if self.state is State.ANSWERED:
            return None
        self.state = State.ANSWERED
        standing = self.standing if allowed else ""
        return Answer(allowed, str(code), max(0.0, now_s - self._shown_s), standing, self.is_matched)
