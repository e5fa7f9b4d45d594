"""Issuing certificates, and the one verifier of chains after TLS.

Who signs whom: the root signs people (admin, technician, policy) and enrollers; an enroller, which is a
CA of path length 0, signs the devices of one group. No other chain exists. Beside them there are
visitors: an end of a session by support code that shares no organisation with the other one brings a
fresh certificate, signed by itself, that names its own key as its organisation.
"""

from collections.abc import Collection, Sequence
from dataclasses import InitVar, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from protocol.certificate_profile import (
    ENROLLER_OID,
    PARSE_FAULTS,
    ROLE_OIDS,
    ROOT_OID,
    SCOPE_OID,
    TLS_USAGES,
    CertificateShape,
    encode_enroller,
    encode_root_terms,
    encode_scope,
    read_certificate,
    refused,
    require,
    utf8_string,
)
from protocol.certificate_profile import EnrollerTerms as EnrollerTerms
from protocol.certificate_profile import Role as Role
from protocol.certificate_profile import RootTerms as RootTerms
from protocol.certificate_profile import Scope as Scope
from protocol.certificate_profile import spki as spki
from protocol.errors import CertificateRefused, ErrorCode, WrongState
from protocol.ids import OrganisationId, SubjectId, device_id, is_subject_id, organisation_id
from protocol.limits import CHAIN_LIMIT_CERTIFICATES, CLOCK_SKEW_S, VISITOR_SESSION_LIMIT_S
from protocol.names import shown_name

DEVICE_LIFETIME: Final = timedelta(days=730)
ROOT_LIFETIME_YEARS: Final = 20
VISITOR_LIFETIME: Final = timedelta(hours=12)
_SKEW: Final = timedelta(seconds=CLOCK_SKEW_S)
_MINT: Final = object()
_DAYS_A_YEAR: Final = 365.25


@dataclass(frozen=True, slots=True)
class VerifiedPeer:
    """Who the other side is. Only `verify_chain` makes one, so holding it proves that the check ran.

    `verify_visitor` makes those with `is_visitor`: proved is the key alone, and nobody knows whose it is.

    `group` and `enroller` are there for devices (from the certificate above them) and for enrollers; people
    have "" and None. `name` may be shown. Times are aware UTC.
    """

    role: Role
    organisation_id: OrganisationId
    subject_id: SubjectId
    name: str
    scope: Scope
    group: str
    not_before: datetime
    not_after: datetime
    enroller: EnrollerTerms | None
    leaf_der: bytes
    is_visitor: bool = False
    minted_by: InitVar[object] = None

    def __post_init__(self, minted_by: object) -> None:
        if minted_by is not _MINT:
            raise WrongState("only verify_chain makes a VerifiedPeer")

    def verify_signature(self, signature: bytes, message: bytes) -> bool:
        """Whether the peer's key made this ECDSA P-256 SHA-256 signature over the message."""
        key = read_certificate(self.leaf_der).public_key
        try:
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Subject:
    """For whom a certificate is issued. `enroller` is there for the role of that name alone."""

    role: Role
    subject_id: SubjectId
    name: str
    scope: Scope = Scope()  # noqa: RUF009 - a frozen value
    enroller: EnrollerTerms | None = None


def verify_chain(
    chain: Sequence[bytes],
    root_der: bytes,
    *,
    roles: Collection[Role],
    now: datetime,
    lifetime_limit: timedelta | None = None,
) -> VerifiedPeer:
    """Judge a chain (DER, leaf first, without the root) against the organisation's root.

    `lifetime_limit` bounds the whole life of the leaf, from start to end. Clocks may differ by CLOCK_SKEW_S.

    Raises:
        CertificateRefused: E_CERT_FORMAT, E_CERT_CHAIN, E_CERT_ORG, E_CERT_ROLE, E_CERT_SUBJECT,
            E_CERT_EXPIRED, E_CERT_NOT_YET or E_CERT_LIFETIME.
    """
    code = ErrorCode.E_CERT_CHAIN
    require(1 <= len(chain) <= CHAIN_LIMIT_CERTIFICATES, f"{len(chain)} certificates", code)
    root = _read_root(bytes(root_der))
    organisation = _organisation(root)
    shapes = [read_certificate(der) for der in chain]
    for shape in shapes:
        require(shape.role is not None, "an authority that is no enroller", code)
        same = shape.organisation_id == organisation
        require(same, f"certificate of {shape.organisation_id}", ErrorCode.E_CERT_ORG)
    leaf, authorities = shapes[0], shapes[1:]
    _check_links([*shapes, root])
    keys = {shape.spki_der for shape in (*shapes, root)}
    require(len(keys) == len(shapes) + 1, "one key in two roles", ErrorCode.E_CERT_ROLE)
    _check_form(leaf, authorities)
    _check_times([*shapes, root], now)
    require(leaf.role in roles, f"role {leaf.role}", ErrorCode.E_CERT_ROLE)
    enroller = authorities[0].enroller if authorities else leaf.enroller
    _check_lifetime(leaf, enroller, lifetime_limit)
    return _mint(leaf, enroller)


def verify_chain_by_any(
    chain: Sequence[bytes], roots: Sequence[bytes], *, roles: Collection[Role], now: datetime
) -> VerifiedPeer:
    """As `verify_chain`, by the first of these roots that signed; what the first one says where none did."""
    refusal: CertificateRefused | None = None
    for root_der in roots:
        try:
            return verify_chain(chain, root_der, roles=roles, now=now)
        except CertificateRefused as exc:
            if exc.code is not ErrorCode.E_CERT_CHAIN:
                raise
            refusal = refusal or exc
    raise refusal or refused(ErrorCode.E_CERT_CHAIN, "no root")


def verify_visitor(chain: Sequence[bytes], *, role: Role, now: datetime) -> VerifiedPeer:
    """Judge the certificate of a peer without an organisation; the code has to prove who it is.

    The result is good for VISITOR_SESSION_LIMIT_S at most, and has neither a name nor a scope.

    Raises:
        CertificateRefused: E_CERT_FORMAT, E_CERT_CHAIN, E_CERT_ORG, E_CERT_ROLE, E_CERT_SUBJECT,
            E_CERT_EXPIRED, E_CERT_NOT_YET or E_CERT_LIFETIME.
    """
    require(len(chain) == 1, f"{len(chain)} certificates", ErrorCode.E_CERT_CHAIN)
    leaf = read_certificate(chain[0])
    own = organisation_id(leaf.spki_der)
    require(leaf.organisation_id == own, f"certificate of {leaf.organisation_id}", ErrorCode.E_CERT_ORG)
    _check_links([leaf, leaf])
    _check_times([leaf], now)
    require(leaf.role is role, f"role {leaf.role}", ErrorCode.E_CERT_ROLE)
    named = leaf.subject_id == SubjectId(device_id(leaf.spki_der))
    require(named, "the id is not of its key", ErrorCode.E_CERT_SUBJECT)
    require(leaf.scope == Scope() and leaf.enroller is None, "a visitor has no terms")
    life = leaf.not_after - leaf.not_before
    require(life <= VISITOR_LIFETIME + 2 * _SKEW, f"life of {life}", ErrorCode.E_CERT_LIFETIME)
    until = min(leaf.not_after, now + timedelta(seconds=VISITOR_SESSION_LIMIT_S))
    return replace(_mint(leaf, None), name="", not_after=until, is_visitor=True, minted_by=_MINT)


def _mint(leaf: CertificateShape, enroller: EnrollerTerms | None) -> VerifiedPeer:
    assert leaf.role is not None
    assert leaf.organisation_id is not None
    assert leaf.subject_id is not None
    return VerifiedPeer(
        role=leaf.role,
        organisation_id=leaf.organisation_id,
        subject_id=leaf.subject_id,
        name=shown_name(leaf.common_name),
        scope=leaf.scope,
        group=enroller.group if enroller else "",
        not_before=leaf.not_before,
        not_after=leaf.not_after,
        enroller=enroller,
        leaf_der=leaf.der,
        minted_by=_MINT,
    )


def _check_links(shapes: Sequence[CertificateShape]) -> None:
    for subject, issuer in pairwise(shapes):
        is_key_named = subject.issuer_key_identifier == issuer.key_identifier
        require(is_key_named, f"{subject.subject_id} names another issuer", ErrorCode.E_CERT_CHAIN)
        try:
            _check_issuer_name(subject.certificate, issuer.certificate)
            subject.certificate.verify_directly_issued_by(issuer.certificate)
        except PARSE_FAULTS as exc:
            detail = f"{subject.subject_id} was not signed by its issuer: {type(exc).__name__}"
            raise refused(ErrorCode.E_CERT_CHAIN, detail) from None


def _check_issuer_name(subject: x509.Certificate, issuer: x509.Certificate) -> None:
    """The same bytes, not only the same text: other spellings are read differently by others."""
    is_named = subject.issuer.public_bytes() == issuer.subject.public_bytes()
    require(is_named, "another issuer's name", ErrorCode.E_CERT_CHAIN)


def _check_form(leaf: CertificateShape, authorities: Sequence[CertificateShape]) -> None:
    """People come straight from the root, devices from one enroller; nothing else is a chain."""
    for authority in authorities:
        is_enroller = authority.role is Role.ENROLLER and authority.enroller is not None
        require(is_enroller and authority.path_length == 0, "issuer is no enroller", ErrorCode.E_CERT_ROLE)
    if leaf.role is Role.DEVICE:
        require(len(authorities) == 1, "a device needs one enroller", ErrorCode.E_CERT_CHAIN)
        require(leaf.scope == Scope(), "a device carries no scope", ErrorCode.E_CERT_SCOPE)
        named = leaf.subject_id == SubjectId(device_id(leaf.spki_der))
        require(named, "device id is not of its key", ErrorCode.E_CERT_SUBJECT)
    else:
        require(not authorities, f"an enroller does not sign a {leaf.role}", ErrorCode.E_CERT_ROLE)
    terms_fit = (leaf.role is Role.ENROLLER) == (leaf.enroller is not None)
    require(terms_fit and leaf.path_length in (None, 0), "enroller's terms do not fit")


def _check_times(shapes: Sequence[CertificateShape], now: datetime) -> None:
    for shape in shapes:
        not_yet = shape.not_before - now > _SKEW
        require(not not_yet, f"valid from {shape.not_before.isoformat()}", ErrorCode.E_CERT_NOT_YET)
        is_over = now - shape.not_after > _SKEW
        require(not is_over, f"valid until {shape.not_after.isoformat()}", ErrorCode.E_CERT_EXPIRED)
    latest_start = max(shape.not_before for shape in shapes)
    earliest_end = min(shape.not_after for shape in shapes)
    require(latest_start <= earliest_end, "never valid all at once", ErrorCode.E_CERT_EXPIRED)


def _check_lifetime(
    leaf: CertificateShape, enroller: EnrollerTerms | None, lifetime_limit: timedelta | None
) -> None:
    life = leaf.not_after - leaf.not_before
    if lifetime_limit is not None:
        require(life <= lifetime_limit + _SKEW, f"life of {life}", ErrorCode.E_CERT_LIFETIME)
    if leaf.role is Role.DEVICE:
        require(life <= DEVICE_LIFETIME + _SKEW, f"life of {life}", ErrorCode.E_CERT_LIFETIME)
    if enroller is not None:
        in_time = leaf.not_before <= enroller.join_until
        require(in_time, "made after the token's last day", ErrorCode.E_CERT_LIFETIME)


def organisation_of_root(root_der: bytes) -> tuple[OrganisationId, str]:
    """The id and the display name of the organisation whose root this is; its dates are not judged.

    Raises:
        CertificateRefused: it is not a root of ours.
    """
    root = _read_root(bytes(root_der))
    return _organisation(root), shown_name(root.common_name)


def read_root(root_der: bytes) -> CertificateShape:
    """A root of ours, self-signed and well formed; whether it is to be believed was not judged.

    Raises:
        CertificateRefused: it is not one.
    """
    return _read_root(bytes(root_der))


def _organisation(root: CertificateShape) -> OrganisationId:
    """A successor root goes on being of the organisation that the first root's key names."""
    later = root.root_terms.organisation_id if root.root_terms else ""
    return OrganisationId(later) if later else organisation_id(root.spki_der)


@lru_cache(maxsize=16)
def _read_root(root_der: bytes) -> CertificateShape:
    root = read_certificate(root_der)
    code = ErrorCode.E_CERT_CHAIN
    require(root.role is None and root.path_length is not None and root.path_length >= 1, "no root", code)
    _check_links([root, root])
    return root


def make_root(
    display_name: str, *, now: datetime, years: int = ROOT_LIFETIME_YEARS, terms: RootTerms | None = None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A new organisation: its root certificate and key. The key never leaves the admin's machine.

    Without `terms` it can never have a successor; see `protocol.succession`.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(display_name)
    builder = _builder(name, name, key.public_key(), key.public_key())
    builder = builder.not_valid_before(_start(now)).not_valid_after(
        _whole_s(now) + timedelta(days=round(years * _DAYS_A_YEAR))
    )
    builder = _with_constraints(builder, path_length=1)
    if terms is not None:
        builder = _with_private(builder, ROOT_OID, encode_root_terms(terms))
    return builder.sign(key, hashes.SHA256()), key


def make_visitor(role: Role, *, now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A fresh certificate with its key for an end of a session by support code; nobody stands behind it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("visitor")
    builder = _builder(name, name, key.public_key(), key.public_key())
    builder = builder.not_valid_before(_start(now)).not_valid_after(_whole_s(now) + VISITOR_LIFETIME)
    builder = _with_constraints(builder, path_length=None)
    own = spki(key.public_key())
    builder = _with_role(builder, role, organisation_id(own), SubjectId(device_id(own)))
    return builder.sign(key, hashes.SHA256()), key


def issue(
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    subject: Subject,
    public_key: ec.EllipticCurvePublicKey,
    *,
    now: datetime,
    lifetime: timedelta,
) -> x509.Certificate:
    """A certificate for `subject`, signed by the root (people, enrollers) or by an enroller (devices).

    It starts CLOCK_SKEW_S before `now`, for clocks that are late, and never outlives its issuer.

    Raises:
        CertificateRefused: the issuer may not issue this, or the subject is not well formed.
    """
    above = read_certificate(issuer.public_bytes(Encoding.DER))
    organisation = above.organisation_id or _organisation(above)
    _check_issue(above, subject, public_key)
    require(above.not_after > now, "the issuer's certificate is over", ErrorCode.E_CERT_EXPIRED)
    builder = _builder(_name(subject.name), issuer.subject, public_key, above.public_key)
    builder = builder.not_valid_before(max(_start(now), above.not_before))
    builder = builder.not_valid_after(min(_whole_s(now) + lifetime, above.not_after))
    builder = _with_constraints(builder, path_length=0 if subject.role is Role.ENROLLER else None)
    builder = _with_role(builder, subject.role, organisation, subject.subject_id)
    if subject.enroller is not None:
        builder = _with_private(builder, ENROLLER_OID, encode_enroller(subject.enroller))
    elif subject.scope != Scope():
        builder = _with_private(builder, SCOPE_OID, encode_scope(subject.scope))
    return builder.sign(issuer_key, hashes.SHA256())


def _check_issue(above: CertificateShape, subject: Subject, public_key: ec.EllipticCurvePublicKey) -> None:
    """What `verify_chain` would refuse is not made."""
    is_device = subject.role is Role.DEVICE
    require((above.role is Role.ENROLLER) == is_device, "wrong issuer", ErrorCode.E_CERT_ROLE)
    require(isinstance(public_key.curve, ec.SECP256R1), "key is not P-256")
    require(spki(public_key) != above.spki_der, "one key in two roles", ErrorCode.E_CERT_ROLE)
    require(is_subject_id(subject.subject_id), "not a subject id", ErrorCode.E_CERT_SUBJECT)
    if is_device:
        named = subject.subject_id == SubjectId(device_id(spki(public_key)))
        require(named, "device id is not of its key", ErrorCode.E_CERT_SUBJECT)
    terms_fit = (subject.role is Role.ENROLLER) == (subject.enroller is not None)
    require(terms_fit, "only an enroller has terms", ErrorCode.E_CERT_ROLE)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    return builder.add_extension(authority, critical=False)


def _with_constraints(
    builder: x509.CertificateBuilder, *, path_length: int | None
) -> x509.CertificateBuilder:
    is_authority = path_length is not None
    usage = x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )
    constraints = x509.BasicConstraints(ca=is_authority, path_length=path_length)
    return builder.add_extension(constraints, critical=True).add_extension(usage, critical=True)


def _with_role(
    builder: x509.CertificateBuilder, role: Role, organisation: OrganisationId, subject: SubjectId
) -> x509.CertificateBuilder:
    usages = x509.ExtendedKeyUsage([TLS_USAGES[role], ROLE_OIDS[role]])
    uri = f"alongside://{organisation}/{role}/{subject}"
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
    return builder.add_extension(usages, critical=False).add_extension(names, critical=False)


def _with_private(
    builder: x509.CertificateBuilder, oid: x509.ObjectIdentifier, content: bytes
) -> x509.CertificateBuilder:
    value = x509.UnrecognizedExtension(oid, utf8_string(content))
    return builder.add_extension(value, critical=False)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, shown_name(text))])


def _whole_s(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def _start(now: datetime) -> datetime:
    return _whole_s(now) - _SKEW
