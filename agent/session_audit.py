"""Audit records of one session: the same words each time, with who and which session filled in."""

from collections.abc import Mapping
from typing import Protocol

import structlog

from protocol.audit import AuditEvent, AuditKind, AuditRecord
from protocol.errors import SupportError
from protocol.receipt import SessionTrail

log = structlog.get_logger()


class Appends(Protocol):
    """Whatever keeps audit records; `protocol.aio.audit_log.AuditLog` is the real one."""

    def append(self, event: AuditEvent) -> object:
        """Keep one event; raises SupportError (E_AUDIT_WRITE) when that is not possible."""
        ...


class SessionAudit:
    """Writes records of one session. `actor` becomes the technician once it is proved who that is.

    `trail` holds what the session's receipt is made of.
    """

    def __init__(self, log_file: Appends, device_id: str, session_id: str, actor: str = "relay") -> None:
        self._log_file = log_file
        self._device_id = device_id
        self._session_id = session_id
        self.actor = actor
        self.trail = SessionTrail()

    def write(
        self,
        kind: AuditKind,
        facts: Mapping[str, str | int] | None = None,
        *,
        succeeded: bool = True,
        actor: str = "",
    ) -> None:
        """Write before the effect. `actor` "" is the technician.

        Raises:
            SupportError: E_AUDIT_WRITE; then the effect must not happen.
        """
        who = actor or self.actor
        record = self._log_file.append(
            AuditEvent(kind, who, self._device_id, self._session_id, succeeded, dict(facts or {}))
        )
        if isinstance(record, AuditRecord):
            self.trail.add(record)

    def note(
        self,
        kind: AuditKind,
        facts: Mapping[str, str | int] | None = None,
        *,
        succeeded: bool = True,
        actor: str = "",
    ) -> None:
        """Write what ended or was refused: that stands, also when it cannot be written."""
        try:
            self.write(kind, facts, succeeded=succeeded, actor=actor)
        except SupportError as exc:
            log.error("audit.failed", kind=kind.value, code=str(exc.code), detail=exc.detail)
