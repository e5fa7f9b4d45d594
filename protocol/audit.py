"""Audit records: who did what to which device, in a chain of hashes that shows any change (pure).

One record is one line of canonical JSON (sorted keys, no spaces). `sha256` is over the line without that
member; `previous` is the `sha256` of the record before. Editing, taking out, putting in or reordering
breaks the chain at a record that `verify_records` names. Cutting off the newest records does not break it:
compare `AuditReport.head` with a copy that was kept elsewhere.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from protocol.audit_facts import check_facts
from protocol.errors import DocumentRefused, ErrorCode
from protocol.names import shown_text

# 32 facts of 300 characters of 4 bytes each, with their names, fit
RECORD_LIMIT_BYTES: Final = 64 << 10
FACTS_LIMIT: Final = 32
FACT_LIMIT_CHARS: Final = 300
_FACT_NAME_LIMIT_CHARS: Final = 48
_EXACT_INTEGER_LIMIT: Final = 2**53  # beyond it other readers of JSON round (RFC 8259, 6)
NO_PREVIOUS: Final = "0" * 64

_Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class AuditKind(StrEnum):
    """What happened. Permanent names, "noun.verb"; PROTOCOL.md says who writes each and with which facts."""

    SESSION_OFFERED = "session.offered"
    SESSION_REFUSED = "session.refused"
    SESSION_SEATED = "session.seated"
    SESSION_READY = "session.ready"
    SESSION_RESUMED = "session.resumed"
    SESSION_STOPPED = "session.stopped"
    SESSION_ENDED = "session.ended"
    CONSENT_ASKED = "consent.asked"
    CONSENT_ALLOWED = "consent.allowed"
    CONSENT_DENIED = "consent.denied"
    CONSENT_TIMED_OUT = "consent.timed_out"
    READBACK_COMPARED = "readback.compared"
    BLOCK_STARTED = "block.started"
    BLOCK_ENDED = "block.ended"
    STANDING_GIVEN = "standing.given"
    STANDING_ENDED = "standing.ended"
    PAUSE_STARTED = "pause.started"
    PAUSE_ENDED = "pause.ended"
    GRANT_GIVEN = "grant.given"
    GRANT_REFUSED = "grant.refused"
    GRANT_ENDED = "grant.ended"
    CHANNEL_OPENED = "channel.opened"
    CHANNEL_REFUSED = "channel.refused"
    CHANNEL_CLOSED = "channel.closed"
    SCREEN_STARTED = "screen.started"
    SCREEN_RESTARTED = "screen.restarted"
    SCREEN_ENDED = "screen.ended"
    INPUT_STARTED = "input.started"
    INPUT_ENDED = "input.ended"
    DIAGNOSTICS_READ = "diagnostics.read"
    COMMAND_REQUESTED = "command.requested"
    COMMAND_REFUSED = "command.refused"
    COMMAND_STARTED = "command.started"
    COMMAND_ENDED = "command.ended"
    COMMAND_UNKNOWN = "command.unknown"
    COMMAND_APPROVED = "command.approved"
    POLICY_ACCEPTED = "policy.accepted"
    POLICY_REFUSED = "policy.refused"
    POLICY_SIGNED = "policy.signed"
    POLICY_PUBLISHED = "policy.published"
    STATUS_ACCEPTED = "status.accepted"
    STATUS_REFUSED = "status.refused"
    STATUS_SIGNED = "status.signed"
    STATUS_PUBLISHED = "status.published"
    ROOT_SUCCEEDED = "root.succeeded"
    ROOT_REFUSED = "root.refused"
    CERTIFICATE_REVOKED = "certificate.revoked"
    DEVICE_JOINED = "device.joined"
    DEVICE_LEFT = "device.left"
    DEVICE_APPROVED = "device.approved"
    DEVICE_REMOVED = "device.removed"
    TOKEN_MADE = "token.made"  # noqa: S105 - a kind of record
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - a kind of record
    RELEASE_SIGNED = "release.signed"
    RELEASE_OFFERED = "release.offered"
    RELEASE_RENEWED = "release.renewed"
    UPDATE_KEYS_MADE = "update_keys.made"
    UPDATE_STARTED = "update.started"
    UPDATE_INSTALLED = "update.installed"
    UPDATE_FAILED = "update.failed"
    UPDATE_REFUSED = "update.refused"
    CODE_SHOWN = "code.shown"
    CODE_TRIED = "code.tried"
    CODE_MATCHED = "code.matched"
    CODE_REFUSED = "code.refused"
    CODE_ENDED = "code.ended"
    ORGANISATION_MADE = "organisation.made"
    TECHNICIAN_ISSUED = "technician.issued"
    RELAY_CLAIMED = "relay.claimed"
    LOGIN_REFUSED = "login.refused"
    AGENT_STARTED = "agent.started"
    AGENT_STOPPED = "agent.stopped"
    AUDIT_RECOVERED = "audit.recovered"
    AUDIT_ALARM = "audit.alarm"
    AUDIT_ACCEPTED = "audit.accepted"
    RATING_GIVEN = "rating.given"
    RATING_DELIVERED = "rating.delivered"
    RATING_RECEIVED = "rating.received"
    RECEIPT_SIGNED = "receipt.signed"
    RECEIPT_REFUSED = "receipt.refused"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """What is to be recorded. `actor` is a subject id, or "person", "agent", "relay", "admin".

    Facts never hold keystrokes, texts, screen content or secrets. `session_id` is "" outside of sessions.

    Raises:
        WrongState: a fact is not one of this kind's, see `protocol.audit_facts`.
    """

    kind: AuditKind
    actor: str
    device_id: str
    session_id: str
    succeeded: bool
    facts: Mapping[str, str | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_facts(self.kind, self.facts)


class AuditRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line of the log. `monotonic_ms` tells a clock that was set from time that passed."""

    seq: Annotated[int, msgspec.Meta(ge=1)]
    at_utc: datetime
    kind: str  # an AuditKind; a newer program may have written one that this one does not know
    actor: str
    device_id: str
    session_id: str
    succeeded: bool
    facts: dict[str, str | int]
    previous: _Digest
    sha256: _Digest | None = None
    monotonic_ms: int | msgspec.UnsetType = msgspec.UNSET  # records of version 0.1 have none

    @property
    def line(self) -> bytes:
        """The record as it stands in the file, without the newline."""
        return msgspec.json.encode(self, order="sorted")

    def digest(self) -> str:
        """SHA-256 (hex) over the canonical record without its own hash."""
        members = msgspec.to_builtins(self)
        del members["sha256"]
        return hashlib.sha256(msgspec.json.encode(members, order="sorted")).hexdigest()


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a check of a log found. `bad_line` counts from 1 and is the first one that does not hold.

    `head` is the hash of the last record that holds. `is_torn` says that only the last line is incomplete,
    as a power cut leaves it; the next `AuditLog.append` puts it aside.
    """

    records: int
    head: str
    first_at_utc: datetime | None = None
    last_at_utc: datetime | None = None
    bad_line: int | None = None
    bad_seq: int | None = None
    detail: str = ""
    is_torn: bool = False

    @property
    def is_intact(self) -> bool:
        """Whether every line holds."""
        return self.bad_line is None


def next_record(
    previous: AuditRecord | None,
    event: AuditEvent,
    at_utc: datetime,
    monotonic_ms: int | msgspec.UnsetType = msgspec.UNSET,
) -> AuditRecord:
    """The record of this event, to be appended after `previous`. Texts lose control characters here."""
    facts = list(event.facts.items())[:FACTS_LIMIT]
    unsealed = AuditRecord(
        seq=previous.seq + 1 if previous else 1,
        at_utc=at_utc.astimezone(UTC),
        kind=event.kind.value,
        actor=_plain(event.actor),
        device_id=_plain(event.device_id),
        session_id=_plain(event.session_id),
        succeeded=event.succeeded,
        facts={shown_text(name, _FACT_NAME_LIMIT_CHARS): _fact(fact) for name, fact in facts},
        previous=(previous.sha256 or NO_PREVIOUS) if previous else NO_PREVIOUS,
        monotonic_ms=monotonic_ms,
    )
    return msgspec.structs.replace(unsealed, sha256=unsealed.digest())


def read_record(line: bytes) -> AuditRecord:
    """One line of a log; its own hash is checked, its place in the chain is not.

    Raises:
        DocumentRefused: E_AUDIT_CHAIN.
    """
    if len(line) > RECORD_LIMIT_BYTES:
        raise _broken(f"{len(line)} bytes are too many for a record")
    try:
        record = msgspec.json.decode(line, type=AuditRecord, strict=True)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise _broken(f"not a record: {exc}"[:200]) from None
    if record.line != line:
        raise _broken("not written as a record is")
    if record.sha256 != record.digest():
        raise _broken("changed: its hash does not fit")
    return record


def verify_records(lines: Iterable[bytes]) -> AuditReport:
    """Check a whole log, line by line, as a file opened for bytes hands them out (newlines included)."""
    last: AuditRecord | None = None
    first_at: datetime | None = None
    rest = iter(lines)
    for number, line in enumerate(rest, start=1):
        try:
            record = read_record(line.removesuffix(b"\n"))
            _check_place(last, record)
        except DocumentRefused as exc:
            # only the last line of a file can lack its newline; an edit elsewhere is never a tear
            is_torn = not line.endswith(b"\n") and next(rest, None) is None
            return AuditReport(
                records=number - 1,
                head=_head(last),
                first_at_utc=first_at,
                last_at_utc=last.at_utc if last else None,
                bad_line=number,
                bad_seq=last.seq + 1 if last else 1,
                detail=f"record {number}: {exc.detail}",
                is_torn=is_torn,
            )
        last, first_at = record, first_at or record.at_utc
    return AuditReport(last.seq if last else 0, _head(last), first_at, last.at_utc if last else None)


def _check_place(last: AuditRecord | None, record: AuditRecord) -> None:
    expected = last.seq + 1 if last else 1
    if record.seq != expected:
        raise _broken(f"record {record.seq} stands where {expected} belongs")
    if record.previous != _head(last):
        raise _broken("it does not follow the record before it")


def _head(last: AuditRecord | None) -> str:
    return last.sha256 or NO_PREVIOUS if last else NO_PREVIOUS


def _fact(fact: str | int) -> str | int:
    if isinstance(fact, str):
        return _plain(fact)
    return int(fact) if abs(fact) < _EXACT_INTEGER_LIMIT else _plain(str(fact))


def _plain(text: str) -> str:
    return shown_text(text, FACT_LIMIT_CHARS)


def _broken(why: str) -> DocumentRefused:
    return DocumentRefused(why, code=ErrorCode.E_AUDIT_CHAIN)
