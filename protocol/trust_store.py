"""Status list and successor roots that this program accepted, on disk; all programs use the same.

Its version only rises. Two lists of one version are an alarm, whoever brings them, and so is a list that
takes a revocation back: whoever signs such a list has the signer's key and not the organisation's consent.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from protocol.certificates import Role
from protocol.envelope import open_envelope, sign_envelope
from protocol.errors import CertificateRefused, DocumentRefused, ErrorCode
from protocol.identity import Identity
from protocol.limits import CLOCK_SKEW_S
from protocol.private_files import write_private_file
from protocol.status_list import STATUS_TYPE, Moment, StatusList, encode_status, malformed, parse_status
from protocol.succession import RootLine
from protocol.trust import Trust

STATUS_FILE: Final = "status.dsse"
SUCCESSORS_FILE: Final = "successors.json"


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


def open_stored_status(envelope: bytes, roots: RootLine) -> tuple[StatusList, int]:
    """A list that was accepted or signed here before, and the generation of the root it comes from.

    It is judged at the time it was issued, by any root of the line: neither the end of its signer's
    certificate, nor a wrong clock, nor a successor root takes back what was revoked.

    Raises:
        DocumentRefused: E_POLICY_SIGNATURE, E_STATUS_FORMAT.
    """
    issued_at = _issued_at(envelope)
    failure: DocumentRefused | None = None
    for number, root_der in enumerate(roots.all):
        try:
            return open_status(envelope, root_der, now=issued_at), roots.generation - number
        except DocumentRefused as exc:
            failure = failure or exc
    assert failure is not None
    raise failure


class TrustStore:
    """Keeps `trust` as new as what was accepted, over restarts too."""

    def __init__(self, trust: Trust, folder: Path) -> None:
        """`folder` is the program's data folder; the files are `status.dsse` and `successors.json`."""
        self.trust = trust
        self._path = folder / STATUS_FILE
        self._steps_path = folder / SUCCESSORS_FILE

    def load(self) -> None:
        """Take up what the last run accepted. A list goes on to revoke when it is over.

        A file that cannot be read, or is not what it has to be, refuses all sessions (`Trust.failure`): a
        list until a good one comes, successors until the file is mended.
        """
        self._load_successors()
        try:
            stored = open_stored_status(self._path.read_bytes(), self.trust.roots)
            self.trust.status, self.trust.status_generation = stored
        except FileNotFoundError:
            return
        except (OSError, DocumentRefused) as exc:
            self.trust.status_failure = malformed(f"{self._path}: {exc}")

    def _load_successors(self) -> None:
        try:
            self.trust.roots.take(_STEPS.decode(self._steps_path.read_bytes()))
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError, DocumentRefused) as exc:
            detail = f"{self._steps_path}: {exc}"
            self.trust.roots_failure = DocumentRefused(detail, code=ErrorCode.E_ROOT_SUCCESSOR)

    def accept_successors(self, envelopes: Sequence[bytes]) -> bool:
        """Follow the steps to a newer root, on disk first; False when they bring nothing new.

        Raises:
            DocumentRefused: E_ROOT_FORK, E_ROOT_SUCCESSOR; the roots stay as they were.
            EnvironmentFault: E_DATA_DISK; the roots stay as they were.
        """
        line = RootLine(self.trust.roots.newest)
        line.take(self.trust.roots.steps)
        if not line.take(envelopes):
            return False
        write_private_file(self._steps_path, msgspec.json.encode(line.steps))
        return self.trust.roots.take(envelopes)

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
        self.trust.status, self.trust.status_failure = status, None
        self.trust.status_generation = self.trust.roots.generation
        return True

    def _is_newer(self, status: StatusList, now: datetime) -> bool:
        held = self.trust.status
        if held is None or self.trust.status_generation < self.trust.roots.generation:
            return True  # versions are counted anew under a successor root
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


_STEPS: Final = msgspec.json.Decoder(list[bytes])


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
