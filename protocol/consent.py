"""Consent for one ask: from the technician's wish to grants or a refusal (sans-I/O).

    NEW --ask_person--> PROMPTING --allowed--> SHOWING --indicator_shown--> ALLOWED
     |                      |                     |
     |--unattended, standing|-------------------->|
     `--policy_refused------`--denied, timed_out--`--nobody, withdrawn--> REFUSED

Nothing is granted before the person's indicator is on the screen, unattended or not. A person is asked for
one thing at a time, the screen first: the rest of a bundle is refused with E_CONSENT_LATER, unheard.
"""

from dataclasses import dataclass
from enum import Enum, auto

from protocol.errors import ErrorCode, WrongState
from protocol.grantables import Grantable, in_order
from protocol.limits import CONSENT_EXTENSIONS_LIMIT, CONSENT_TIMEOUT_S
from protocol.policy import Consent

INDICATOR_TIMEOUT_S = 5.0
PROMPT_GRACE_S = 5.0  # the prompt itself answers at its deadline; this one is for a prompt that cannot


class State(Enum):
    """Where one ask stands."""

    NEW = auto()
    PROMPTING = auto()
    SHOWING = auto()
    ALLOWED = auto()
    REFUSED = auto()


class Input(Enum):
    """What happened."""

    ASK_PERSON = auto()
    UNATTENDED = auto()
    STANDING = auto()
    POLICY_REFUSED = auto()
    ALLOWED = auto()
    DENIED = auto()
    MISMATCHED = auto()
    TIMED_OUT = auto()
    NOBODY = auto()
    WITHDRAWN = auto()
    INDICATOR_SHOWN = auto()


TRANSITIONS: dict[tuple[State, Input], State] = {
    (State.NEW, Input.ASK_PERSON): State.PROMPTING,
    (State.NEW, Input.UNATTENDED): State.SHOWING,
    (State.NEW, Input.STANDING): State.SHOWING,
    (State.NEW, Input.POLICY_REFUSED): State.REFUSED,
    (State.NEW, Input.NOBODY): State.REFUSED,
    (State.PROMPTING, Input.ALLOWED): State.SHOWING,
    (State.PROMPTING, Input.DENIED): State.REFUSED,
    (State.PROMPTING, Input.MISMATCHED): State.REFUSED,
    (State.PROMPTING, Input.TIMED_OUT): State.REFUSED,
    (State.PROMPTING, Input.NOBODY): State.REFUSED,
    (State.PROMPTING, Input.WITHDRAWN): State.REFUSED,
    (State.SHOWING, Input.INDICATOR_SHOWN): State.ALLOWED,
    (State.SHOWING, Input.TIMED_OUT): State.REFUSED,
    (State.SHOWING, Input.NOBODY): State.REFUSED,
    (State.SHOWING, Input.WITHDRAWN): State.REFUSED,
}

_WHY: dict[Input, ErrorCode] = {
    Input.POLICY_REFUSED: ErrorCode.E_POLICY_CAPABILITY,
    Input.DENIED: ErrorCode.E_CONSENT_DENIED,
    Input.MISMATCHED: ErrorCode.E_READBACK_MISMATCH,
    Input.TIMED_OUT: ErrorCode.E_CONSENT_TIMEOUT,
    Input.NOBODY: ErrorCode.E_CONSENT_NOBODY,
    Input.WITHDRAWN: ErrorCode.E_SESSION_STOPPED,
}


@dataclass(frozen=True, slots=True)
class ShowPrompt:
    """Ask the person for these."""

    grantables: frozenset[Grantable]
    timeout_s: float


@dataclass(frozen=True, slots=True)
class ClosePrompt:
    """The question is moot; take the prompt away."""


@dataclass(frozen=True, slots=True)
class ShowIndicator:
    """Put the indicator on the screen for these; grants wait for it."""

    grantables: frozenset[Grantable]


@dataclass(frozen=True, slots=True)
class GiveGrants:
    """Mint these now, and answer the technician; `refused` says why for each of the others."""

    granted: frozenset[Grantable]
    refused: dict[Grantable, ErrorCode]


@dataclass(frozen=True, slots=True)
class RefuseAll:
    """Answer the technician: nothing, and why for each."""

    refused: dict[Grantable, ErrorCode]


Effect = ShowPrompt | ClosePrompt | ShowIndicator | GiveGrants | RefuseAll


class ConsentMachine:
    """Feed it facts and the time; carry out the effects it returns.

    `asked`: what the technician wants; `offered`: what policy and certificate let this technician ask;
    `held`: what the session holds already; the person is asked for it again only when nothing else is asked.
    """

    def __init__(
        self,
        asked: frozenset[Grantable],
        offered: frozenset[Grantable],
        *,
        held: frozenset[Grantable] = frozenset(),
        prompt_timeout_s: float = CONSENT_TIMEOUT_S,
    ) -> None:
        self.state = State.NEW
        self.deadline_s: float | None = None
        self._possible = asked & offered
        self._held = held
        self._allowed: frozenset[Grantable] = frozenset()
        self._refused = dict.fromkeys(asked - offered, ErrorCode.E_POLICY_CAPABILITY)
        self._prompt_timeout_s = prompt_timeout_s

    @property
    def possible(self) -> frozenset[Grantable]:
        """What may be granted at all: asked for, and offered."""
        return self._possible

    def start(
        self, consent: Consent, *, is_anybody_there: bool, now_s: float, is_standing: bool = False
    ) -> list[Effect]:
        """Begin: `consent` is the policy's word for this device's group.

        `is_standing`: the person allowed all that is possible here beforehand.
        """
        if not self._possible:
            return self._refuse(Input.POLICY_REFUSED)
        if not is_anybody_there:
            return self._refuse(Input.NOBODY)
        if consent is Consent.UNATTENDED or is_standing:
            self._step(Input.STANDING if is_standing else Input.UNATTENDED)
            return self._show_indicator(self._possible, now_s)
        self._step(Input.ASK_PERSON)
        one = first_to_ask(self._possible, self._held)
        self._refused |= dict.fromkeys(self._possible - {one}, ErrorCode.E_CONSENT_LATER)
        self._possible = frozenset({one})
        longest_s = self._prompt_timeout_s * (1 + CONSENT_EXTENSIONS_LIMIT)
        self.deadline_s = now_s + longest_s + PROMPT_GRACE_S
        return [ShowPrompt(self._possible, self._prompt_timeout_s)]

    def allow(self, allowed: frozenset[Grantable], *, now_s: float) -> list[Effect]:
        """The person allowed this; an empty set is a refusal.

        Raises:
            WrongState: the person was not asked for it, or no prompt is up.
        """
        if not allowed <= self._possible:
            raise WrongState("a person cannot grant what they were not asked for")
        if not allowed:
            return self.deny()
        self._step(Input.ALLOWED)
        return self._show_indicator(allowed, now_s)

    def deny(self) -> list[Effect]:
        """The person said no, or closed the window."""
        return self._refuse(Input.DENIED)

    def mismatch(self) -> list[Effect]:
        """The digits that the caller read were not the same: whoever runs this ends the session too."""
        return self._refuse(Input.MISMATCHED)

    def time_out(self) -> list[Effect]:
        """The prompt itself reports that nobody answered."""
        return self._refuse(Input.TIMED_OUT)

    def nobody(self) -> list[Effect]:
        """The desktop process went away: nobody can be asked or see an indicator."""
        return self._refuse(Input.NOBODY)

    def withdraw(self) -> list[Effect]:
        """The technician left or the session ended before the answer."""
        return [*([ClosePrompt()] if self.state is State.PROMPTING else []), *self._refuse(Input.WITHDRAWN)]

    def indicator_shown(self) -> list[Effect]:
        """The indicator is visible: now the grants may be minted."""
        self._step(Input.INDICATOR_SHOWN)
        self.deadline_s = None
        return [GiveGrants(self._allowed, dict(self._refused))]

    def tick(self, now_s: float) -> list[Effect]:
        """Nothing before the deadline; a refusal at it."""
        if self.deadline_s is None or now_s < self.deadline_s:
            return []
        closing: list[Effect] = [ClosePrompt()] if self.state is State.PROMPTING else []
        return closing + self._refuse(Input.TIMED_OUT)

    @property
    def is_over(self) -> bool:
        """Whether the ask was answered."""
        return self.state in (State.ALLOWED, State.REFUSED)

    def _show_indicator(self, allowed: frozenset[Grantable], now_s: float) -> list[Effect]:
        self._allowed = allowed
        self.deadline_s = now_s + INDICATOR_TIMEOUT_S
        return [ShowIndicator(allowed)]

    def _refuse(self, given: Input) -> list[Effect]:
        self._step(given)
        self.deadline_s = None
        return [RefuseAll(self._refused | dict.fromkeys(self._possible, _WHY[given]))]

    def _step(self, given: Input) -> None:
        try:
            self.state = TRANSITIONS[self.state, given]
        except KeyError:
            raise WrongState(f"{given.name} while {self.state.name}") from None


def first_to_ask(possible: frozenset[Grantable], held: frozenset[Grantable]) -> Grantable:
    """What of a bundle the person is asked for: the least that is not held yet, seeing before doing."""
    return Grantable(in_order(possible - held or possible)[0])
