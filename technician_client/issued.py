"""What the admin issued: technician certificates and join tokens, by name and end, never the secrets."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec

from protocol.certificates import Role, Scope, Subject
from protocol.errors import CertificateRefused, ErrorCode, UsageError
from protocol.grantables import Grantable
from protocol.identity import Identity
from protocol.ids import SubjectId, is_subject_id
from technician_client.files import read_document, write_document
from technician_client.organisation import OrganisationFolder, Root, issue_identity
from technician_client.status_document import revoked_subjects

Row = TypeVar("Row")
EVERY = "*"


class IssuedTechnician(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One technician certificate that was issued here."""

    subject_id: str
    name: str
    groups: list[str]
    grantables: list[str]
    issued_at_utc: str
    expires_at_utc: str


class IssuedToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One join token that was made here; `serial` (hex) is its enroller's, the relay knows it by that."""

    serial: str
    group: str
    uses_limit: int
    is_bulk: bool
    issued_at_utc: str
    join_until_utc: str


@dataclass(frozen=True, slots=True)
class TechnicianTerms:
    """Who a technician is to be, and how far their certificate reaches."""

    subject_id: SubjectId
    name: str
    scope: Scope
    lifetime: timedelta


def subject_id_of(name: str) -> SubjectId:
    """A subject id made from a person's name: "Ada Lovelace" is "ada-lovelace".

    Raises:
        UsageError: nothing usable is left of the name.
    """
    made = re.sub(r"[^a-z0-9._-]+", "-", name.strip().casefold()).strip("-._")[:64]
    if not is_subject_id(made):
        raise UsageError(f"no id can be made from the name {name!r}; give one with --id")
    return SubjectId(made)


def checked_grantables(words: Collection[str]) -> frozenset[str]:
    """The grantables for a certificate's scope; "*" is all of them.

    Raises:
        UsageError: a word is not a grantable; the detail lists what there is.
    """
    known = {EVERY, *Grantable}
    unknown = sorted(set(words) - known)
    if unknown:
        raise UsageError(f"there is no grantable {unknown[0]!r}; there are: {', '.join(sorted(known))}")
    return frozenset(words)


def issue_technician(
    folder: OrganisationFolder, root: Root, terms: TechnicianTerms, *, now: datetime, days_limit: int
) -> Identity:
    """A technician's identity; noted in `technicians.json`.

    Raises:
        CertificateRefused: E_CERT_LIFETIME, it would live longer than the policy allows.
        UsageError: the id was revoked.
    """
    if terms.lifetime > timedelta(days=days_limit):
        detail = f"{terms.lifetime.days} days asked for, the policy allows {days_limit}"
        raise CertificateRefused(detail, code=ErrorCode.E_CERT_LIFETIME)
    if terms.subject_id in revoked_subjects(folder, Role.TECHNICIAN):
        raise UsageError(f"the id {terms.subject_id} was revoked and is not used again; give another --id")
    subject = Subject(Role.TECHNICIAN, terms.subject_id, terms.name, terms.scope)
    identity = issue_identity(root, subject, now=now, lifetime=terms.lifetime)
    noted = IssuedTechnician(
        subject_id=terms.subject_id,
        name=terms.name,
        groups=sorted(terms.scope.groups),
        grantables=sorted(terms.scope.grantables),
        issued_at_utc=_utc(now),
        expires_at_utc=_utc(identity.not_after),
    )
    write_document(folder.technicians_file, [*technicians(folder), noted])
    return identity


def known_technician(folder: OrganisationFolder, who: str) -> IssuedTechnician:
    """The newest certificate of the technician with this id, or this name if only one has it.

    Raises:
        UsageError: none or several; the detail says where to look.
    """
    newest = {row.subject_id: row for row in technicians(folder)}
    if who in newest:
        return newest[who]
    named = [row for row in newest.values() if row.name.casefold() == who.strip().casefold()]
    if len(named) != 1:
        count = "nobody" if not named else f"{len(named)} technicians"
        raise UsageError(f"{count} by the name {who!r} was issued here; see: alongside org technician list")
    return named[0]


def technicians(folder: OrganisationFolder) -> list[IssuedTechnician]:
    """Every technician certificate that was issued here, oldest first."""
    return _rows(folder.technicians_file, list[IssuedTechnician])


def tokens(folder: OrganisationFolder) -> list[IssuedToken]:
    """Every join token that was made here, oldest first."""
    return _rows(folder.tokens_file, list[IssuedToken])


def note_token(folder: OrganisationFolder, token: IssuedToken) -> None:
    """Remember a token by its serial, so that it can be listed and revoked."""
    write_document(folder.tokens_file, [*tokens(folder), token])


def match_serial(wanted: str, serials: Sequence[str]) -> str:
    """The one serial that starts with `wanted`.

    Raises:
        UsageError: none or several do.
    """
    found = [serial for serial in serials if wanted and serial.startswith(wanted.lower())]
    if wanted.lower() in found:
        return wanted.lower()
    if len(found) != 1:
        count = "no token" if not found else f"{len(found)} tokens"
        raise UsageError(
            f"{count} with a serial that starts with {wanted!r}; see: alongside fleet token list"
        )
    return found[0]


def _rows(path: Path, kind: type[list[Row]]) -> list[Row]:
    return read_document(path, kind) if path.exists() else []


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
