"""What a certificate of ours looks like: one certificate read into a typed value, shape checked.

Nothing here decides whom to trust; `protocol.certificates` does, over values of this module. Sources:
RFC 5280 (X.509 profile), RFC 5480 (P-256 keys), ITU-T X.667 (identifiers under 2.25).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier, SignatureAlgorithmOID

from protocol.errors import CertificateRefused, ErrorCode
from protocol.grantables import Grantable
from protocol.ids import OrganisationId, SubjectId
from protocol.limits import CERTIFICATE_LIMIT_BYTES, SUCCESSORS_LIMIT

# 6b7cb38e-7b40-41a1-85a3-7fa554de936a as an integer (ITU-T X.667, 7); every identifier of ours is below it
_ARC: Final = "2.25.142874882199306785095044604726865728362"
SCOPE_OID: Final = ObjectIdentifier(f"{_ARC}.2.1")
ENROLLER_OID: Final = ObjectIdentifier(f"{_ARC}.2.2")
ROOT_OID: Final = ObjectIdentifier(f"{_ARC}.2.3")

_SERIAL_LIMIT_BITS: Final = 160
_EXTENSION_LIMIT_BYTES: Final = 4096
_UTF8_STRING_TAG: Final = 0x0C
_GROUP: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
EVERYTHING: Final = "*"


class Role(StrEnum):
    """What a certificate's holder is, for good; the word is in the certificate's URI."""

    ADMIN = "admin"
    TECHNICIAN = "technician"
    DEVICE = "device"
    ENROLLER = "enroller"
    POLICY = "policy"


ROLE_OIDS: Final = {
    Role.ADMIN: ObjectIdentifier(f"{_ARC}.1.1"),
    Role.TECHNICIAN: ObjectIdentifier(f"{_ARC}.1.2"),
    Role.DEVICE: ObjectIdentifier(f"{_ARC}.1.3"),
    Role.ENROLLER: ObjectIdentifier(f"{_ARC}.1.4"),
    Role.POLICY: ObjectIdentifier(f"{_ARC}.1.5"),
}
# an enroller carries serverAuth because OpenSSL wants a CA's usages to include those of its leaves
TLS_USAGES: Final = {
    Role.ADMIN: ExtendedKeyUsageOID.CLIENT_AUTH,
    Role.TECHNICIAN: ExtendedKeyUsageOID.CLIENT_AUTH,
    Role.DEVICE: ExtendedKeyUsageOID.SERVER_AUTH,
    Role.ENROLLER: ExtendedKeyUsageOID.SERVER_AUTH,
    Role.POLICY: ExtendedKeyUsageOID.CLIENT_AUTH,
}
_URI: Final = re.compile(
    r"alongside://(?P<organisation>[0-9a-f]{64})/(?P<role>admin|technician|device|enroller|policy)"
    r"/(?P<subject>[a-z0-9][a-z0-9._-]{0,63})"
)

# each with the criticality that it has to have: verifiers disagree about every other choice
_OF_ALL: Final = {
    x509.BasicConstraints.oid: True,
    x509.KeyUsage.oid: True,
    x509.SubjectKeyIdentifier.oid: False,
    x509.AuthorityKeyIdentifier.oid: False,
}
_OF_ROLES: Final = {
    x509.ExtendedKeyUsage.oid: False,
    x509.SubjectAlternativeName.oid: False,
    SCOPE_OID: False,
    ENROLLER_OID: False,
}
_OF_ROOTS: Final = {ROOT_OID: False}
# id-ce, id-pe, Netscape: whatever stands there means something to somebody
_STANDARD_ARCS: Final = ("2.5.29.", "1.3.6.1.5.5.7.1.", "2.16.840.1.113730.")
_KEY_IDENTIFIER_BYTES: Final = 20
_FIRST_YEAR_OF_GENERALIZED_TIME: Final = 2050
# what `cryptography` raises on hostile DER; several of its classes derive from Exception alone
PARSE_FAULTS: Final = (
    ValueError,
    TypeError,
    OverflowError,
    NotImplementedError,
    UserWarning,
    UnsupportedAlgorithm,
    InvalidSignature,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.InvalidVersion,
    x509.ExtensionNotFound,
)


@dataclass(frozen=True, slots=True)
class Scope:
    """Device groups and grantables that a person's certificate covers; "*" stands for all of a kind."""

    groups: frozenset[str] = frozenset()
    grantables: frozenset[str] = frozenset()

    def covers_group(self, group: str) -> bool:
        """Whether devices of this group are covered."""
        return EVERYTHING in self.groups or group in self.groups

    def covers(self, grantable: Grantable) -> bool:
        """Whether this permission may be asked for."""
        return EVERYTHING in self.grantables or grantable.value in self.grantables


@dataclass(frozen=True, slots=True)
class EnrollerTerms:
    """What a join token may be used for. `serial` is its certificate's serial in hex, "" before issue.

    `uses_limit` 0 means no limit. It is counted by relays; `join_until` is judged against a device
    certificate's start (decision 0001).
    """

    join_until: datetime
    uses_limit: int
    is_bulk: bool
    group: str
    serial: str = ""


@dataclass(frozen=True, slots=True)
class RootTerms:
    """What a root says of its line: who may sign the next root, and what came before (decision 0013).

    `recovery_sha256` (hex) is of the SubjectPublicKeyInfo of the key that may. The first root has
    generation 0 and "" for the other two; of a later one they are the first root's organisation id and the
    SHA-256 (hex) of the root before.
    """

    recovery_sha256: str
    generation: int = 0
    organisation_id: str = ""
    previous_sha256: str = ""


_Hex = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?\Z")]


class _RootTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    generation: Annotated[int, msgspec.Meta(ge=0, le=SUCCESSORS_LIMIT)]
    organisation_id: _Hex
    previous_sha256: _Hex
    recovery_sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class _ScopeTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    grantables: Annotated[list[str], msgspec.Meta(max_length=32)]
    groups: Annotated[list[str], msgspec.Meta(max_length=64)]


class _EnrollerTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    group: str
    is_bulk: bool
    join_until_s: Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]
    uses_limit: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


@dataclass(frozen=True, slots=True)
class CertificateShape:
    """One certificate, read and found well formed; whose it is was not judged. Times are aware UTC.

    `path_length` is None for a leaf. `organisation_id`, `role` and `subject_id` are None for a root, and
    `root_terms` for everything else and for roots that can have no successor.
    """

    certificate: x509.Certificate
    der: bytes
    public_key: ec.EllipticCurvePublicKey
    spki_der: bytes
    common_name: str
    serial: str
    not_before: datetime
    not_after: datetime
    path_length: int | None
    key_identifier: bytes
    issuer_key_identifier: bytes
    organisation_id: OrganisationId | None
    role: Role | None
    subject_id: SubjectId | None
    scope: Scope
    enroller: EnrollerTerms | None
    root_terms: RootTerms | None = None


def refused(code: ErrorCode, detail: str) -> CertificateRefused:
    """The refusal to raise, with a detail for our own log."""
    return CertificateRefused(detail, code=code)


def require(holds: bool, detail: str, code: ErrorCode = ErrorCode.E_CERT_FORMAT) -> None:
    """Raise the refusal unless the rule holds."""
    if not holds:
        raise refused(code, detail)


def is_group(text: str) -> bool:
    """Whether the text may name a device group: lower case, digits, `._-`, at most 32."""
    return _GROUP.fullmatch(text) is not None


def spki(public_key: ec.EllipticCurvePublicKey) -> bytes:
    """The key's SubjectPublicKeyInfo (RFC 5280, 4.1.2.7) as DER; ids are made from it."""
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def read_certificate(der: bytes) -> CertificateShape:
    """Read one certificate and check its shape.

    Raises:
        CertificateRefused: E_CERT_FORMAT, or E_CERT_ROLE when URI and key usages name different roles.
    """
    require(0 < len(der) <= CERTIFICATE_LIMIT_BYTES, f"{len(der)} bytes")
    try:
        return _read(bytes(der))
    except PARSE_FAULTS as exc:
        raise refused(ErrorCode.E_CERT_FORMAT, f"{type(exc).__name__}: {exc}"[:200]) from None


def _read(der: bytes) -> CertificateShape:
    certificate = x509.load_der_x509_certificate(der)
    # `cryptography` accepts some encodings that are not DER; a second spelling of a certificate is refused
    require(certificate.public_bytes(Encoding.DER) == der, "not canonical DER")
    # nor may the signature's BIT STRING leave bits of its last byte out (RFC 5280, 4.1.1.3: it holds DER)
    require(der.endswith(b"\x00" + certificate.signature), "a signature with unused bits")
    require(certificate.version is x509.Version.v3, "not a version 3 certificate")
    serial = certificate.serial_number
    require(serial > 0 and serial.bit_length() < _SERIAL_LIMIT_BITS, "serial out of range")
    require(
        certificate.signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA256
        and isinstance(certificate.signature_hash_algorithm, hashes.SHA256),
        "signature is not ECDSA with SHA-256",
    )
    public_key = certificate.public_key()
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(
        public_key.curve, ec.SECP256R1
    ):
        raise refused(ErrorCode.E_CERT_FORMAT, "key is not P-256")
    extensions = certificate.extensions
    path_length = _path_length(extensions)
    organisation, role, subject = _identity(extensions, path_length)
    _check_extensions(extensions, _OF_ALL | (_OF_ROOTS if role is None else _OF_ROLES))
    require(_validity(certificate) in certificate.tbs_certificate_bytes, "dates are spelled otherwise")
    key_identifier, issuer_key_identifier = _key_identifiers(extensions)
    _check_usages(extensions, role, path_length)
    return CertificateShape(
        certificate=certificate,
        der=der,
        public_key=public_key,
        spki_der=spki(public_key),
        common_name=_common_name(certificate.subject),
        serial=f"{serial:x}",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        path_length=path_length,
        key_identifier=key_identifier,
        issuer_key_identifier=issuer_key_identifier,
        organisation_id=organisation,
        role=role,
        subject_id=subject,
        scope=_read_scope(extensions),
        enroller=_read_enroller(extensions, f"{serial:x}"),
        root_terms=_read_root_terms(extensions, role),
    )


def _check_extensions(extensions: x509.Extensions, known: Mapping[ObjectIdentifier, bool]) -> None:
    for extension in extensions:
        if extension.oid in known:
            is_right = extension.critical == known[extension.oid]
            require(is_right, f"criticality of {extension.oid.dotted_string}")
            continue
        require(extension.oid not in _OF_ROLES, "a root with a role's extension")
        # what is standard and outside this profile (name constraints, policies) would be enforced by
        # others and not by us; a private one that is not critical may be ignored (RFC 5280, 4.2)
        dotted = extension.oid.dotted_string
        is_unknown = isinstance(extension.value, x509.UnrecognizedExtension)
        is_private = is_unknown and not dotted.startswith(_STANDARD_ARCS)
        require(is_private and not extension.critical, f"extension {dotted}")


def _path_length(extensions: x509.Extensions) -> int | None:
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    if not constraints.value.ca:
        return None
    require(constraints.value.path_length is not None, "a CA without a path length")
    return constraints.value.path_length


def _identity(
    extensions: x509.Extensions, path_length: int | None
) -> tuple[OrganisationId | None, Role | None, SubjectId | None]:
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        require(path_length is not None, "no alternative name")
        return None, None, None
    entries = list(names)
    require(len(entries) == 1 and isinstance(entries[0], x509.UniformResourceIdentifier), "not one URI")
    match = _URI.fullmatch(str(entries[0].value))
    if match is None:
        raise refused(ErrorCode.E_CERT_FORMAT, "not a URI of ours")
    return OrganisationId(match["organisation"]), Role(match["role"]), SubjectId(match["subject"])


def _check_usages(extensions: x509.Extensions, role: Role | None, path_length: int | None) -> None:
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    is_authority = path_length is not None
    require(usage.value.key_cert_sign == is_authority, "key usage does not fit a CA or leaf")
    require(usage.value.digital_signature != is_authority, "key usage does not fit a CA or leaf")
    if role is None:
        return
    wanted = {ROLE_OIDS[role], TLS_USAGES[role]}
    try:
        usages = list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        usages = []
    exact = len(usages) == len(wanted) and set(usages) == wanted
    require(exact, f"usages do not fit the role {role}", ErrorCode.E_CERT_ROLE)
    require((role is Role.ENROLLER) == is_authority, f"{role} and CA do not fit", ErrorCode.E_CERT_ROLE)


def _common_name(name: x509.Name) -> str:
    values = [attribute.value for attribute in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
    require(len(values) == 1 and isinstance(values[0], str), "not one common name")
    plain = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, values[0])])
    require(plain.public_bytes() == name.public_bytes(), "more than one common name in UTF-8")
    return str(values[0])


def _key_identifiers(extensions: x509.Extensions) -> tuple[bytes, bytes]:
    """Of the certificate's own key and of its issuer's; without them verifiers build chains differently."""
    own = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    above = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    is_plain = above.authority_cert_issuer is None and above.authority_cert_serial_number is None
    require(is_plain and len(own) == _KEY_IDENTIFIER_BYTES, "key identifiers of another form")
    return own, above.key_identifier or b""


def _validity(certificate: x509.Certificate) -> bytes:
    """DER of the two dates as RFC 5280, 4.1.2.5, has them spelled."""
    moments = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    encoded = b"".join(map(_time, moments))
    return bytes((0x30, len(encoded))) + encoded


def _time(moment: datetime) -> bytes:
    is_long = moment.year >= _FIRST_YEAR_OF_GENERALIZED_TIME
    text = f"{moment.year:04}{moment:%m%d%H%M%S}Z"[0 if is_long else 2 :].encode()
    return bytes((0x18 if is_long else 0x17, len(text))) + text


def _private_value(extensions: x509.Extensions, oid: ObjectIdentifier) -> bytes | None:
    try:
        value = extensions.get_extension_for_oid(oid).value
    except x509.ExtensionNotFound:
        return None
    assert isinstance(value, x509.UnrecognizedExtension)
    return _utf8_string_content(value.value)


def _read_scope(extensions: x509.Extensions) -> Scope:
    encoded = _private_value(extensions, SCOPE_OID)
    if encoded is None:
        return Scope()
    terms = msgspec.json.decode(encoded, type=_ScopeTerms)
    scope = Scope(frozenset(terms.groups), frozenset(terms.grantables))
    require(encode_scope(scope) == encoded, "scope is not canonical")
    return scope


def _read_enroller(extensions: x509.Extensions, serial: str) -> EnrollerTerms | None:
    encoded = _private_value(extensions, ENROLLER_OID)
    if encoded is None:
        return None
    terms = msgspec.json.decode(encoded, type=_EnrollerTerms)
    join_until = datetime.fromtimestamp(terms.join_until_s, UTC)
    enroller = EnrollerTerms(join_until, terms.uses_limit, terms.is_bulk, terms.group, serial)
    require(encode_enroller(enroller) == encoded, "enroller's terms are not canonical")
    return enroller


def _read_root_terms(extensions: x509.Extensions, role: Role | None) -> RootTerms | None:
    encoded = _private_value(extensions, ROOT_OID)
    if encoded is None:
        return None
    require(role is None, "a root's terms in another certificate")
    read = msgspec.json.decode(encoded, type=_RootTerms)
    terms = RootTerms(read.recovery_sha256, read.generation, read.organisation_id, read.previous_sha256)
    require(encode_root_terms(terms) == encoded, "root's terms are not canonical")
    is_first = terms.generation == 0
    fits = is_first == (terms.organisation_id == "") == (terms.previous_sha256 == "")
    require(fits, "root's terms do not fit")
    return terms


def encode_root_terms(terms: RootTerms) -> bytes:
    """The root's terms as canonical JSON."""
    encoded = _RootTerms(
        terms.generation, terms.organisation_id, terms.previous_sha256, terms.recovery_sha256
    )
    return msgspec.json.encode(encoded, order="sorted")


def encode_scope(scope: Scope) -> bytes:
    """The scope as canonical JSON.

    Raises:
        CertificateRefused: a group or grantable that cannot be named.
    """
    _check_words(scope.groups | scope.grantables)
    return msgspec.json.encode(_ScopeTerms(sorted(scope.grantables), sorted(scope.groups)), order="sorted")


def encode_enroller(terms: EnrollerTerms) -> bytes:
    """The enroller's terms as canonical JSON; the serial is the certificate's own.

    Raises:
        CertificateRefused: the group cannot be named.
    """
    require(is_group(terms.group), "not a device group")
    encoded = _EnrollerTerms(terms.group, terms.is_bulk, int(terms.join_until.timestamp()), terms.uses_limit)
    return msgspec.json.encode(encoded, order="sorted")


def _check_words(words: Iterable[str]) -> None:
    for word in words:
        require(word == EVERYTHING or is_group(word), "not a word of a scope", ErrorCode.E_CERT_SCOPE)


def utf8_string(content: bytes) -> bytes:
    """DER of a UTF8String (X.690, 8.1.3 and 8.23) of up to 64 KiB."""
    length = len(content)
    if length < 128:
        return bytes((_UTF8_STRING_TAG, length)) + content
    size = 1 if length < 256 else 2
    return bytes((_UTF8_STRING_TAG, 0x80 | size)) + length.to_bytes(size, "big") + content


def _utf8_string_content(encoded: bytes) -> bytes:
    require(2 <= len(encoded) <= _EXTENSION_LIMIT_BYTES, "extension size")
    header = 2 if encoded[1] < 128 else 2 + (encoded[1] & 0x7F)
    content = encoded[header:]
    require(utf8_string(content) == encoded, "extension is not one UTF8String")
    return content
