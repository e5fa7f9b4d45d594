"""The status list: who of the organisation was revoked; signed, versioned, expiring (the document alone).

PROTOCOL.md, section 7, describes the JSON document. It travels in a DSSE envelope; `protocol.trust_store`
opens it. A revocation is of a role and a subject and never ends: an id that was revoked is not used again.
It may be left out once `until_utc` has passed, when no certificate of that subject can be alive.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from protocol.certificate_profile import Role
from protocol.errors import DocumentRefused, ErrorCode
from protocol.ids import OrganisationId
from protocol.limits import POLICY_LIMIT_BYTES, REVOCATIONS_LIMIT

STATUS_TYPE: Final = "application/vnd.alongside.status+json"
STATUS_LIFETIME: Final = timedelta(days=90)
STATUS_VERSION_LIMIT: Final = 2**31 - 1

Moment = Annotated[datetime, Meta(tz=True)]


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=True):
    """One that is not believed any more. `subject` is a subject id; of an enroller, its serial (hex)."""

    role: Role
    subject: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z")]
    until_utc: Moment


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    format: Literal["alongside-status/1"]
    organisation_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    version: Annotated[int, Meta(ge=1, le=STATUS_VERSION_LIMIT)]
    issued_at_utc: Moment
    expires_at_utc: Moment
    revoked: Annotated[list[Revocation], Meta(max_length=REVOCATIONS_LIMIT)]

    def __post_init__(self) -> None:
        if self.expires_at_utc <= self.issued_at_utc:
            raise ValueError("expires_at_utc is not after issued_at_utc")
        if self.revoked != sorted(set(self.revoked)):
            raise ValueError("revoked is not sorted, or holds an entry twice")


_DECODER = msgspec.json.Decoder(_Document, strict=True)


@dataclass(frozen=True, slots=True)
class StatusList:
    """A list as it was signed. `sha256` (hex) is of the exact document."""

    organisation_id: OrganisationId
    version: int
    issued_at_utc: datetime
    expires_at_utc: datetime
    revoked: frozenset[Revocation]
    sha256: str

    def is_revoked(self, role: Role, subject: str) -> bool:
        """Whether this subject of this role is in the list."""
        return any((one.role, one.subject) == (role, subject) for one in self.revoked)

    def lacks(self, older: "StatusList", *, now: datetime) -> Revocation | None:
        """A revocation of the older list that this one takes back although it still matters; or None."""
        kept = {(one.role, one.subject) for one in self.revoked}
        gone = [one for one in older.revoked if (one.role, one.subject) not in kept and one.until_utc > now]
        return min(gone, default=None)


def encode_status(status: StatusList) -> bytes:
    """The document to be signed; raises DocumentRefused when it has too many entries."""
    if len(status.revoked) > REVOCATIONS_LIMIT:
        raise malformed(f"{len(status.revoked)} revocations, the limit is {REVOCATIONS_LIMIT}")
    document = _Document(
        format="alongside-status/1",
        organisation_id=status.organisation_id,
        version=status.version,
        issued_at_utc=status.issued_at_utc.astimezone(UTC),
        expires_at_utc=status.expires_at_utc.astimezone(UTC),
        revoked=sorted(status.revoked),
    )
    return msgspec.json.encode(document, order="sorted")


def parse_status(payload: bytes) -> StatusList:
    """Read a document; whether it is signed or over is not looked at.

    Only the one spelling that `encode_status` writes is read, so no member can be there twice.

    Raises:
        DocumentRefused: E_STATUS_FORMAT.
    """
    if len(payload) > POLICY_LIMIT_BYTES:
        raise malformed(f"{len(payload)} bytes, limit is {POLICY_LIMIT_BYTES}")
    try:
        document = _DECODER.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise malformed(str(exc)) from None
    if msgspec.json.encode(document, order="sorted") != payload:
        raise malformed("not written as a status list is")
    return StatusList(
        organisation_id=OrganisationId(document.organisation_id),
        version=document.version,
        issued_at_utc=document.issued_at_utc.astimezone(UTC),
        expires_at_utc=document.expires_at_utc.astimezone(UTC),
        revoked=frozenset(document.revoked),
        sha256=hashlib.sha256(payload).hexdigest(),
    )


def malformed(why: str) -> DocumentRefused:
    """The refusal of what is no status list."""
    return DocumentRefused(why[:300], code=ErrorCode.E_STATUS_FORMAT)
