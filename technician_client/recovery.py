"""The recovery kit: the only key that can put another root in the place of the organisation's.

It is one file (JSON, 0600) that holds all that is needed: the key, encrypted, the root it belongs to, and the
steps from former roots. It belongs on a medium off this computer. Using it makes the next root with the next
kit; the used one is of no further use, and using it twice is a fork that devices report.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from protocol.certificates import Role
from protocol.errors import DocumentRefused, ErrorCode, UsageError
from protocol.key_file import is_locked, key_pem, open_key
from protocol.limits import SUCCESSORS_LIMIT
from protocol.private_files import read_private_file
from protocol.status_list import Revocation
from protocol.succession import RootLine, make_successor, sign_step
from protocol.trust_store import SUCCESSORS_FILE
from technician_client.files import make_private_folder, write_private
from technician_client.organisation import OrganisationFolder, Root, write_root
from technician_client.policy_document import read_policy_document, sign_policy, write_default
from technician_client.status_document import read_status, sign_new_status


class _KitFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    format: Literal["alongside-recovery/1"] = "alongside-recovery/1"
    read_me: str = ""
    root: bytes
    steps: Annotated[list[bytes], msgspec.Meta(max_length=SUCCESSORS_LIMIT)]
    key: str


_READ_ME = (
    "This may sign the successor of your organisation's root, and nothing else. Keep it off the admin's "
    "computer. When the root's key is lost or stolen: alongside org recover --kit THIS-FILE"
)


@dataclass(frozen=True, slots=True)
class RecoveryKit:
    """An unlocked kit. Held for one command only."""

    key: ec.EllipticCurvePrivateKey
    roots: RootLine


def new_recovery_key() -> ec.EllipticCurvePrivateKey:
    """A key for a new kit."""
    return ec.generate_private_key(ec.SECP256R1())


def write_kit(path: Path, roots: RootLine, key: ec.EllipticCurvePrivateKey, passphrase: bytes) -> None:
    """Write the kit of the newest of these roots.

    Raises:
        UsageError: there is a file already. EnvironmentFault: E_DATA_DISK.
    """
    if path.exists():
        raise UsageError(f"{path} is there already; name another file for the recovery kit")
    pem = key_pem(key, passphrase).decode()
    kit = _KitFile(read_me=_READ_ME, root=roots.newest, steps=roots.steps, key=pem)
    write_private(path, msgspec.json.format(msgspec.json.encode(kit), indent=2) + b"\n")


def read_kit(path: Path, passphrase: bytes) -> RecoveryKit:
    """Unlock a kit. The file has to be closed to others.

    Raises:
        EnvironmentFault: E_IDENTITY_MISSING.
        CertificateRefused: E_IDENTITY_OWNER, E_PASSPHRASE, or a code of the certificates.
        DocumentRefused: E_ROOT_SUCCESSOR, it is no kit.
    """
    try:
        read = msgspec.json.decode(read_private_file(path), type=_KitFile, strict=True)
    except msgspec.MsgspecError as exc:
        raise DocumentRefused(f"{path}: {exc}", code=ErrorCode.E_ROOT_SUCCESSOR) from None
    roots = RootLine(read.root)
    roots.take(read.steps)
    try:
        key = open_key(read.key.encode(), passphrase, where=str(path))
    except ValueError as exc:
        raise DocumentRefused(f"{path}: its key: {exc}", code=ErrorCode.E_ROOT_SUCCESSOR) from None
    return RecoveryKit(key, roots)


def make_successor_folder(
    folder: OrganisationFolder,
    kit: RecoveryKit,
    passphrase: bytes,
    *,
    now: datetime,
    locks_admin: bool = False,
) -> Root:
    """Make the successor root in the place of the one in this folder, which is kept beside it.

    New root, staff, kit, policy and status list; technicians and tokens have to be made anew. Works in a
    folder without an organisation too: then the policy starts from the default and nobody is revoked.

    The admin's key is encrypted if the former one was; where there was none, if `locks_admin`.

    Raises:
        UsageError: the folder holds another organisation, or a root that the kit does not know.
        DocumentRefused: E_ROOT_SUCCESSOR, the kit is not of that root. EnvironmentFault: E_DATA_DISK.
    """
    if folder.is_complete and folder.root_der() != kit.roots.newest:
        raise UsageError(f"the root in {folder.folder} is not the one that this recovery kit was made for")
    next_key = new_recovery_key()
    certificate, key = make_successor(kit.roots.newest, kit.key, next_key.public_key(), now=now)
    root = Root(certificate, key)
    kit.roots.take([*kit.roots.steps, sign_step(kit.roots.newest, root.der, kit.key).envelope])
    draft = OrganisationFolder(folder.folder.with_name(f"org-generation-{kit.roots.generation}"))
    make_private_folder(draft.folder)
    write_private(draft.folder / SUCCESSORS_FILE, msgspec.json.encode(kit.roots.steps))
    write_kit(draft.recovery_kit_file, kit.roots, next_key, passphrase)
    _carry_over(folder, draft)
    revoked = _revoked(folder)
    staff = {one.subject for one in revoked if one.role in (Role.ADMIN, Role.POLICY)}
    if folder.admin_file.exists():
        locks_admin = is_locked(folder.admin_file)
    write_root(draft, root, passphrase, now=now, revoked=staff, locks_admin=locks_admin)
    signer = draft.policy_signer(passphrase)
    if not draft.policy_document_file.exists():
        write_default(draft, signer.organisation_id, now=now)
    document, _ = read_policy_document(draft.policy_document_file)
    sign_policy(draft, document, signer, now=now)
    sign_new_status(draft, signer, now=now, added=revoked)
    if folder.folder.exists():
        folder.folder.rename(folder.folder.with_name(f"org-generation-{kit.roots.generation - 1}"))
    draft.folder.rename(folder.folder)
    return root


def _carry_over(old: OrganisationFolder, new: OrganisationFolder) -> None:
    """What people wrote and what was issued; no key and nothing that the former root signed."""
    pairs = (
        (old.policy_document_file, new.policy_document_file),
        (old.technicians_file, new.technicians_file),
        (old.tokens_file, new.tokens_file),
    )
    for source, target in pairs:
        if source.exists():
            write_private(target, source.read_bytes())


def _revoked(folder: OrganisationFolder) -> frozenset[Revocation]:
    read = read_status(folder) if folder.is_complete else None
    return read[1].revoked if read else frozenset()
