"""One session from the socket to its end (sans-I/O, the same class at both ends).

    PAIRING --paired--> HANDSHAKING --handshake_done--> VERIFYING --accepted--> READY
       `---------------------`------------------------------`----ended-----------`--> ENDED

"accepted" is, at the agent, that the technician's certificate passed every check and Ready was sent; at
the technician's end, that the device's certificate is the one asked for and Ready came.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto

from protocol.errors import ErrorCode, WrongState
from protocol.limits import (
    HANDSHAKE_LIMIT_S,
    SESSION_HEARTBEAT_S,
    SESSION_PAIR_TIMEOUT_S,
    SESSION_SILENCE_LIMIT_S,
)

FIRST_BEATS_S = (0.1, 0.2, 0.4, 0.8, 1.5)
"""The pauses after the first heartbeats: the peer's clock is wanted at once, and well."""
BUSY_HEARTBEAT_S = 1.0
BUSY_S = 5.0
"""So long after `stirred` heartbeats come every BUSY_HEARTBEAT_S."""


class State(Enum):
    """Where the session stands."""

    PAIRING = auto()
    HANDSHAKING = auto()
    VERIFYING = auto()
    READY = auto()
    ENDED = auto()


class Input(Enum):
    """What happened."""

    PAIRED = auto()
    HANDSHAKE_DONE = auto()
    ACCEPTED = auto()
    ENDED = auto()


TRANSITIONS: dict[tuple[State, Input], State] = {
    (State.PAIRING, Input.PAIRED): State.HANDSHAKING,
    (State.HANDSHAKING, Input.HANDSHAKE_DONE): State.VERIFYING,
    (State.VERIFYING, Input.ACCEPTED): State.READY,
    (State.PAIRING, Input.ENDED): State.ENDED,
    (State.HANDSHAKING, Input.ENDED): State.ENDED,
    (State.VERIFYING, Input.ENDED): State.ENDED,
    (State.READY, Input.ENDED): State.ENDED,
}


@dataclass(frozen=True, slots=True)
class SendHeartbeat:
    """Send a heartbeat with this number and the clock of now."""

    beat_no: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over for this cause; tell the peer if it can still hear."""

    cause: str


Effect = SendHeartbeat | Ended


class SessionMachine:
    """Feed it facts and the time; carry out the effects. All times are the caller's monotonic seconds."""

    def __init__(self, *, now_s: float) -> None:
        self.state = State.PAIRING
        self.cause = ""
        self._limit_s = now_s + SESSION_PAIR_TIMEOUT_S
        self._certificate_ends_s = math.inf
        self._next_beat_s: float | None = None
        self._beat_no = 0
        self._unanswered: dict[int, float] = {}  # number of a heartbeat: when it was sent
        self._beat_at_s = self._busy_until_s = now_s

    @property
    def deadline_s(self) -> float | None:
        """When `tick` has something to do; None once the session has ended."""
        if self.state is State.ENDED:
            return None
        last_s = min(self._silence_limit_s(), self._certificate_ends_s)
        return last_s if self._next_beat_s is None else min(last_s, self._next_beat_s)

    @property
    def is_ready(self) -> bool:
        """Whether channels may carry anything."""
        return self.state is State.READY

    def paired(self, now_s: float) -> None:
        """The relay connected both ends."""
        self._step(Input.PAIRED)
        self._limit_s = now_s + HANDSHAKE_LIMIT_S

    def handshake_done(self) -> None:
        """TLS is complete; the deadline of the whole handshake still runs."""
        self._step(Input.HANDSHAKE_DONE)

    def accepted(self, now_s: float, certificate_ends_s: float = math.inf) -> None:
        """The peer is who it has to be, and Ready was sent or received.

        `certificate_ends_s` is when the peer's certificate ends, reckoned once onto the same monotonic
        clock: a wall clock that jumps afterwards does not lengthen the session.
        """
        self._step(Input.ACCEPTED)
        self._certificate_ends_s = certificate_ends_s
        self._limit_s = now_s + SESSION_SILENCE_LIMIT_S
        self._next_beat_s = now_s

    def heard(self, now_s: float) -> None:
        """Anything came from the peer inside the tunnel."""
        if self.state is State.READY:
            self._limit_s = now_s + SESSION_SILENCE_LIMIT_S

    def answered(self, beat_no: int) -> None:
        """The peer answered that heartbeat, and so all before it; one that nobody waits for is ignored."""
        if beat_no in self._unanswered:
            self._unanswered = {number: at for number, at in self._unanswered.items() if number > beat_no}

    def stirred(self, now_s: float) -> bool:
        """For a while it matters whether the peer can be heard. Returns whether the deadline moved."""
        self._busy_until_s = now_s + BUSY_S
        sooner_s = max(now_s, self._beat_at_s + BUSY_HEARTBEAT_S)
        if self._next_beat_s is None or self._next_beat_s <= sooner_s:
            return False
        self._next_beat_s = sooner_s
        return True

    def end(self, cause: str) -> list[Effect]:
        """Over, for this cause (an error code or "finished", "technician_left"); [] if it was already."""
        if self.state is State.ENDED:
            return []
        self._step(Input.ENDED)
        self.cause = cause
        return [Ended(cause)]

    def tick(self, now_s: float) -> list[Effect]:
        """Heartbeats that are due; the end when a deadline or the silence limit has passed."""
        if self.state is State.ENDED:
            return []
        if now_s >= self._certificate_ends_s:
            return self.end(ErrorCode.E_CERT_EXPIRED)
        if now_s >= self._silence_limit_s():
            is_silence = self.state in (State.READY, State.PAIRING)
            return self.end(ErrorCode.E_PEER_SILENT if is_silence else ErrorCode.E_HANDSHAKE)
        if self._next_beat_s is None or now_s < self._next_beat_s:
            return []
        self._beat_no += 1
        self._beat_at_s = self._unanswered[self._beat_no] = now_s
        self._next_beat_s = now_s + self._pause_s(now_s)
        return [SendHeartbeat(self._beat_no)]

    def _silence_limit_s(self) -> float:
        # bytes that a relay held back and lets out one by one are heard, but answer no heartbeat
        oldest_s = next(iter(self._unanswered.values()), None)
        return self._limit_s if oldest_s is None else min(self._limit_s, oldest_s + SESSION_SILENCE_LIMIT_S)

    def _pause_s(self, now_s: float) -> float:
        if self._beat_no <= len(FIRST_BEATS_S):
            return FIRST_BEATS_S[self._beat_no - 1]
        return BUSY_HEARTBEAT_S if now_s < self._busy_until_s else SESSION_HEARTBEAT_S

    def _step(self, given: Input) -> None:
        try:
            self.state = TRANSITIONS[self.state, given]
        except KeyError:
            raise WrongState(f"{given.name} while {self.state.name}") from None
