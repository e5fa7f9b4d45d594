"""Status lists and successor roots from the relay: put in force at once, in live sessions too, or refused."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from agent.rate import RateLimit
from agent.session_audit import SessionAudit
from protocol.audit import AuditKind
from protocol.errors import ErrorCode, SupportError
from protocol.messages.control import StatusPublished, SuccessorsPublished
from protocol.names import shown_text
from protocol.trust_store import TrustStore

log = structlog.get_logger()

REFUSALS_PER_HOUR_LIMIT = 20


class TrustIntake:
    """Takes what the relay hands on; both outcomes are written down."""

    def __init__(self, store: TrustStore, audit: SessionAudit, on_accepted: Callable[[], None]) -> None:
        """`on_accepted` is called whenever another list or root is in force."""
        self._store = store
        self._audit = audit
        self._on_accepted = on_accepted
        self._rates: dict[ErrorCode, RateLimit] = {}

    def take(self, published: StatusPublished) -> None:
        """One list. What the message says about itself beside the envelope is not believed."""
        try:
            if not self._store.accept(published.envelope, datetime.now(UTC)):
                return
        except SupportError as exc:
            self._refused(AuditKind.STATUS_REFUSED, exc)
            return
        status = self._store.trust.status
        revoked = len(status.revoked) if status else 0
        log.info("status.accepted", version=self._store.version, revoked=revoked)
        self._audit.note(AuditKind.STATUS_ACCEPTED, {"version": self._store.version, "revoked": revoked})
        self._on_accepted()

    def take_successors(self, published: SuccessorsPublished) -> None:
        """The steps to a newer root; they prove themselves."""
        try:
            if not self._store.accept_successors(published.steps):
                return
        except SupportError as exc:
            self._refused(AuditKind.ROOT_REFUSED, exc)
            return
        generation = self._store.trust.roots.generation
        log.info("root.succeeded", generation=generation)
        self._audit.note(AuditKind.ROOT_SUCCEEDED, {"generation": generation})
        self._on_accepted()

    def _refused(self, kind: AuditKind, exc: SupportError) -> None:
        # one rate for each code: a flood of old lists must not drown the alarm about a fork
        rate = self._rates.setdefault(exc.code, RateLimit(REFUSALS_PER_HOUR_LIMIT, 3600.0))
        if not rate.allows(time.monotonic()):
            return
        log.warning(str(kind), code=str(exc.code), detail=exc.detail)
        facts = {"code": exc.code.value, "detail": shown_text(exc.detail, 200)}
        self._audit.note(kind, facts, succeeded=False)
