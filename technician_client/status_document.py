"""The admin's status list: who is revoked, signed anew with each change and before it is over."""

from collections.abc import Collection
from datetime import datetime, timedelta

from protocol.certificates import DEVICE_LIFETIME, Role
from protocol.envelope import ENVELOPE_LIMIT_BYTES
from protocol.errors import UsageError
from protocol.identity import Identity
from protocol.limits import CLOCK_SKEW_S, TECHNICIAN_LIFETIME_LIMIT_DAYS
from protocol.status_list import STATUS_LIFETIME, Revocation, StatusList
from protocol.trust_store import open_status, open_stored_status, sign_status
from technician_client.files import read_bounded, write_private
from technician_client.organisation import STAFF_LIFETIME, OrganisationFolder

_LONGEST = {
    Role.TECHNICIAN: timedelta(days=TECHNICIAN_LIFETIME_LIMIT_DAYS),
    Role.DEVICE: DEVICE_LIFETIME,
    Role.ADMIN: STAFF_LIFETIME,
    Role.POLICY: STAFF_LIFETIME,
}
_MARGIN = timedelta(days=1, seconds=CLOCK_SKEW_S)


def read_status(folder: OrganisationFolder) -> tuple[bytes, StatusList] | None:
    """The envelope that was signed last, verified again, and what it says; None before the first.

    Raises:
        DocumentRefused: E_POLICY_SIGNATURE, E_STATUS_FORMAT.
    """
    if not folder.status_envelope_file.exists():
        return None
    envelope = read_bounded(folder.status_envelope_file, ENVELOPE_LIMIT_BYTES)
    return envelope, open_stored_status(envelope, folder.roots())[0]


def revoked_subjects(folder: OrganisationFolder, role: Role) -> set[str]:
    """The ids of this role that are revoked; they are not used again."""
    read = read_status(folder)
    return {one.subject for one in read[1].revoked if one.role is role} if read else set()


def new_revocation(folder: OrganisationFolder, role: Role, subject: str, *, now: datetime) -> Revocation:
    """The entry for this subject, which stays until its last certificate is over.

    Raises:
        UsageError: it is revoked already.
    """
    if subject in revoked_subjects(folder, role):
        raise UsageError(f"{role} {subject} is revoked already; see: alongside org status show")
    until = now + _LONGEST[role] if role in _LONGEST else folder.root_certificate().not_valid_after_utc
    return Revocation(role, subject, (until + _MARGIN).replace(microsecond=0))


def sign_new_status(
    folder: OrganisationFolder,
    signer: Identity,
    *,
    now: datetime,
    added: Collection[Revocation] = (),
) -> StatusList:
    """Sign the list anew, with what is added: the next version, good for STATUS_LIFETIME from now.

    Raises:
        DocumentRefused: E_STATUS_FORMAT, it is full. EnvironmentFault: E_DATA_DISK.
    """
    read = read_status(folder)
    kept = {one for one in read[1].revoked if one.until_utc > now} if read else set()
    unsigned = StatusList(
        organisation_id=signer.organisation_id,
        version=(read[1].version if read else 0) + 1,
        issued_at_utc=now.replace(microsecond=0),
        expires_at_utc=(now + STATUS_LIFETIME).replace(microsecond=0),
        revoked=frozenset({*kept, *added}),
        sha256="",
    )
    envelope = sign_status(unsigned, signer)
    signed = open_status(envelope, folder.root_der(), now=now)
    write_private(folder.status_envelope_file, envelope)
    return signed
