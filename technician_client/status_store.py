"""The status list in force at the technician's end; what comes from the relay is judged and written down."""

from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from protocol.audit import AuditKind
from protocol.errors import SupportError
from protocol.trust import Trust
from protocol.trust_store import TrustStore
from technician_client.config import TechnicianConfig
from technician_client.session_audit import SessionAudit

log = structlog.get_logger(__name__)


class StatusStore:
    """Puts newer lists in force; `trust` is shared with whoever judges certificates here."""

    def __init__(self, config: TechnicianConfig, trust: Trust, *, audit: SessionAudit) -> None:
        self._store = TrustStore(trust, config.data)
        self._audit = audit
        self._watchers: list[Callable[[], None]] = []

    @property
    def trust(self) -> Trust:
        """Whom this program believes now."""
        return self._store.trust

    def load(self) -> None:
        """Take up the list of the last run; see `TrustStore.load`."""
        self._store.load()

    def take(self, envelope: bytes, *, now: datetime) -> None:
        """One envelope of the relay; a refusal leaves the list before in force.

        Raises:
            EnvironmentFault: E_AUDIT_WRITE.
        """
        try:
            if not self._store.accept(envelope, now):
                return
        except SupportError as exc:
            log.warning("status.refused", code=str(exc.code), detail=exc.detail)
            self._audit.note(AuditKind.STATUS_REFUSED, succeeded=False, code=str(exc.code))
            return
        for watcher in list(self._watchers):
            watcher()
        revoked = len(self.trust.status.revoked) if self.trust.status else 0
        self._audit.note(AuditKind.STATUS_ACCEPTED, version=self._store.version, revoked=revoked)

    def take_successors(self, steps: Sequence[bytes]) -> bool:
        """Steps to a newer root, which prove themselves; True when something was learnt.

        Raises:
            EnvironmentFault: E_AUDIT_WRITE.
        """
        try:
            is_news = self._store.accept_successors(steps)
        except SupportError as exc:
            log.warning("root.refused", code=str(exc.code), detail=exc.detail)
            self._audit.note(AuditKind.ROOT_REFUSED, succeeded=False, code=str(exc.code))
            return False
        if is_news:
            self._audit.note(AuditKind.ROOT_SUCCEEDED, generation=self.trust.roots.generation)
        return is_news

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call `watcher` whenever another list is in force; returns what ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)
