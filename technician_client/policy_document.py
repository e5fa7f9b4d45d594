"""The admin's policy: a JSON document that a person edits, and the envelope that is signed from it."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from protocol.envelope import ENVELOPE_LIMIT_BYTES, carried_payload, sign_envelope
from protocol.errors import DocumentRefused, ErrorCode, UsageError
from protocol.identity import Identity
from protocol.ids import OrganisationId
from protocol.limits import POLICY_LIMIT_BYTES
from protocol.policy import (
    POLICY_TYPE,
    Consent,
    Policy,
    PolicyMark,
    default_policy,
    open_policy,
    parse_policy,
)
from technician_client.files import read_bounded, write_private
from technician_client.organisation import OrganisationFolder

SIGNED_LIFETIME = timedelta(days=90)

Document: TypeAlias = dict[str, Any]  # JSON as a person wrote it; parse_policy judges it

_GROUP = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")


def write_default(folder: OrganisationFolder, organisation: OrganisationId, *, now: datetime) -> None:
    """Write the document to start from: consent asked everywhere, the shipped catalogue."""
    write_policy_document(folder.policy_document_file, default_policy(organisation, now=now))


def read_policy_document(path: Path) -> tuple[Document, Policy]:
    """The editable document, and what it means.

    Raises:
        UsageError: the file cannot be read. DocumentRefused: E_POLICY_FORMAT, with the path of the fault.
    """
    payload = read_bounded(path, POLICY_LIMIT_BYTES)
    policy = parse_policy(payload)
    document: Document = json.loads(payload)
    return document, policy


def write_policy_document(path: Path, document: Document) -> None:
    """Write it for reading and editing; raises EnvironmentFault."""
    write_private(path, json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")


def stamp_document(folder: OrganisationFolder, document: Document, *, now: datetime) -> Document:
    """The document as it would be signed now: with the next version, from now, for SIGNED_LIFETIME."""
    versions = [document.get("version", 0)]
    for file in (folder.policy_envelope_file, folder.policy_published_file):
        before = _carried(file)
        versions.append(before.version if before else 0)
    return document | {
        "version": max(version for version in versions if isinstance(version, int)) + 1,
        "issued_at_utc": _stamp(now),
        "expires_at_utc": _stamp(now + SIGNED_LIFETIME),
    }


def policy_before(folder: OrganisationFolder) -> Policy | None:
    """What a new policy is compared with: what was published last, else what was signed last here.

    Its signature and its dates are not judged: it is this folder's own file, and one that has run out or
    whose signer was renewed is still what devices know.
    """
    return _carried(folder.policy_published_file) or _carried(folder.policy_envelope_file)


def _carried(file: Path) -> Policy | None:
    if not file.exists():
        return None
    return parse_policy(carried_payload(read_bounded(file, ENVELOPE_LIMIT_BYTES)))


def sign_policy(folder: OrganisationFolder, document: Document, signer: Identity, *, now: datetime) -> Policy:
    """Sign the document with the next version and a new expiry; both files of the folder are replaced.

    Raises:
        DocumentRefused: E_POLICY_FORMAT. EnvironmentFault: E_DATA_DISK.
    """
    stamped = stamp_document(folder, document, now=now)
    payload = json.dumps(stamped, ensure_ascii=False, sort_keys=True).encode()
    policy = parse_policy(payload)
    check_organisation(policy, signer)
    write_private(folder.policy_envelope_file, sign_envelope(POLICY_TYPE, payload, signer))
    write_policy_document(folder.policy_document_file, stamped)
    return policy


def check_organisation(policy: Policy, signer: Identity) -> None:
    """Before it is shown or signed. Raises DocumentRefused: E_POLICY_FORMAT, another organisation's."""
    if policy.organisation_id != signer.organisation_id:
        raise DocumentRefused("organisation_id is another organisation's", code=ErrorCode.E_POLICY_FORMAT)


def read_signed(folder: OrganisationFolder, *, now: datetime) -> tuple[bytes, Policy]:
    """The envelope that was signed last, verified again, and what it says.

    Raises:
        DocumentRefused: E_POLICY_MISSING, E_POLICY_EXPIRED, E_POLICY_SIGNATURE.
    """
    if not folder.policy_envelope_file.exists():
        raise DocumentRefused("none was signed in this folder", code=ErrorCode.E_POLICY_MISSING)
    envelope = read_bounded(folder.policy_envelope_file, ENVELOPE_LIMIT_BYTES)
    return envelope, open_policy(envelope, folder.root_der(), now=now, newest=PolicyMark())


def set_consent(document: Document, group: str, consent: Consent) -> Document:
    """The document with this rule for a device group.

    Raises:
        UsageError: the group's name is not one.
    """
    if not _GROUP.fullmatch(group):
        raise UsageError(f"{group!r} is no name of a device group; use lower case, digits and . _ -")
    return document | {"groups": {**document["groups"], group: consent.value}}


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
