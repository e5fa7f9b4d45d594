"""Sessions that were cut with the agent (killed, power lost): ended at the next start, with a receipt."""

import structlog

from agent.session_audit import Appends, SessionAudit
from agent.session_proof import AGENT, keep_receipt
from protocol.aio.audit_reading import newest_first
from protocol.aio.session_proof import OwnLog
from protocol.audit import AuditKind, AuditRecord
from protocol.errors import ErrorCode, SupportError
from protocol.names import shown_name
from protocol.receipt import Parties, Receipt, make_body, sign

log = structlog.get_logger()


def end_cut_sessions(own: OwnLog, audit_log: Appends) -> list[str]:
    """Write `session.ended` for each session that has none, and its one-sided receipt; returns their ids.

    Call it before `agent.started` is written: a session that began before the last one of those is over.
    """
    cut = _cut_sessions(own)
    for ready in cut:
        audit = SessionAudit(audit_log, ready.device_id, ready.session_id, ready.actor)
        audit.note(
            AuditKind.SESSION_ENDED, {"cause": ErrorCode.E_LINK_LOST.value}, succeeded=False, actor=AGENT
        )
        _leave_receipt(own, audit, ready)
    return [ready.session_id for ready in cut]


def _cut_sessions(own: OwnLog) -> list[AuditRecord]:
    ended: set[str] = set()
    cut: list[AuditRecord] = []
    try:
        for record in newest_first(own.log_path):
            if record.kind == AuditKind.AGENT_STARTED:
                break
            if record.kind == AuditKind.SESSION_ENDED:
                ended.add(record.session_id)
            elif record.kind == AuditKind.SESSION_READY and record.session_id not in ended:
                cut.append(record)
    except SupportError as exc:
        log.error("audit.unreadable", code=str(exc.code), detail=exc.detail)
    return cut[::-1]


def _leave_receipt(own: OwnLog, audit: SessionAudit, ready: AuditRecord) -> None:
    try:
        trail = own.trail(ready.session_id)
        if trail.mark is None or own.identity.is_visitor:
            return
        parties = Parties(
            organisation_id=own.identity.organisation_id,
            session_id=ready.session_id,
            device_id=ready.device_id,
            device_name=own.identity.name,
            technician_id=ready.actor,
            technician_name=shown_name(str(ready.facts.get("name", ""))),
        )
        body = make_body(parties, trail, is_truncated=True)
        keep_receipt(own, audit, ready.actor, Receipt(body, [sign(body, trail.mark, own.identity)]))
    except SupportError as exc:
        log.error("receipt.not_kept", code=str(exc.code), detail=exc.detail)
