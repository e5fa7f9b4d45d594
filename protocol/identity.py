"""Who we are on this machine: a private key with its certificate chain, in one file of ours alone."""

import os
import secrets
import stat
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from protocol.certificate_profile import CertificateShape, Role, read_certificate, spki
from protocol.certificates import organisation_of_root
from protocol.errors import CertificateRefused, EnvironmentFault, ErrorCode, SupportError
from protocol.ids import OrganisationId, SubjectId
from protocol.limits import CERTIFICATE_LIMIT_BYTES, CHAIN_LIMIT_CERTIFICATES
from protocol.names import shown_name

_FILE_LIMIT_BYTES = 2 * CERTIFICATE_LIMIT_BYTES * (CHAIN_LIMIT_CERTIFICATES + 2)
_OTHERS = 0o077


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


def save_identity(identity: Identity, path: Path, *, passphrase: bytes | None = None) -> None:
    """Write key, chain and root as one PEM file, mode 0600; the old file stays until the new one is whole.

    Raises:
        EnvironmentFault: E_DATA_DISK, the file cannot be written.
    """
    how: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    pem = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
    for der in (*identity.chain, identity.root_der):
        pem += x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
    write_private_file(path, pem)


def write_private_file(path: Path, content: bytes) -> None:
    """Replace the file by this content in one step, mode 0600, on the disk before it returns.

    Raises:
        EnvironmentFault: E_DATA_DISK.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as exc:
        raise EnvironmentFault(f"{path}: {exc}", code=ErrorCode.E_DATA_DISK) from exc


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load_identity(path: Path, *, passphrase: bytes | None = None) -> Identity:
    """Read an identity back. The file must be a plain file of ours that nobody else can read or change.

    Raises:
        EnvironmentFault: E_IDENTITY_MISSING (no file, or not a whole one).
        CertificateRefused: E_IDENTITY_OWNER, E_PASSPHRASE, or a code of the certificates.
    """
    pem = read_private_file(path)
    key = _read_key(pem, path, passphrase)
    try:
        certificates = [
            certificate.public_bytes(Encoding.DER) for certificate in x509.load_pem_x509_certificates(pem)
        ]
    except ValueError as exc:
        raise _missing(path, f"not whole: {exc}") from None
    if len(certificates) < 2:
        raise _missing(path, "not whole: it needs a certificate and a root")
    return Identity(key, tuple(certificates[:-1]), certificates[-1])


def read_private_file(path: Path) -> bytes:
    """The content of a file that is a plain one, of this user, closed to others.

    Raises:
        EnvironmentFault: E_IDENTITY_MISSING.
        CertificateRefused: E_IDENTITY_OWNER.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError as exc:
        raise _missing(path, "no such file") from exc
    except OSError as exc:
        raise CertificateRefused(f"{path}: {exc}", code=ErrorCode.E_IDENTITY_OWNER) from exc
    with os.fdopen(descriptor, "rb") as file:
        _check_owner(path, os.fstat(file.fileno()))
        content = file.read(_FILE_LIMIT_BYTES + 1)
    if len(content) > _FILE_LIMIT_BYTES:
        raise _missing(path, "far too large")
    return content


def _check_owner(path: Path, facts: os.stat_result) -> None:
    is_plain = stat.S_ISREG(facts.st_mode)
    # Windows keeps access in ACLs, which the mode does not show
    is_ours = os.name == "nt" or (facts.st_uid == os.geteuid() and not facts.st_mode & _OTHERS)
    if not (is_plain and is_ours):
        seen = f"mode {stat.S_IMODE(facts.st_mode):04o}, owner {facts.st_uid}"
        raise CertificateRefused(f"{path}: {seen}", code=ErrorCode.E_IDENTITY_OWNER)


def _read_key(pem: bytes, path: Path, passphrase: bytes | None) -> ec.EllipticCurvePrivateKey:
    is_encrypted = b"ENCRYPTED PRIVATE KEY" in pem
    if is_encrypted != bool(passphrase):
        if is_encrypted:
            raise CertificateRefused(f"{path} needs a passphrase", code=ErrorCode.E_PASSPHRASE)
        passphrase = None
    try:
        key = load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        if is_encrypted:
            raise CertificateRefused(f"{path}", code=ErrorCode.E_PASSPHRASE) from None
        raise _missing(path, f"not whole: {exc}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _missing(path, "the key is not P-256")
    return key


def _missing(path: Path, why: str) -> SupportError:
    return EnvironmentFault(f"{path}: {why}", code=ErrorCode.E_IDENTITY_MISSING)
