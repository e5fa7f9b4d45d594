"""The newest policy of the organisation that this computer has verified; its version only rises."""

from datetime import datetime

from protocol.audit import AuditKind
from protocol.errors import DocumentRefused, ErrorCode, SupportError
from protocol.limits import POLICY_LIMIT_BYTES
from protocol.policy import Policy, PolicyMark, check_mark, open_policy
from protocol.trust import Trust
from technician_client.config import TechnicianConfig
from technician_client.files import read_bounded, read_document, write_document, write_private
from technician_client.session_audit import SessionAudit


class PolicyStore:
    """Accepts policies that came from the relay, and keeps the newest across restarts.

    Another policy of the same version raises an alarm and is kept as the evidence: a device may obey it.
    """

    def __init__(
        self, config: TechnicianConfig, trust: Trust | bytes, *, audit: SessionAudit | None = None
    ) -> None:
        """`trust` may be the root alone (DER) where no status list is at hand."""
        self._config = config
        self._audit = audit
        self.trust = trust if isinstance(trust, Trust) else Trust(trust)
        self.current: Policy | None = None
        self.refusal: SupportError | None = None

    def load(self, *, now: datetime) -> None:
        """Take up the policy of the last run; one that is not good any more is kept out, with its reason."""
        if not self._config.policy_file.exists():
            return
        envelope = read_bounded(self._config.policy_file, POLICY_LIMIT_BYTES * 2)
        self.current = None
        try:
            self.current = self._open(envelope, now=now)
        except SupportError as exc:
            self.refusal = exc

    def accept(self, envelope: bytes, *, now: datetime) -> Policy:
        """Verify a policy and make it the current one, on disk first.

        Raises:
            DocumentRefused: E_POLICY_SIGNATURE, _FORMAT, _VERSION (older, or another one with the same
                version) or _EXPIRED. CertificateRefused: its signer. The former one stays in force.
        """
        try:
            policy = self._open(envelope, now=now)
        except SupportError as exc:
            self.refusal = exc
            self._note(AuditKind.POLICY_REFUSED, succeeded=False, code=str(exc.code))
            if exc.code is ErrorCode.E_POLICY_EQUIVOCATION:
                write_private(self._config.policy_rival_file, envelope)
            raise
        mark, before = policy.mark, self._mark()
        if mark != before:
            self._note(AuditKind.POLICY_ACCEPTED, version=mark.version, sha256=mark.sha256)
            write_private(self._config.policy_file, envelope)
            write_document(self._config.policy_mark_file, mark)
        if mark.order > before.order:
            self._config.policy_rival_file.unlink(missing_ok=True)
        self.current, self.refusal = policy, None
        return policy

    @property
    def alarm(self) -> ErrorCode | None:
        """E_POLICY_EQUIVOCATION while two policies of one version are known and none above it."""
        return ErrorCode.E_POLICY_EQUIVOCATION if self._config.policy_rival_file.exists() else None

    def compare(self, version: int, sha256: str) -> None:
        """Whether what a device says is in force there may stand beside what is in force here.

        Raises:
            DocumentRefused: E_POLICY_EQUIVOCATION; recorded.
        """
        if self.current is None or version != self.current.version or not sha256:
            return
        try:
            check_mark(self.current, PolicyMark(version, sha256, self.current.generation))
        except DocumentRefused as exc:
            self._note(AuditKind.POLICY_REFUSED, succeeded=False, code=str(exc.code), version=version)
            raise

    def require(self, *, now: datetime) -> Policy:
        """The policy in force.

        Raises:
            SupportError: why there is none: E_POLICY_MISSING, E_POLICY_EXPIRED, or the last refusal.
        """
        if self.current is None:
            raise self.refusal or DocumentRefused("", code=ErrorCode.E_POLICY_MISSING)
        if now > self.current.expires_at_utc:
            raise DocumentRefused(f"{self.current.expires_at_utc:%Y-%m-%d}", code=ErrorCode.E_POLICY_EXPIRED)
        return self.current

    def _open(self, envelope: bytes, *, now: datetime) -> Policy:
        return open_policy(envelope, self.trust, now=now, newest=self._mark())

    def _note(self, kind: AuditKind, *, succeeded: bool = True, **facts: str | int) -> None:
        if self._audit is not None:
            self._audit.note(kind, succeeded=succeeded, **facts)

    def _mark(self) -> PolicyMark:
        file = self._config.policy_mark_file
        return read_document(file, PolicyMark) if file.exists() else PolicyMark()
