"""Three verdicts on a chain: ours, OpenSSL's and that of `cryptography`'s own verifier."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.x509 import verification
from OpenSSL import crypto

from protocol.certificate_profile import PARSE_FAULTS, TLS_USAGES
from protocol.certificates import Role, verify_chain
from protocol.errors import CertificateRefused

ACCEPTED = "accepted"
Criticality = verification.Criticality


@dataclass(frozen=True)
class Judged:
    """What is judged: the chain as it was sent, whoever asks for which role, and when."""

    chain: tuple[bytes, ...]
    root: bytes
    role: Role
    now: datetime


def ours(judged: Judged) -> str:
    """ "accepted", or our code. Any other exception than CertificateRefused is a bug and is not caught."""
    try:
        verify_chain(judged.chain, judged.root, roles={judged.role}, now=judged.now)
    except CertificateRefused as refusal:
        return str(refusal.code)
    return ACCEPTED


def openssl(judged: Judged) -> str:
    """OpenSSL's chain check with X509_STRICT, as the tunnel sets it; it finds the order by itself."""
    try:
        store = crypto.X509Store()
        store.add_cert(_openssl_certificate(judged.root))
        store.set_flags(crypto.X509StoreFlags.X509_STRICT)
        store.set_time(judged.now)
        leaf, *others = [_openssl_certificate(certificate) for certificate in judged.chain]
        crypto.X509StoreContext(store, leaf, others).verify_certificate()
    except (crypto.X509StoreContextError, crypto.Error, ValueError) as exc:
        return f"refused: {exc}"[:120]
    return ACCEPTED


@lru_cache(maxsize=64)
def _openssl_certificate(encoded: bytes) -> crypto.X509:
    return crypto.load_certificate(crypto.FILETYPE_ASN1, encoded)


def cryptographys(judged: Judged) -> str:
    """`cryptography.x509.verification`, made for the web, told which usage our role has (see `_policies`)."""
    try:
        root = x509.load_der_x509_certificate(judged.root)
        leaf, *others = [x509.load_der_x509_certificate(certificate) for certificate in judged.chain]
        authorities, leaves = _policies(judged.role)
        builder = verification.PolicyBuilder().store(verification.Store([root])).time(judged.now)
        builder = builder.extension_policies(ca_policy=authorities, ee_policy=leaves).max_chain_depth(4)
        builder.build_client_verifier().verify(leaf, others)
    except (*PARSE_FAULTS, verification.VerificationError) as exc:
        return f"refused: {exc}"[:120]
    return ACCEPTED


@lru_cache(maxsize=8)
def _policies(role: Role) -> tuple[verification.ExtensionPolicy, verification.ExtensionPolicy]:
    """The web's policies, but the usage is the role's (a device is a TLS server that no DNS name names).

    An enroller judged by itself is a CA where the verifier wants an end: for it all is permitted that is not
    checked here, and the web's policy for CAs holds for it wherever it stands above a device.
    """

    def has_usage(_: object, __: object, usages: x509.ExtendedKeyUsage | None) -> None:
        if usages is not None and TLS_USAGES[role] not in usages:
            raise ValueError("usage")

    def is_authority(_: object, __: object, constraints: x509.BasicConstraints) -> None:
        if not constraints.ca:
            raise ValueError("not an authority")

    plain, critical = Criticality.NON_CRITICAL, Criticality.CRITICAL
    authorities = verification.ExtensionPolicy.webpki_defaults_ca()
    authorities = authorities.may_be_present(x509.ExtendedKeyUsage, plain, has_usage)
    if role is not Role.ENROLLER:
        leaves = verification.ExtensionPolicy.webpki_defaults_ee()
        return authorities, leaves.require_present(x509.ExtendedKeyUsage, plain, has_usage)
    leaves = verification.ExtensionPolicy.permit_all()
    leaves = leaves.require_present(x509.ExtendedKeyUsage, plain, has_usage)
    leaves = leaves.require_present(x509.BasicConstraints, critical, is_authority)
    leaves = leaves.require_present(x509.KeyUsage, critical, None)
    leaves = leaves.require_present(x509.SubjectAlternativeName, plain, None)
    leaves = leaves.require_present(x509.AuthorityKeyIdentifier, plain, None)
    leaves = leaves.require_present(x509.SubjectKeyIdentifier, plain, None)
    return authorities, leaves


def nearest_valid_moment(judged: Judged, skew: timedelta) -> datetime:
    """The moment nearest to `now`, at most `skew` away, at which every certificate is valid."""
    try:
        certificates = [x509.load_der_x509_certificate(one) for one in (*judged.chain, judged.root)]
        latest_start = max(one.not_valid_before_utc for one in certificates)
        earliest_end = min(one.not_valid_after_utc for one in certificates)
    except PARSE_FAULTS:
        return judged.now
    moved = min(max(judged.now, latest_start), earliest_end)
    return moved if abs(moved - judged.now) <= skew else judged.now
