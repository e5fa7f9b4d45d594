"""*Who was here*: the sessions of this device as its person wants to know them, from its own audit log.

Support-code sessions of strangers have no receipt, so the log is read and not the receipts.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from agent.desktop.ipc_messages import VISIT_COMMANDS_LIMIT, Visit
from protocol.aio.audit_reading import newest_first
from protocol.aio.receipt_book import ReceiptBook
from protocol.audit import AuditKind, AuditRecord
from protocol.grantables import Grantable, in_order
from protocol.names import shown_name, shown_text
from protocol.receipt import SessionTrail

RECORDS_LIMIT = 20_000
_NOBODY_S_NAME = shown_name("")


def read_visits(log_path: Path, receipts: Path, limit: int, uid: int | None = None) -> list[Visit]:
    """The newest sessions of which something came, newest first; those that live are among them.

    `uid`: those at this user's desktop, and those at no desktop; None: all of them.

    Raises:
        EnvironmentFault: E_DATA_DISK, log or receipts cannot be read.
    """
    visits = visits_of(newest_first(log_path), limit, uid)
    signed = {each.facts().session_id: each.is_complete for each in ReceiptBook(receipts).everything()}
    return [
        replace(visit, receipt="both" if signed[visit.session_id] else "device")
        if visit.session_id in signed
        else visit
        for visit in visits
    ]


def visits_of(newest_records_first: Iterable[AuditRecord], limit: int, uid: int | None = None) -> list[Visit]:
    """The sessions in these records; a session whose first record is not among them is left out.

    An older version did not write at whose desktop a session was: such a one is shown to all, as it was.
    """
    found: list[Visit] = []
    waiting: dict[str, list[AuditRecord]] = {}
    for count, record in enumerate(newest_records_first, start=1):
        if record.session_id:
            waiting.setdefault(record.session_id, []).append(record)
        if record.kind == AuditKind.SESSION_READY:
            records = waiting.pop(record.session_id)[::-1]
            if uid is None or seat_of(records) in (None, uid):
                found.append(visit_of(records))
        if len(found) == limit or count == RECORDS_LIMIT:
            break
    return sorted(found, key=lambda visit: visit.started_at_utc, reverse=True)


def seat_of(records: Iterable[AuditRecord]) -> int | None:
    """The user at whose desktop this session was; None: at none, or an older version wrote these records."""
    seated = (record.facts.get("uid") for record in records if record.kind == AuditKind.SESSION_SEATED)
    found = next(seated, None)
    return found if isinstance(found, int) else None


def visit_of(records: Sequence[AuditRecord]) -> Visit:
    """One session; `records` are its own from session.ready on."""
    trail = SessionTrail()
    for record in records:
        trail.add(record)
    ready, ended = records[0], trail.ended
    until = ended.at_utc if ended is not None else datetime.now(UTC)
    commands = list(trail.commands.values())
    name = str(ready.facts.get("name", ""))
    return Visit(
        session_id=ready.session_id,
        technician_id=shown_name(ready.actor),
        name="" if name == _NOBODY_S_NAME else shown_name(name),
        started_at_utc=f"{ready.at_utc.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        length_s=max(0.0, (until - ready.at_utc).total_seconds()),
        grantables=in_order(_known(trail.grants)),
        acts=_acts(records),
        commands=[
            shown_text(f"{line.command_id}: {line.outcome}", 60) for line in commands[:VISIT_COMMANDS_LIMIT]
        ],
        commands_count=len(commands),
        cause=str(ended.facts.get("cause", "")) if ended is not None else "",
    )


def _acts(records: Sequence[AuditRecord]) -> list[str]:
    """What was really done: control that was open, and through which no event came, is not."""
    kinds = Counter(record.kind for record in records)
    ended = [record for record in records if record.kind == AuditKind.INPUT_ENDED]
    is_open = kinds[AuditKind.INPUT_STARTED] > len(ended)
    done = {
        "screen": kinds[AuditKind.SCREEN_STARTED] > 0,
        "input": is_open or any(record.facts.get("events", 0) != 0 for record in ended),
        "diagnostics": kinds[AuditKind.DIAGNOSTICS_READ] > 0,
    }
    return [act for act, was_done in done.items() if was_done]


def _known(words: Iterable[str]) -> set[Grantable]:
    known = {grantable.value for grantable in Grantable}
    return {Grantable(word) for word in words if word in known}
