"""The policy in force on this device: the newest that the organisation signed, or the built-in minimum.

Beside the envelope lies a mark, version and hash of the newest policy ever accepted, which outlives its
expiry and any damage to it; and, while two policies of one version are known, the other one as evidence.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from agent.state import ENVELOPE_FILE_LIMIT_BYTES, read_bounded
from protocol.errors import DocumentRefused, EnvironmentFault, ErrorCode, SupportError
from protocol.grantables import Grantable
from protocol.limits import TECHNICIAN_LIFETIME_DEFAULT_DAYS
from protocol.policy import Consent, Policy, PolicyMark, open_policy
from protocol.private_files import write_private_file
from protocol.trust import Trust

MARK_LIMIT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Rules:
    """What policy says about one session. `policy` is None while nothing was published yet."""

    consent: Consent
    grantables: frozenset[Grantable]
    technician_lifetime_limit: timedelta
    policy: Policy | None


class PolicyStore:
    """Loads, replaces and asks the policy. The version on disk only rises."""

    def __init__(self, path: Path, trust: Trust | bytes) -> None:
        """`trust` may be the root alone (DER) where no status list is at hand."""
        self._path = path
        self.trust = trust if isinstance(trust, Trust) else Trust(trust)
        self._mark_path = path.with_suffix(".mark")
        self._rival_path = path.with_suffix(".rival")
        self._mark = PolicyMark()
        self.policy: Policy | None = None
        self.envelope = b""
        self.failure: SupportError | None = None

    def load(self, now: datetime) -> None:
        """Read what was accepted before. A stored policy that does not hold any more refuses sessions."""
        try:
            self._mark = self._read_mark()
            self.envelope = read_bounded(self._path, ENVELOPE_FILE_LIMIT_BYTES)
        except FileNotFoundError:
            if self._mark.version:
                self.failure = DocumentRefused("its file is gone", code=ErrorCode.E_POLICY_MISSING)
            return
        except SupportError as exc:
            self.failure = exc
            return
        self.judge_again(now)

    def judge_again(self, now: datetime) -> None:
        """Judge what is stored by whom we believe now: its signer may have been revoked meanwhile."""
        if not self.envelope:
            return
        try:
            self.policy = open_policy(self.envelope, self.trust, now=now, newest=self._mark)
            self._raise_mark(self.policy.mark)
            self.failure = None
        except SupportError as exc:
            self.failure = exc

    @property
    def version(self) -> int:
        """The newest version that was ever accepted here; 0 before the first."""
        return self._mark.version

    @property
    def alarm(self) -> ErrorCode | None:
        """E_POLICY_EQUIVOCATION while two signed policies of one version are known and none above it."""
        return ErrorCode.E_POLICY_EQUIVOCATION if self._rival_path.exists() else None

    def accept(self, envelope: bytes, now: datetime) -> bool:
        """Put a newer policy in force; False when it is the one in force already.

        Raises:
            DocumentRefused: why not; the old one stays in force. With E_POLICY_EQUIVOCATION the other
                document is kept and `alarm` is raised.
            EnvironmentFault: E_DATA_DISK, it cannot be kept; the old one stays in force.
        """
        if envelope == self.envelope and self.failure is None:
            return False
        try:
            policy = open_policy(envelope, self.trust, now=now, newest=self._mark)
        except DocumentRefused as exc:
            if exc.code is ErrorCode.E_POLICY_EQUIVOCATION:
                write_private_file(self._rival_path, envelope)
            raise
        is_newer = policy.mark.order > self._mark.order
        write_private_file(self._path, envelope)
        self._raise_mark(policy.mark)
        if is_newer:
            self._rival_path.unlink(missing_ok=True)
        self.policy, self.envelope, self.failure = policy, envelope, None
        return True

    def allows_codes(self, now: datetime) -> bool:
        """Whether support codes may be shown; not where the policy says no, nor where none holds any more."""
        if self.failure is not None or (self.policy is not None and now >= self.policy.expires_at_utc):
            return False
        return self.policy is None or self.policy.support_codes

    def _read_mark(self) -> PolicyMark:
        try:
            return msgspec.json.decode(read_bounded(self._mark_path, MARK_LIMIT_BYTES), type=PolicyMark)
        except FileNotFoundError:
            return PolicyMark()
        except msgspec.DecodeError as exc:
            raise EnvironmentFault(f"{self._mark_path}: {exc}") from None

    def _raise_mark(self, mark: PolicyMark) -> None:
        if mark != self._mark:
            write_private_file(self._mark_path, msgspec.json.encode(mark))
            self._mark = mark

    def rules(self, group: str, role: str, now: datetime) -> Rules:
        """What holds for a peer of this role on a device of this group.

        Raises:
            DocumentRefused: E_POLICY_EXPIRED, or why the stored policy does not hold.
        """
        if self.failure is not None:
            raise DocumentRefused(self.failure.detail, code=self.failure.code)
        if self.policy is None:
            return Rules(
                Consent.ASK, frozenset(Grantable), timedelta(days=TECHNICIAN_LIFETIME_DEFAULT_DAYS), None
            )
        if now >= self.policy.expires_at_utc:
            raise DocumentRefused("the policy ran out", code=ErrorCode.E_POLICY_EXPIRED)
        return Rules(
            self.policy.consent_for(group),
            self.policy.grantables_for(role),
            timedelta(days=self.policy.technician_lifetime_days_limit),
            self.policy,
        )
