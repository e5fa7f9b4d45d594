"""The newest status list that this program accepted, on disk; agent and technician client use the same.

Its version only rises. Two lists of one version are an alarm, whoever brings them, and so is a list that
takes a revocation back: whoever signs such a list has the signer's key and not the organisation's consent.
"""

from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from protocol.certificates import Role
from protocol.envelope import open_envelope, sign_envelope
from protocol.errors import CertificateRefused, DocumentRefused, ErrorCode
from protocol.identity import Identity
from protocol.limits import CLOCK_SKEW_S
from protocol.private_files import write_private_file
from protocol.status_list import STATUS_TYPE, Moment, StatusList, encode_status, malformed, parse_status
from protocol.trust import Trust


def sign_status(status: StatusList, signer: Identity) -> bytes:
    """The list, signed by the role `policy`, as an envelope; raises DocumentRefused."""
    return sign_envelope(STATUS_TYPE, encode_status(status), signer)


def open_status(envelope: bytes, trust: Trust | bytes, *, now: datetime) -> StatusList:
    """The list in a signed envelope; its version and expiry are not looked at.

    Raises:
        DocumentRefused: E_POLICY_SIGNATURE, E_STATUS_FORMAT.
    """
    try:
        payload, signer = open_envelope(envelope, STATUS_TYPE, trust, roles={Role.POLICY}, now=now)
    except CertificateRefused as exc:
        raise DocumentRefused(f"its signer: {exc}", code=ErrorCode.E_POLICY_SIGNATURE) from None
    status = parse_status(payload)
    if status.organisation_id != signer.organisation_id:
        raise DocumentRefused("it is for another organisation", code=ErrorCode.E_POLICY_SIGNATURE)
    if status.is_revoked(Role.POLICY, signer.subject_id):
        raise DocumentRefused("it revokes its own signer", code=ErrorCode.E_POLICY_SIGNATURE)
    return status


def open_stored_status(envelope: bytes, root_der: bytes) -> StatusList:
    """A list that was accepted or signed here before, judged at the time it was issued.

    Neither the end of its signer's certificate nor a wrong clock takes back what was revoked.

    Raises:
        DocumentRefused: E_POLICY_SIGNATURE, E_STATUS_FORMAT.
    """
    return open_status(envelope, root_der, now=_issued_at(envelope))


class TrustStore:
    """Keeps `trust` as new as what was accepted, over restarts too."""

    def __init__(self, trust: Trust, path: Path) -> None:
        self.trust = trust
        self._path = path

    def load(self) -> None:
        """Take up the list of the last run; it goes on to revoke when it is over.

        A file that cannot be read or is no list refuses all sessions until a good one comes
        (`Trust.failure`).
        """
        try:
            envelope = self._path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as exc:
            self.trust.failure = malformed(f"{self._path}: {exc.strerror}")
            return
        try:
            self.trust.status = open_stored_status(envelope, self.trust.root_der)
        except DocumentRefused as exc:
            self.trust.failure = malformed(f"{self._path}: {exc}")

    @property
    def version(self) -> int:
        """Of the list in force; 0 before the first."""
        return self.trust.status.version if self.trust.status else 0

    def accept(self, envelope: bytes, now: datetime) -> bool:
        """Put a newer list in force, on disk first; False when it is the one in force.

        Raises:
            DocumentRefused: E_POLICY_SIGNATURE, E_STATUS_FORMAT, E_STATUS_EXPIRED, E_STATUS_VERSION (older,
                or it takes a revocation back) or E_STATUS_FORK; the one before stays.
            EnvironmentFault: E_DATA_DISK; the one before stays.
        """
        status = open_status(envelope, self.trust, now=now)
        if now - status.expires_at_utc > timedelta(seconds=CLOCK_SKEW_S):
            ended = status.expires_at_utc.isoformat()
            raise DocumentRefused(f"it ended at {ended}", code=ErrorCode.E_STATUS_EXPIRED)
        if not self._is_newer(status, now):
            return False
        write_private_file(self._path, envelope)
        self.trust.status, self.trust.failure = status, None
        return True

    def _is_newer(self, status: StatusList, now: datetime) -> bool:
        held = self.trust.status
        if held is None:
            return True
        if status.version < held.version:
            raise _refused(f"version {status.version}, and {held.version} is in force")
        if status.version == held.version:
            if status.sha256 != held.sha256:
                detail = f"two lists with version {status.version}: {held.sha256}, {status.sha256}"
                raise DocumentRefused(detail, code=ErrorCode.E_STATUS_FORK)
            return False
        missing = status.lacks(held, now=now)
        if missing is not None:
            raise _refused(f"it takes back that {missing.role} {missing.subject} was revoked")
        return True


class _Carried(msgspec.Struct, frozen=True):
    payload: bytes  # base64, as msgspec reads bytes in JSON


class _Issued(msgspec.Struct, frozen=True):
    issued_at_utc: Moment


def _issued_at(envelope: bytes) -> datetime:
    """The time inside our own file; what else it says is verified next."""
    try:
        carried = msgspec.json.decode(envelope, type=_Carried)
        return msgspec.json.decode(carried.payload, type=_Issued).issued_at_utc
    except (msgspec.MsgspecError, ValueError) as exc:
        raise malformed(str(exc)) from None


def _refused(why: str) -> DocumentRefused:
    return DocumentRefused(why, code=ErrorCode.E_STATUS_VERSION)
