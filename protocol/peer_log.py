"""Whether the other end's audit log is still the one that this end knows of (pure, the same at both ends).

Each end remembers a record of the other's log: its number and its hash. In the next session it asks for the
hash of that number. A log that was cut, rolled back or made anew has no such record, or another one there;
the question names the number alone, so that an answer cannot repeat what it was told.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from protocol.errors import ErrorCode, PeerViolation
from protocol.messages.session import AskRecord, TellRecord

QUESTIONS_LIMIT: Final = 8


class KnownHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A record that the other end's log must still have."""

    seq: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How the other end's log stands. `known` is what to remember from now on; None: nothing new."""

    is_alarm: bool
    known: KnownHead | None
    told_sha256: str


class PeerLog:
    """One session's check of the other end's log. `known` is what earlier sessions left."""

    def __init__(self, known: KnownHead | None) -> None:
        self.known = known
        self.is_alarmed = False
        self._is_asked = False
        self._questions = 0

    def ask(self) -> AskRecord:
        """The question, to be sent once."""
        self._is_asked = True
        return AskRecord(self.known.seq if self.known else 0)

    def told(self, answer: TellRecord) -> Standing:
        """Judge the answer. After an alarm the old record stays known, so that it is raised again.

        Raises:
            PeerViolation: nothing was asked, or another record.
        """
        if not self._is_asked or answer.seq != (self.known.seq if self.known else 0):
            raise PeerViolation(f"told of record {answer.seq}, which was not asked for")
        self._is_asked = False
        if self.known is not None and (
            answer.sha256 != self.known.sha256 or answer.head_seq < self.known.seq
        ):
            self.is_alarmed = True
            return Standing(True, None, answer.sha256)
        newer = KnownHead(answer.head_seq, answer.head_sha256) if answer.head_seq else None
        return Standing(False, newer, answer.sha256)

    def worth_knowing(self, seq: int, sha256: str, known: KnownHead | None) -> KnownHead | None:
        """What to remember once the other end signed for this record; None: what is known stays."""
        if self.is_alarmed or (known is not None and known.seq >= seq):
            return None
        return KnownHead(seq, sha256)

    def count_question(self) -> None:
        """The other end asks; each answer costs a look at the disk.

        Raises:
            PeerViolation: E_RATE.
        """
        self._questions += 1
        if self._questions > QUESTIONS_LIMIT:
            raise PeerViolation("too many questions for records", code=ErrorCode.E_RATE)
