"""The policy in force on this device: the newest that the organisation signed, or the built-in minimum."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from agent.state import ENVELOPE_FILE_LIMIT_BYTES, read_bounded
from protocol.errors import DocumentRefused, ErrorCode, SupportError
from protocol.grantables import Grantable
from protocol.limits import TECHNICIAN_LIFETIME_DEFAULT_DAYS
from protocol.policy import Consent, Policy, open_policy
from protocol.private_files import write_private_file
from protocol.trust import Trust


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
        self.policy: Policy | None = None
        self.envelope = b""
        self.failure: SupportError | None = None

    def load(self, now: datetime) -> None:
        """Read what was accepted before. A stored policy that does not hold any more refuses sessions."""
        try:
            self.envelope = read_bounded(self._path, ENVELOPE_FILE_LIMIT_BYTES)
        except FileNotFoundError:
            return
        self.judge_again(now)

    def judge_again(self, now: datetime) -> None:
        """Judge what is stored by whom we believe now: its signer may have been revoked meanwhile."""
        if not self.envelope:
            return
        try:
            self.policy = open_policy(self.envelope, self.trust, now=now, newest_version=0)
            self.failure = None
        except SupportError as exc:
            self.failure = exc

    @property
    def version(self) -> int:
        """The newest version that was ever accepted here; 0 before the first."""
        return self.policy.version if self.policy else _stored_version(self.envelope)

    def accept(self, envelope: bytes, now: datetime) -> bool:
        """Put a newer policy in force; False when it is the one in force already.

        Raises:
            DocumentRefused: why not; the old one stays in force.
            EnvironmentFault: E_DATA_DISK, it cannot be kept; the old one stays in force.
        """
        if envelope == self.envelope and self.failure is None:
            return False
        newest_sha256 = self.policy.sha256 if self.policy else ""
        policy = open_policy(
            envelope, self.trust, now=now, newest_version=self.version, newest_sha256=newest_sha256
        )
        write_private_file(self._path, envelope)
        self.policy, self.envelope, self.failure = policy, envelope, None
        return True

    def allows_codes(self, now: datetime) -> bool:
        """Whether support codes may be shown; not where the policy says no, nor where none holds any more."""
        if self.failure is not None or (self.policy is not None and now >= self.policy.expires_at_utc):
            return False
        return self.policy is None or self.policy.support_codes

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


class _Versioned(msgspec.Struct, frozen=True):
    version: int


class _Carried(msgspec.Struct, frozen=True):
    payload: bytes  # base64, as msgspec reads bytes in JSON


def _stored_version(envelope: bytes) -> int:
    """The version inside our own file, which was verified when it was written."""
    try:
        carried = msgspec.json.decode(envelope, type=_Carried)
        return msgspec.json.decode(carried.payload, type=_Versioned).version
    except msgspec.DecodeError:
        return 0
