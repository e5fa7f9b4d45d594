"""Identifiers, each with its own type. None of them is a secret; possession of one grants nothing."""

import hashlib
import re
import secrets
from base64 import b32encode
from typing import Final, NewType

from protocol.errors import ErrorCode, PeerViolation

OrganisationId = NewType("OrganisationId", str)  # 64 hex digits: SHA-256 of the root's public key (SPKI DER)
DeviceId = NewType("DeviceId", str)  # "d-" and 20 characters of base32: from the device's public key
SubjectId = NewType("SubjectId", str)  # a device id, or a name such as "ada" for people
SessionId = NewType("SessionId", str)  # "s-" and 26 characters of base32, random
GrantId = NewType("GrantId", str)  # "g-" and 16 characters of base32, random
RequestId = NewType("RequestId", str)  # "r-" and 26 characters of base32, random

JOIN_PREFIX: Final = "alongside-join-"  # how every join token begins

_ORGANISATION = re.compile(r"[0-9a-f]{64}")
_DEVICE = re.compile(r"d-[a-z2-7]{20}")
_SESSION = re.compile(r"s-[a-z2-7]{26}")
_REQUEST = re.compile(r"r-[a-z2-7]{26}")
_SUBJECT = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def _base32(raw: bytes, characters: int) -> str:
    return b32encode(raw).decode().lower().rstrip("=")[:characters]


def organisation_id(root_spki_der: bytes) -> OrganisationId:
    """The organisation's id: SHA-256 of its root's SubjectPublicKeyInfo (RFC 5280, 4.1.2.7), as hex."""
    return OrganisationId(hashlib.sha256(root_spki_der).hexdigest())


def device_id(spki_der: bytes) -> DeviceId:
    """A device's id: the first 100 bits of the SHA-256 of its SubjectPublicKeyInfo."""
    return DeviceId("d-" + _base32(hashlib.sha256(spki_der).digest(), 20))


def new_session_id() -> SessionId:
    """A fresh random session id (130 bits)."""
    return SessionId("s-" + _base32(secrets.token_bytes(17), 26))


def new_grant_id() -> GrantId:
    """A fresh random grant id (80 bits); an identifier, not an authority."""
    return GrantId("g-" + _base32(secrets.token_bytes(10), 16))


def new_request_id() -> RequestId:
    """A fresh random request id (130 bits); one id runs at most once."""
    return RequestId("r-" + _base32(secrets.token_bytes(17), 26))


def is_organisation_id(text: str) -> bool:
    """Whether the text has the form of an organisation id."""
    return _ORGANISATION.fullmatch(text) is not None


def is_device_id(text: str) -> bool:
    """Whether the text has the form of a device id."""
    return _DEVICE.fullmatch(text) is not None


def is_subject_id(text: str) -> bool:
    """Whether the text may name a person or a device in a certificate: lower case, digits, `._-`."""
    return _SUBJECT.fullmatch(text) is not None


def checked_session_id(text: str) -> SessionId:
    """The text as a session id.

    Raises:
        PeerViolation: it does not have that form.
    """
    if not _SESSION.fullmatch(text):
        raise PeerViolation("malformed session id", code=ErrorCode.E_MESSAGE_FORMAT)
    return SessionId(text)


def checked_request_id(text: str) -> RequestId:
    """The text as a request id.

    Raises:
        PeerViolation: it does not have that form.
    """
    if not _REQUEST.fullmatch(text):
        raise PeerViolation("malformed request id", code=ErrorCode.E_MESSAGE_FORMAT)
    return RequestId(text)
