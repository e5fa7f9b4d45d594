"""Who we are on this machine: a private key with its certificate chain, in one file of ours alone."""

import warnings
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning

from protocol.certificate_profile import CertificateShape, Role, read_certificate, spki
from protocol.certificates import make_visitor, organisation_of_root
from protocol.errors import CertificateRefused, EnvironmentFault, ErrorCode, SupportError
from protocol.ids import OrganisationId, SubjectId
from protocol.key_file import key_pem, open_key
from protocol.limits import CHAIN_LIMIT_CERTIFICATES
from protocol.names import shown_name
from protocol.private_files import read_private_file as read_private_file
from protocol.private_files import write_private_file as write_private_file


@dataclass(frozen=True, slots=True)
class Identity:
    """A key, its chain (DER, leaf first, without the root) and the root it belongs to.

    Raises:
        CertificateRefused: the leaf is not of this key, or the chain is malformed.
    """

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    chain: tuple[bytes, ...]
    root_der: bytes
    leaf: CertificateShape = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.chain) <= CHAIN_LIMIT_CERTIFICATES:
            raise CertificateRefused(f"{len(self.chain)} certificates", code=ErrorCode.E_CERT_CHAIN)
        leaf = read_certificate(self.chain[0])
        if leaf.role is None or spki(self.key.public_key()) != leaf.spki_der:
            raise CertificateRefused("the certificate is not of this key", code=ErrorCode.E_CERT_FORMAT)
        object.__setattr__(self, "leaf", leaf)

    def sign(self, message: bytes) -> bytes:
        """ECDSA P-256 with SHA-256 over the message, DER."""
        return self.key.sign(message, ec.ECDSA(hashes.SHA256()))

    @property
    def organisation_id(self) -> OrganisationId:
        """The organisation of the root, not of what the leaf says."""
        return organisation_of_root(self.root_der)[0]

    @property
    def organisation_name(self) -> str:
        """The root's display name; shown, never decided upon."""
        return organisation_of_root(self.root_der)[1]

    @property
    def is_visitor(self) -> bool:
        """Whether this identity belongs to no organisation: its own certificate is all there is above it."""
        return self.chain == (self.root_der,)

    @property
    def subject_id(self) -> SubjectId:
        """The device id, or the person's short name."""
        assert self.leaf.subject_id is not None
        return self.leaf.subject_id

    @property
    def name(self) -> str:
        """The common name, as it may be shown."""
        return shown_name(self.leaf.common_name)

    @property
    def role(self) -> Role:
        """The one role of this identity."""
        assert self.leaf.role is not None
        return self.leaf.role

    @property
    def not_after(self) -> datetime:
        """When the leaf ends, aware UTC."""
        return self.leaf.not_after


def visitor_identity(role: Role, *, now: datetime) -> Identity:
    """A fresh identity without an organisation, for one session by support code; it is never kept."""
    certificate, key = make_visitor(role, now=now)
    der = certificate.public_bytes(Encoding.DER)
    return Identity(key, (der,), der)


def save_identity(identity: Identity, path: Path, *, passphrase: bytes | None = None) -> None:
    """Write key, chain and root as one PEM file, mode 0600; the old file stays until the new one is whole.

    Raises:
        EnvironmentFault: E_DATA_DISK, the file cannot be written.
    """
    pem = key_pem(identity.key, passphrase)
    for der in (*identity.chain, identity.root_der):
        pem += x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
    write_private_file(path, pem)


def load_identity(path: Path, *, passphrase: bytes | None = None) -> Identity:
    """Read an identity back. The file must be a plain file of ours that nobody else can read or change.

    Raises:
        EnvironmentFault: E_IDENTITY_MISSING (no file, or not a whole one).
        CertificateRefused: E_IDENTITY_OWNER, E_PASSPHRASE, or a code of the certificates.
    """
    pem = read_private_file(path)
    try:
        key = open_key(pem, passphrase, where=str(path))
    except ValueError as exc:
        raise _missing(path, f"not whole: {exc}") from None
    chain, root_der = _certificates(pem, path)
    return Identity(key, chain, root_der)


def load_chain(path: Path) -> tuple[tuple[bytes, ...], bytes]:
    """Chain (leaf first) and root of an identity, without its key and so without its passphrase.

    Raises:
        SupportError: as `load_identity`, but never E_PASSPHRASE.
    """
    return _certificates(read_private_file(path), path)


def _certificates(pem: bytes, path: Path) -> tuple[tuple[bytes, ...], bytes]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", CryptographyDeprecationWarning)  # says what RFC 5280 forbids
            certificates = [
                certificate.public_bytes(Encoding.DER) for certificate in x509.load_pem_x509_certificates(pem)
            ]
    except (ValueError, CryptographyDeprecationWarning) as exc:
        raise _missing(path, f"not whole: {exc}") from None
    if len(certificates) < 2:
        raise _missing(path, "not whole: it needs a certificate and a root")
    return tuple(certificates[:-1]), certificates[-1]


def _missing(path: Path, why: str) -> SupportError:
    return EnvironmentFault(f"{path}: {why}", code=ErrorCode.E_IDENTITY_MISSING)
