"""The admin's folder: the organisation's root, the admin and policy identities, and what was issued.

org/root.pem              certificate of the root; written last, so its presence means "complete"
org/root-key.pem          the root's key, encrypted with the passphrase
org/policy-identity.pem   signs policies, encrypted with the passphrase
org/admin-identity.pem    logs in at the relay, 0600; may be a command's second person (`alongside approve`)
org/policy.json           the policy as a person edits it
org/policy.dsse           the policy as it was signed last
org/status.dsse           the list of revoked certificates as it was signed last
org/policy-published.dsse the policy as it was published last: what devices have
org/technicians.json      which technician certificates were issued
org/tokens.json           which join tokens were made (never the tokens themselves)
"""

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from protocol.certificates import Role, Subject, issue, make_root
from protocol.errors import CertificateRefused, ErrorCode, SupportError, UsageError
from protocol.identity import Identity, load_identity, save_identity
from protocol.ids import SubjectId
from protocol.private_files import read_private_file
from technician_client.files import make_private_folder, read_bounded, write_private

ROOT_YEARS = 20
STAFF_LIFETIME = timedelta(
    days=365
)  # of the admin and policy identities; `alongside org renew` makes new ones


class NoOrganisation(SupportError):
    """This data folder holds no organisation's keys."""

    default_code = ErrorCode.E_IDENTITY_MISSING


@dataclass(frozen=True, slots=True)
class Root:
    """The unlocked root: it can issue certificates. Held for one command only."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        """The root's certificate as DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)


class OrganisationFolder:
    """Reads and writes the files listed above."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root_file = folder / "root.pem"
        self.root_key_file = folder / "root-key.pem"
        self.admin_file = folder / "admin-identity.pem"
        self.policy_identity_file = folder / "policy-identity.pem"
        self.policy_document_file = folder / "policy.json"
        self.policy_envelope_file = folder / "policy.dsse"
        self.status_envelope_file = folder / "status.dsse"
        self.policy_published_file = folder / "policy-published.dsse"
        self.technicians_file = folder / "technicians.json"
        self.tokens_file = folder / "tokens.json"

    @property
    def is_complete(self) -> bool:
        """Whether an organisation was made here."""
        return self.root_file.is_file()

    def root_certificate(self) -> x509.Certificate:
        """The root's certificate.

        Raises:
            NoOrganisation: there is none here.
            CertificateRefused: E_CERT_FORMAT.
        """
        if not self.is_complete:
            raise NoOrganisation(f"{self.folder} holds no organisation; make one with: alongside org init")
        try:
            return x509.load_pem_x509_certificate(read_bounded(self.root_file))
        except ValueError as exc:
            raise CertificateRefused(f"{self.root_file}: {exc}", code=ErrorCode.E_CERT_FORMAT) from None

    def root_der(self) -> bytes:
        """The root's certificate as DER; raises as `root_certificate`."""
        return self.root_certificate().public_bytes(serialization.Encoding.DER)

    def unlock(self, passphrase: bytes) -> Root:
        """The root with its key.

        Raises:
            NoOrganisation: there is none here.
            CertificateRefused: E_PASSPHRASE, or E_CERT_FORMAT for a damaged file.
        """
        certificate = self.root_certificate()
        try:
            key = serialization.load_pem_private_key(read_private_file(self.root_key_file), passphrase)
        except ValueError as exc:
            raise CertificateRefused(str(exc), code=ErrorCode.E_PASSPHRASE) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise CertificateRefused(f"{self.root_key_file} is not the root's", code=ErrorCode.E_CERT_FORMAT)
        return Root(certificate, key)

    def admin(self) -> Identity:
        """The identity that the admin logs in to the relay with.

        Raises:
            NoOrganisation: there is none here.
            SupportError: as `load_identity`.
        """
        self.root_certificate()
        return load_identity(self.admin_file)

    def policy_signer(self, passphrase: bytes) -> Identity:
        """The identity that signs policies; raises as `admin`, and E_PASSPHRASE."""
        self.root_certificate()
        return load_identity(self.policy_identity_file, passphrase=passphrase)


def create_organisation(folder: OrganisationFolder, name: str, passphrase: bytes, *, now: datetime) -> Root:
    """Make root, admin and policy identity; the passphrase is needed for everything the root signs.

    Raises:
        UsageError: an organisation is there already.
        EnvironmentFault: E_DATA_DISK.
    """
    if folder.is_complete:
        raise UsageError(
            f"{folder.folder} already holds an organisation; give another --data DIR for a new one"
        )
    make_private_folder(folder.folder.parent)
    make_private_folder(folder.folder)
    certificate, key = make_root(name, now=now, years=ROOT_YEARS)
    root = Root(certificate, key)
    renew_staff(folder, root, passphrase, now=now)
    encryption = serialization.BestAvailableEncryption(passphrase)
    pem = serialization.Encoding.PEM
    write_private(folder.root_key_file, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption))
    write_private(folder.root_file, certificate.public_bytes(pem))
    return root


def renew_staff(
    folder: OrganisationFolder,
    root: Root,
    passphrase: bytes,
    *,
    now: datetime,
    revoked: Collection[str] = (),
) -> None:
    """Make new admin and policy identities, with new keys, in place of the ones there were.

    `revoked` are the ids of staff that may not be used again.
    """
    admin = Subject(Role.ADMIN, _fresh_id("admin", revoked), "Administrator")
    signer = Subject(Role.POLICY, _fresh_id("policy", revoked), "Policy signer")
    save_identity(issue_identity(root, admin, now=now, lifetime=STAFF_LIFETIME), folder.admin_file)
    save_identity(
        issue_identity(root, signer, now=now, lifetime=STAFF_LIFETIME),
        folder.policy_identity_file,
        passphrase=passphrase,
    )


def _fresh_id(word: str, revoked: Collection[str]) -> SubjectId:
    names = itertools.chain([word], (f"{word}-{number}" for number in itertools.count(2)))
    return SubjectId(next(name for name in names if name not in revoked))


def issue_identity(root: Root, subject: Subject, *, now: datetime, lifetime: timedelta) -> Identity:
    """A fresh key with a certificate for this subject under the root."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = issue(root.certificate, root.key, subject, key.public_key(), now=now, lifetime=lifetime)
    return Identity(key, (certificate.public_bytes(serialization.Encoding.DER),), root.der)
