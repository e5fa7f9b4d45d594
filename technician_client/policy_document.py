"""The admin's policy: a JSON document that a person edits, and the envelope that is signed from it."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from protocol.envelope import ENVELOPE_LIMIT_BYTES, sign_envelope
from protocol.errors import DocumentRefused, ErrorCode, UsageError
from protocol.identity import Identity
from protocol.ids import OrganisationId
from protocol.limits import POLICY_LIMIT_BYTES
from protocol.policy import POLICY_TYPE, Consent, Policy, default_policy, open_policy, parse_policy
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


def sign_policy(folder: OrganisationFolder, document: Document, signer: Identity, *, now: datetime) -> Policy:
    """Sign the document with the next version and a new expiry; both files of the folder are replaced.

    Raises:
        DocumentRefused: E_POLICY_FORMAT. EnvironmentFault: E_DATA_DISK.
    """
    signed_before = read_signed(folder, now=now)[1].version if folder.policy_envelope_file.exists() else 0
    given = document.get("version", 0)
    stamped = document | {
        "version": max(given if isinstance(given, int) else 0, signed_before) + 1,
        "issued_at_utc": _stamp(now),
        "expires_at_utc": _stamp(now + SIGNED_LIFETIME),
    }
    payload = json.dumps(stamped, ensure_ascii=False, sort_keys=True).encode()
    policy = parse_policy(payload)
    if policy.organisation_id != signer.organisation_id:
        raise DocumentRefused("organisation_id is another organisation's", code=ErrorCode.E_POLICY_FORMAT)
    write_private(folder.policy_envelope_file, sign_envelope(POLICY_TYPE, payload, signer))
    write_policy_document(folder.policy_document_file, stamped)
    return policy


def read_signed(folder: OrganisationFolder, *, now: datetime) -> tuple[bytes, Policy]:
    """The envelope that was signed last, verified again, and what it says.

    Raises:
        DocumentRefused: E_POLICY_MISSING, E_POLICY_EXPIRED, E_POLICY_SIGNATURE.
    """
    if not folder.policy_envelope_file.exists():
        raise DocumentRefused("none was signed in this folder", code=ErrorCode.E_POLICY_MISSING)
    envelope = read_bounded(folder.policy_envelope_file, ENVELOPE_LIMIT_BYTES)
    return envelope, open_policy(envelope, folder.root_der(), now=now, newest_version=0)


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
