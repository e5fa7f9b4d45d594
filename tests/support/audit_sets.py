"""Audit logs with the receipts and anchors that belong to them, made without a session."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from protocol.audit import AuditEvent, AuditKind, AuditRecord, next_record
from protocol.audit_check import Found, Roots
from protocol.identity import Identity
from protocol.receipt import Parties, Receipt, make_anchor, make_body, sign, trail_of
from protocol.succession import RootLine
from technician_client.audit_files import named_roots
from tests.support.organisation import acme

K = AuditKind


@dataclass(frozen=True)
class AuditSet:
    """A device's log of some sessions, one receipt of each, an anchor of its head."""

    device: Identity
    technician: Identity
    records: tuple[AuditRecord, ...]
    receipts: tuple[Receipt, ...]
    anchor: bytes

    @property
    def lines(self) -> list[bytes]:
        """The log's lines."""
        return [record.line + b"\n" for record in self.records]


def session_id(number: int) -> str:
    """A session's id."""
    return "s-" + f"{number:026d}".translate(str.maketrans("0123456789", "abcdefghij"))


def chained(events: Sequence[AuditEvent], records: Sequence[AuditRecord] = ()) -> list[AuditRecord]:
    """The records of these events, after `records`."""
    made = list(records)
    for event in events:
        at_utc = datetime.now(UTC) + timedelta(seconds=len(made))
        made.append(next_record(made[-1] if made else None, event, at_utc, 1000 * len(made)))
    return made


def session_events(device_id: str, number: int) -> list[AuditEvent]:
    """One session with a grant and a command, as an agent writes it."""
    one = ("ada", device_id, session_id(number), True)
    command = {"request_id": f"r-{number}", "command_id": "disk-usage"}
    return [
        AuditEvent(K.SESSION_OFFERED, *one),
        AuditEvent(K.SESSION_READY, *one, {"name": "Ada", "consent": "ask"}),
        AuditEvent(K.CONSENT_ASKED, *one, {"asked": "commands.run", "ask_no": 1}),
        AuditEvent(K.GRANT_GIVEN, *one, {"grantable": "commands.run", "length_s": 60}),
        AuditEvent(K.COMMAND_REQUESTED, *one, {**command, "parameters": f"path=/home/ü{number}"}),
        AuditEvent(K.COMMAND_ENDED, *one, {**command, "exit_status": 0}),
        AuditEvent(K.SESSION_ENDED, *one, {"cause": "technician_left"}),
    ]


@cache
def audit_set(sessions: int = 2) -> AuditSet:
    """A whole one; about 10 ms to make."""
    device, technician = acme().device(), acme().technician()
    device_id = device.subject_id
    events = [AuditEvent(K.AGENT_STARTED, "agent", device_id, "", True)]
    for number in range(sessions):
        events += session_events(device_id, number)
    records = chained(events)
    receipts = tuple(_receipt(records, number, device, technician) for number in range(sessions))
    head = records[-1].sha256
    assert head is not None
    return AuditSet(device, technician, tuple(records), receipts, make_anchor(head, device))


def _receipt(records: Sequence[AuditRecord], number: int, device: Identity, technician: Identity) -> Receipt:
    trail = trail_of(records, session_id(number))
    parties = Parties(
        acme().organisation_id, session_id(number), device.subject_id, "reception-pc", "ada", "Ada"
    )
    body = make_body(parties, trail, is_truncated=False)
    assert trail.mark is not None
    return Receipt(body, [sign(body, trail.mark, device), sign(body, trail.mark, technician)])


def roots() -> Roots:
    """The organisation's root, as the check wants it."""
    return named_roots([RootLine(acme().root_der)])


def write_lines(path: Path, lines: Sequence[bytes]) -> Path:
    """A file of these lines."""
    path.write_bytes(b"".join(lines))
    return path


def faults_of(log: Found, claims: Found, keeper: str = "") -> list[str]:
    """What does not hold of this log, held against receipts and anchors."""
    log.compare([claims], keeper)
    return log.faults + claims.faults


def sha256_of(text: str) -> str:
    """A digest for facts."""
    return hashlib.sha256(text.encode()).hexdigest()
