"""The technician's own audit records of one session."""

from typing import Protocol

from protocol.audit import AuditEvent, AuditKind, AuditRecord
from protocol.errors import ErrorCode
from protocol.messages.consent import AskAnswer, GivenGrant
from protocol.receipt import SessionTrail


class AuditSink(Protocol):
    """Where records go; `protocol.aio.audit_log.AuditLog` is one."""

    def append(self, event: AuditEvent) -> object:
        """Keep the event; raises SupportError E_AUDIT_WRITE when it cannot."""
        ...


class SessionAudit:
    """Writes each event before the technician sees its effect. `device_id` is "" until it is known.

    `trail` is what the session's receipt is compared with.
    """

    def __init__(self, sink: AuditSink, *, actor: str, device_id: str, session_id: str) -> None:
        self._sink = sink
        self._actor = actor
        self.device_id = device_id
        self._session_id = session_id
        self.trail = SessionTrail()

    def note(self, kind: AuditKind, *, succeeded: bool = True, **facts: str | int) -> None:
        """Append one record. Facts are names, codes and counts, never content."""
        record = self._sink.append(
            AuditEvent(kind, self._actor, self.device_id, self._session_id, succeeded, dict(facts))
        )
        if isinstance(record, AuditRecord):
            self.trail.add(record)

    def answered(self, answer: AskAnswer) -> None:
        """Consent and grants of one ask."""
        for grantable, code in sorted(answer.refused.items()):
            kind = (
                AuditKind.CONSENT_TIMED_OUT
                if code == ErrorCode.E_CONSENT_TIMEOUT
                else AuditKind.CONSENT_DENIED
            )
            self.note(kind, succeeded=False, grantable=grantable, code=code)
        if answer.granted:
            words = " ".join(sorted(grant.grantable for grant in answer.granted))
            self.note(AuditKind.CONSENT_ALLOWED, grantables=words)
        for grant in answer.granted:
            self._given(grant)

    def _given(self, grant: GivenGrant) -> None:
        self.note(
            AuditKind.GRANT_GIVEN,
            grant_id=grant.grant_id,
            grantable=grant.grantable,
            remaining_s=round(grant.remaining_s),
        )
