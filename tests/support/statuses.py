"""Signed status lists for tests."""

from datetime import UTC, datetime, timedelta

from protocol.certificates import Role
from protocol.identity import Identity
from protocol.status_list import Revocation, StatusList
from protocol.trust_store import sign_status
from tests.support.organisation import Organisation

DAY = timedelta(days=1)


def revocation(role: Role, subject: str, until: datetime | None = None) -> Revocation:
    """An entry that stays for a month, unless something else is said."""
    last = until or datetime.now(UTC) + 30 * DAY
    return Revocation(role, subject, last.replace(microsecond=0))


def revoked(identity: Identity) -> Revocation:
    """The entry that revokes this identity."""
    return revocation(identity.role, identity.subject_id)


def signed_status(
    organisation: Organisation,
    *entries: Revocation,
    version: int = 1,
    issued: datetime | None = None,
    lifetime: timedelta = 90 * DAY,
    signer: Identity | None = None,
) -> bytes:
    """A list with these entries, in its envelope."""
    start = (issued or datetime.now(UTC)).replace(microsecond=0)
    status = StatusList(
        organisation_id=organisation.organisation_id,
        version=version,
        issued_at_utc=start,
        expires_at_utc=start + lifetime,
        revoked=frozenset(entries),
        sha256="",
    )
    return sign_status(status, signer or organisation.policy_signer())
