"""The admin's own audit records: what was made, issued, signed, published, approved."""

from protocol.aio.audit_log import AuditLog
from protocol.audit import AuditEvent, AuditKind
from technician_client.config import TechnicianConfig
from technician_client.files import make_private_folder

ACTOR = "admin"


class AdminAudit:
    """Appends to the same log as the sessions of this data folder."""

    def __init__(self, config: TechnicianConfig) -> None:
        make_private_folder(config.data)
        self._log = AuditLog(config.audit_file)

    def note(self, kind: AuditKind, *, device_id: str = "", **facts: str | int) -> None:
        """Append one record; raises EnvironmentFault E_AUDIT_WRITE."""
        self._log.append(AuditEvent(kind, ACTOR, device_id, "", True, dict(facts)))
