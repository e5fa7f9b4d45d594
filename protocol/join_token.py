"""Join tokens: all that a device needs to become one of the organisation's, without an online authority.

A token is "alongside-join-" and base64url of: 8 bytes of SHA-256 over the rest, then MessagePack of the
relay's address and id, the root, the enroller's certificate and its private key. It is a secret: whoever
holds it can enrol a device into its group until `join_until`, as often as relays count (decision 0001).
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from protocol.certificates import (
    DEVICE_LIFETIME,
    EnrollerTerms,
    Role,
    Subject,
    VerifiedPeer,
    issue,
    organisation_of_root,
    spki,
    verify_chain,
)
from protocol.errors import CertificateRefused, DocumentRefused, ErrorCode
from protocol.identity import Identity
from protocol.ids import JOIN_PREFIX as PREFIX
from protocol.ids import OrganisationId, SubjectId, device_id
from protocol.limits import CERTIFICATE_LIMIT_BYTES, CLOCK_SKEW_S, JOIN_TOKEN_LIMIT_CHARS

_CHECKSUM_BYTES: Final = 8
_KEY_BYTES: Final = 32
_FORMAT: Final = 1
_SCHEMES: Final = frozenset({"http", "https", "ws", "wss"})
_MARGIN: Final = timedelta(days=1)

_Der = Annotated[bytes, msgspec.Meta(max_length=CERTIFICATE_LIMIT_BYTES)]


class _Carried(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    format: int
    relay_url: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    relay_id: Annotated[str, msgspec.Meta(max_length=128)]
    root_der: _Der
    enroller_der: _Der
    enroller_key: Annotated[bytes, msgspec.Meta(min_length=_KEY_BYTES, max_length=_KEY_BYTES)]


@dataclass(frozen=True, slots=True)
class TokenTerms:
    """What a new token is for. `uses_limit` 0 means no limit; a bulk token's devices wait for approval."""

    relay_url: str
    relay_id: str
    group: str
    join_until: datetime
    uses_limit: int = 1
    is_bulk: bool = False


@dataclass(frozen=True, slots=True)
class JoinToken:
    """A token that was read and checked. Its key is a secret and is never shown."""

    relay_url: str
    relay_id: str
    root_der: bytes
    enroller_chain: tuple[bytes, ...]
    enroller_key: ec.EllipticCurvePrivateKey = field(repr=False)
    terms: EnrollerTerms

    @property
    def group(self) -> str:
        """The device group that the device will be in."""
        return self.terms.group

    @property
    def join_until(self) -> datetime:
        """After this no device can join with it, aware UTC."""
        return self.terms.join_until

    @property
    def uses_limit(self) -> int:
        """How many devices may join with it; 0 is any number."""
        return self.terms.uses_limit

    @property
    def is_bulk(self) -> bool:
        """Whether its devices wait until an admin approves them."""
        return self.terms.is_bulk

    @property
    def serial(self) -> str:
        """The enroller certificate's serial in hex: how relays and admins name the token."""
        return self.terms.serial

    @property
    def organisation_id(self) -> OrganisationId:
        """The organisation that the device will belong to."""
        return organisation_of_root(self.root_der)[0]

    @property
    def organisation_name(self) -> str:
        """The organisation's display name; shown, never decided upon."""
        return organisation_of_root(self.root_der)[1]


def make_token(
    root_cert: x509.Certificate,
    root_key: ec.EllipticCurvePrivateKey,
    terms: TokenTerms,
    *,
    now: datetime,
) -> str:
    """A new token. Its enroller lives as long as the last device that may join with it.

    Raises:
        DocumentRefused: E_TOKEN_FORMAT, the relay's address is not one.
        CertificateRefused: the group cannot be named, or the root is over.
    """
    _check_relay_url(terms.relay_url)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = Subject(
        Role.ENROLLER,
        SubjectId("e-" + hashlib.sha256(spki(key.public_key())).hexdigest()[:20]),
        f"Join token for {terms.group}",
        enroller=EnrollerTerms(terms.join_until, terms.uses_limit, terms.is_bulk, terms.group),
    )
    lifetime = terms.join_until - now + DEVICE_LIFETIME + _MARGIN
    enroller = issue(root_cert, root_key, subject, key.public_key(), now=now, lifetime=lifetime)
    carried = _Carried(
        format=_FORMAT,
        relay_url=terms.relay_url,
        relay_id=terms.relay_id,
        root_der=root_cert.public_bytes(Encoding.DER),
        enroller_der=enroller.public_bytes(Encoding.DER),
        enroller_key=key.private_numbers().private_value.to_bytes(_KEY_BYTES, "big"),
    )
    packed = msgspec.msgpack.encode(carried)
    return PREFIX + urlsafe_b64encode(_checksum(packed) + packed).decode().rstrip("=")


def read_token(text: str, *, now: datetime) -> JoinToken:
    """The token in this text. White space is ignored, because mails wrap long lines.

    Raises:
        DocumentRefused: E_TOKEN_FORMAT (cut, changed, or not a token) or E_TOKEN_EXPIRED.
    """
    carried = _unpack(text)
    try:
        _check_relay_url(carried.relay_url)
        key = ec.derive_private_key(int.from_bytes(carried.enroller_key, "big"), ec.SECP256R1())
        chain = (carried.enroller_der,)
        enroller = verify_chain(chain, carried.root_der, roles={Role.ENROLLER}, now=now)
    except CertificateRefused as exc:
        is_over = exc.code is ErrorCode.E_CERT_EXPIRED
        code = ErrorCode.E_TOKEN_EXPIRED if is_over else ErrorCode.E_TOKEN_FORMAT
        raise DocumentRefused(exc.detail, code=code) from None
    except ValueError:
        raise _damaged("its key is not one") from None
    terms = _terms_of(enroller)
    if now - terms.join_until > timedelta(seconds=CLOCK_SKEW_S):
        raise DocumentRefused(
            f"it was good until {terms.join_until.isoformat()}", code=ErrorCode.E_TOKEN_EXPIRED
        )
    leaf_key = x509.load_der_x509_certificate(carried.enroller_der).public_key()
    if leaf_key != key.public_key():
        raise _damaged("its key is not the enroller's")
    return JoinToken(carried.relay_url, carried.relay_id, carried.root_der, chain, key, terms)


def join(token: JoinToken, device_name: str, *, now: datetime) -> Identity:
    """A new identity for this device: its own key, and a certificate that it signs under the enroller.

    Raises:
        CertificateRefused: the enroller is over.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = Subject(Role.DEVICE, SubjectId(device_id(spki(key.public_key()))), device_name)
    enroller = x509.load_der_x509_certificate(token.enroller_chain[0])
    made = issue(enroller, token.enroller_key, subject, key.public_key(), now=now, lifetime=DEVICE_LIFETIME)
    chain = (made.public_bytes(Encoding.DER), *token.enroller_chain)
    verify_chain(chain, token.root_der, roles={Role.DEVICE}, now=now)
    return Identity(key, chain, token.root_der)


def _unpack(text: str) -> _Carried:
    compact = "".join(text[: 2 * JOIN_TOKEN_LIMIT_CHARS].split())
    if not compact.startswith(PREFIX) or len(compact) > JOIN_TOKEN_LIMIT_CHARS:
        raise _damaged("it does not begin like a token, or is too long")
    encoded = compact[len(PREFIX) :]
    try:
        raw = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except ValueError:
        raise _damaged("not base64url") from None
    checksum, packed = raw[:_CHECKSUM_BYTES], raw[_CHECKSUM_BYTES:]
    if _checksum(packed) != checksum or urlsafe_b64encode(raw).decode().rstrip("=") != encoded:
        raise _damaged("its checksum is wrong")
    try:
        carried = msgspec.msgpack.decode(packed, type=_Carried, strict=True)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise _damaged(str(exc)[:200]) from None
    if carried.format != _FORMAT:
        raise _damaged(f"it has format {carried.format}, this program reads {_FORMAT}")
    return carried


def _terms_of(enroller: VerifiedPeer) -> EnrollerTerms:
    if enroller.enroller is None:
        raise _damaged("its enroller has no terms")
    return enroller.enroller


def _check_relay_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _damaged("the relay's address is malformed") from None
    is_plain = parts.scheme in _SCHEMES and bool(parts.hostname) and port != 0
    has_more = bool(parts.username or parts.password or parts.query or parts.fragment)
    if not is_plain or has_more or not url.isascii() or not url.isprintable():
        raise _damaged("the relay's address is malformed")


def _checksum(packed: bytes) -> bytes:
    return hashlib.sha256(PREFIX.encode() + packed).digest()[:_CHECKSUM_BYTES]


def _damaged(why: str) -> DocumentRefused:
    return DocumentRefused(why, code=ErrorCode.E_TOKEN_FORMAT)
