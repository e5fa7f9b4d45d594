"""The list of updates (TUF metadata): made and signed on the admin's machine, laid out for a relay.

org/updates/NAME.pem                     the keys, see `update_keys`
org/updates/metadata/N.root.json         every root, from the first on
org/updates/metadata/targets.json, snapshot.json, timestamp.json   as they were signed last

The relay holds none of the keys: it hands out files. What it can do is to go on handing out old ones, until
the timestamp expires.
"""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from securesystemslib.exceptions import StorageError
from securesystemslib.signer import CryptoSigner, Key
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from protocol.errors import DocumentRefused, ErrorCode, UsageError
from protocol.release import version_order
from protocol.update_offer import UpdateOffer, read_offer
from technician_client.files import make_private_folder, write_private
from technician_client.update_keys import (
    KEY_NAMES,
    ROOT_KEYS,
    ROOT_THRESHOLD,
    TARGETS_KEY,
    TIMESTAMP_KEY,
    UpdateKeys,
)

ROOT_LIFETIME: Final = timedelta(days=5 * 365)
TARGETS_LIFETIME: Final = timedelta(days=365)
TIMESTAMP_DAYS: Final = 14
TIMESTAMP_DAYS_LIMIT: Final = 90
_S = TypeVar("_S", Targets, Snapshot, Timestamp)


class UpdateList:
    """The list of one organisation. Every change is written whole, the timestamp last."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self._folder = folder / "metadata"
        self._now = now.astimezone(UTC).replace(microsecond=0)

    @property
    def is_there(self) -> bool:
        """Whether keys and a first root were made."""
        return (self._folder / "1.root.json").is_file()

    def root_bytes(self) -> bytes:
        """The newest root, for a bundle to carry; b"" when there is none."""
        return self._root_file(self._root_versions()[-1]).read_bytes() if self.is_there else b""

    def begin(self, keys: UpdateKeys, passphrase: bytes) -> Root:
        """Make all keys and the first root.

        Raises:
            UsageError: they are there already.
        """
        if self.is_there:
            raise UsageError(f"{self._folder.parent} holds the keys already; --replace NAME makes one anew")
        make_private_folder(self._folder)
        signers = {name: keys.make(name, passphrase) for name in KEY_NAMES}
        root = Root(expires=self._now + ROOT_LIFETIME, consistent_snapshot=True)
        for name, signer in signers.items():
            for role in _roles(name):
                root.add_key(signer.public_key, role)
        root.roles[Root.type].threshold = ROOT_THRESHOLD
        self._write_root(root, [signers[name] for name in ROOT_KEYS])
        return root

    def replace(self, keys: UpdateKeys, names: Collection[str], passphrase: bytes) -> Root:
        """A new root with new keys of these names; two of the root keys before sign it, and two of the new.

        Raises:
            UsageError: not enough root keys are here, or two of them are to be replaced at once; as `root`.
        """
        root = self.root()
        if len(set(names) & set(ROOT_KEYS)) > 1:
            raise UsageError("replace one root key after the other: two of the three have to stay")
        former = keys.open_roots(passphrase, _keys_of(root, Root.type))
        made: list[CryptoSigner] = []
        for name in dict.fromkeys(names):
            gone = _gone(root, name, former)
            signer = keys.make(name, passphrase)
            for role in _roles(name):
                for keyid in gone:
                    root.revoke_key(keyid, role)
                root.add_key(signer.public_key, role)
            made.append(signer)
        root.version += 1
        root.expires = self._now + ROOT_LIFETIME
        new_roots = [signer for signer in made if signer.public_key.keyid in root.roles[Root.type].keyids]
        self._write_root(root, [*former.values(), *new_roots])
        return root

    def offer(
        self, keys: UpdateKeys, passphrase: bytes, bundle: bytes, offer: UpdateOffer, days: int
    ) -> None:
        """Offer this bundle, in the place of the one of its name; then sign the whole list anew.

        Raises:
            DocumentRefused: E_RELEASE_VERSION, a newer one is offered.
        """
        targets = self._read(Targets, "targets")
        before = targets.targets.get(offer.target)
        if before is not None and version_order(read_offer(before.custom).version) > version_order(
            offer.version
        ):
            told = f"{read_offer(before.custom).version} is offered already"
            raise DocumentRefused(told, code=ErrorCode.E_RELEASE_VERSION)
        file = TargetFile.from_data(offer.target, bundle, ["sha256"])
        file.unrecognized_fields["custom"] = msgspec.to_builtins(offer)
        targets.targets[offer.target] = file
        signer = keys.open(TARGETS_KEY, passphrase)
        self._write_signed(targets, "targets", TARGETS_LIFETIME, signer)
        self._write_snapshot(targets.version, signer)
        self.renew(keys, passphrase, days)

    def sign_anew(self, keys: UpdateKeys, passphrase: bytes, days: int) -> None:
        """Sign what is offered again: after a key was replaced, or before the targets expire."""
        targets = self._read(Targets, "targets")
        signer = keys.open(TARGETS_KEY, passphrase)
        self._write_signed(targets, "targets", TARGETS_LIFETIME, signer)
        self._write_snapshot(targets.version, signer)
        self.renew(keys, passphrase, days)

    def renew(self, keys: UpdateKeys, passphrase: bytes, days: int) -> datetime:
        """Say that the list is the newest, for this many days; until when."""
        snapshot = self._read(Snapshot, "snapshot")
        timestamp = self._read(Timestamp, "timestamp")
        timestamp.snapshot_meta = MetaFile.from_data(
            snapshot.version, (self._folder / "snapshot.json").read_bytes(), ["sha256"]
        )
        lifetime = timedelta(days=days)
        self._write_signed(timestamp, "timestamp", lifetime, keys.open(TIMESTAMP_KEY, passphrase))
        return self._now + lifetime

    def offers(self) -> list[tuple[UpdateOffer, str]]:
        """What is offered, and the SHA-256 of its bundle."""
        files = self._read(Targets, "targets").targets.values()
        return [(read_offer(file.custom), file.hashes["sha256"]) for file in files]

    def root(self) -> Root:
        """The newest root.

        Raises:
            UsageError: there is none; make it with: alongside release keys.
        """
        if not self.is_there:
            raise UsageError("there are no keys for updates yet; make them with: alongside release keys")
        return Metadata[Root].from_bytes(self.root_bytes()).signed

    def published(self) -> dict[str, bytes]:
        """What a relay hands out, by name."""
        files = {f"{n}.root.json": self._root_file(n).read_bytes() for n in self._root_versions()}
        if (self._folder / "timestamp.json").is_file():
            versions = {"targets": self._read(Targets, "targets").version}
            versions |= {"snapshot": self._read(Snapshot, "snapshot").version}
            for name, version in versions.items():
                files[f"{version}.{name}.json"] = (self._folder / f"{name}.json").read_bytes()
            files["timestamp.json"] = (self._folder / "timestamp.json").read_bytes()
        return files

    def _write_snapshot(self, targets_version: int, signer: CryptoSigner) -> None:
        snapshot = self._read(Snapshot, "snapshot")
        content = (self._folder / "targets.json").read_bytes()
        snapshot.meta["targets.json"] = MetaFile.from_data(targets_version, content, ["sha256"])
        self._write_signed(snapshot, "snapshot", TARGETS_LIFETIME, signer)

    def _read(self, kind: type[_S], name: str) -> _S:
        """The newest of its kind; an empty one of version 0 before the first was written."""
        file = self._folder / f"{name}.json"
        if not file.is_file():
            return _versionless(kind)
        try:
            return Metadata[_S].from_file(str(file)).signed
        except (RepositoryError, StorageError, ValueError) as exc:
            raise DocumentRefused(f"{file}: {exc}"[:200], code=ErrorCode.E_RELEASE_FORMAT) from None

    def _write_signed(self, signed: _S, name: str, lifetime: timedelta, signer: CryptoSigner) -> None:
        self.root()
        signed.version += 1
        signed.expires = self._now + lifetime
        metadata = Metadata(signed)
        metadata.sign(signer)
        write_private(self._folder / f"{name}.json", metadata.to_bytes())

    def _write_root(self, root: Root, signers: Iterable[CryptoSigner]) -> None:
        metadata = Metadata(root)
        for signer in signers:
            metadata.sign(signer, append=True)
        write_private(self._root_file(root.version), metadata.to_bytes())

    def _root_file(self, version: int) -> Path:
        return self._folder / f"{version}.root.json"

    def _root_versions(self) -> list[int]:
        return sorted(int(file.name.partition(".")[0]) for file in self._folder.glob("*.root.json"))


def _versionless(kind: type[_S]) -> _S:
    empty = kind()
    empty.version = 0
    return empty


def _roles(key_name: str) -> tuple[str, ...]:
    if key_name in ROOT_KEYS:
        return (Root.type,)
    return (Targets.type, Snapshot.type) if key_name == TARGETS_KEY else (Timestamp.type,)


def _gone(root: Root, name: str, former: dict[str, CryptoSigner]) -> list[str]:
    """The ids of the keys that one of this name takes the place of."""
    ids = list(root.roles[_roles(name)[0]].keyids)
    if name not in ROOT_KEYS:
        return ids
    stay = {signer.public_key.keyid for other, signer in former.items() if other != name}
    if len(stay) < ROOT_THRESHOLD:
        raise UsageError(f"both other root keys are needed to replace {name}; name them with --root-key FILE")
    return [keyid for keyid in ids if keyid not in stay]


def _keys_of(root: Root, role: str) -> list[Key]:
    return [root.keys[keyid] for keyid in root.roles[role].keyids]
