"""The admin's folder: the organisation's root, the admin and policy identities, and what was issued.

org/root.pem              certificate of the root; written last, so its presence means "complete"
org/root-key.pem          the root's key, encrypted with the passphrase
org/policy-identity.pem   signs policies, encrypted with the passphrase
org/admin-identity.pem    logs in at the relay, encrypted if that was chosen; may be a command's second person
org/policy.json           the policy as a person edits it
org/policy.dsse           the policy as it was signed last
org/status.dsse           the list of revoked certificates as it was signed last
org/policy-published.dsse the policy as it was published last: what devices have
org/successors.json       the steps from former roots to this one, if there were any
org/recovery-kit.json     the key that may sign this root's successor, encrypted; belongs off this computer
org/technicians.json      which technician certificates were issued
org/updates/              keys and list of updates, see `update_list`
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

from protocol.certificate_profile import CertificateShape, read_certificate
from protocol.certificates import Role, Subject, issue, make_root
from protocol.errors import CertificateRefused, ErrorCode, SupportError, UsageError
from protocol.identity import Identity, load_chain, load_identity, save_identity
from protocol.ids import SubjectId
from protocol.key_file import is_locked, key_pem, open_key
from protocol.private_files import read_private_file
from protocol.succession import RootLine, recovery_terms
from protocol.trust import Trust
from protocol.trust_store import TrustStore
from technician_client.files import make_private_folder, read_bounded, write_private
from technician_client.unlocking import ADMIN_KEY, Passphrases, current_passphrases

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
        self.recovery_kit_file = folder / "recovery-kit.json"
        self.technicians_file = folder / "technicians.json"
        self.tokens_file = folder / "tokens.json"
        self.updates_folder = folder / "updates"

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

    def roots(self) -> RootLine:
        """The organisation's roots, former ones too; raises as `root_certificate`, and DocumentRefused."""
        store = TrustStore(Trust(self.root_der()), self.folder)
        store.load()
        if store.trust.roots_failure is not None:
            raise store.trust.roots_failure
        return store.trust.roots

    def unlock(self, passphrase: bytes) -> Root:
        """The root with its key.

        Raises:
            NoOrganisation: there is none here.
            CertificateRefused: E_PASSPHRASE, or E_CERT_FORMAT for a damaged file.
        """
        certificate = self.root_certificate()
        try:
            pem = read_private_file(self.root_key_file)
            key = open_key(pem, passphrase, where=str(self.root_key_file))
        except ValueError as exc:
            raise CertificateRefused(f"{self.root_key_file}: {exc}", code=ErrorCode.E_CERT_FORMAT) from None
        if key.public_key() != certificate.public_key():
            raise CertificateRefused(f"{self.root_key_file} is not the root's", code=ErrorCode.E_CERT_FORMAT)
        return Root(certificate, key)

    def admin(self) -> Identity:
        """The identity that the admin logs in to the relay with.

        Raises:
            NoOrganisation: there is none here.
            SupportError: as `Passphrases.open`.
        """
        self.root_certificate()
        return current_passphrases().open(self.admin_file, ADMIN_KEY)

    def admin_certificate(self) -> CertificateShape:
        """What the admin's certificate says; read without its key; raises SupportError."""
        self.root_certificate()
        return read_certificate(load_chain(self.admin_file)[0][0])

    def policy_signer(self, passphrase: bytes) -> Identity:
        """The identity that signs policies; raises as `admin`, and E_PASSPHRASE."""
        self.root_certificate()
        return load_identity(self.policy_identity_file, passphrase=passphrase)


def create_organisation(
    folder: OrganisationFolder,
    name: str,
    passphrase: bytes,
    recovery_key: ec.EllipticCurvePublicKey,
    *,
    now: datetime,
    locks_admin: bool = False,
) -> Root:
    """Make root, admin and policy identity; the passphrase is needed for everything the root signs.

    `locks_admin` encrypts the admin's key with it too. Only the holder of `recovery_key` can put another root
    in this one's place.

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
    certificate, key = make_root(name, now=now, years=ROOT_YEARS, terms=recovery_terms(recovery_key))
    root = Root(certificate, key)
    write_root(folder, root, passphrase, now=now, locks_admin=locks_admin)
    return root


def write_root(
    folder: OrganisationFolder,
    root: Root,
    passphrase: bytes,
    *,
    now: datetime,
    revoked: Collection[str] = (),
    locks_admin: bool = False,
) -> None:
    """New staff under a new root, and the root itself, encrypted; its certificate is written last."""
    renew_staff(folder, root, passphrase, now=now, revoked=revoked, locks_admin=locks_admin)
    write_private(folder.root_key_file, key_pem(root.key, passphrase))
    write_private(folder.root_file, root.certificate.public_bytes(serialization.Encoding.PEM))


def renew_staff(
    folder: OrganisationFolder,
    root: Root,
    passphrase: bytes,
    *,
    now: datetime,
    revoked: Collection[str] = (),
    locks_admin: bool | None = None,
) -> None:
    """Make new admin and policy identities, with new keys, in place of the ones there were.

    `revoked` are the ids of staff that may not be used again. The admin's key is encrypted too if
    `locks_admin`; None: as the one in its place was.
    """
    admin = Subject(Role.ADMIN, _fresh_id("admin", revoked), "Administrator")
    signer = Subject(Role.POLICY, _fresh_id("policy", revoked), "Policy signer")
    if locks_admin is None:
        locks_admin = folder.admin_file.exists() and is_locked(folder.admin_file)
    save_identity(
        issue_identity(root, admin, now=now, lifetime=STAFF_LIFETIME),
        folder.admin_file,
        passphrase=passphrase if locks_admin else None,
    )
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


def change_passphrase(
    folder: OrganisationFolder, former: bytes, new: bytes, *, locks_admin: bool
) -> list[Path]:
    """Encrypt root, policy signer and (or not) admin anew; returns the files.

    Each file is whole at every moment, under the former or the new passphrase. Cut in the middle, it can be
    called again with the same two.

    Raises:
        CertificateRefused: E_PASSPHRASE, nothing was changed. EnvironmentFault: E_DATA_DISK.
    """
    either = Passphrases()
    either.remember(former)
    either.remember(new)
    try:
        root = folder.unlock(former)
    except CertificateRefused:
        root = folder.unlock(new)
    signer = either.open(folder.policy_identity_file, "the policy signer")
    admin = either.open(folder.admin_file, ADMIN_KEY)
    save_identity(admin, folder.admin_file, passphrase=new if locks_admin else None)
    save_identity(signer, folder.policy_identity_file, passphrase=new)
    write_private(folder.root_key_file, key_pem(root.key, new))
    return [folder.admin_file, folder.policy_identity_file, folder.root_key_file]
