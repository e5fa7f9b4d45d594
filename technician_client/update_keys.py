"""The keys that sign the list of updates: `org/updates/NAME.pem`, each encrypted with a passphrase.

Two of the three root keys say which other keys count; they belong apart. `targets` signs what is offered (and
the snapshot), `timestamp` that the list is the newest one.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner, Key

from protocol.errors import CertificateRefused, ErrorCode, UsageError
from protocol.key_file import key_pem, open_key
from protocol.private_files import read_private_file
from technician_client.files import write_private

ROOT_KEYS: Final = ("root-1", "root-2", "root-3")
ROOT_THRESHOLD: Final = 2
TARGETS_KEY: Final = "targets"
TIMESTAMP_KEY: Final = "timestamp"
KEY_NAMES: Final = (*ROOT_KEYS, TARGETS_KEY, TIMESTAMP_KEY)


class UpdateKeys:
    """The key files of one folder; `elsewhere` are root keys that are kept in other places."""

    def __init__(self, folder: Path, elsewhere: Iterable[Path] = ()) -> None:
        self.folder = folder
        self._elsewhere = tuple(elsewhere)

    def file(self, name: str) -> Path:
        """Where a key of this name is written."""
        return self.folder / f"{name}.pem"

    def make(self, name: str, passphrase: bytes) -> CryptoSigner:
        """A new key in the place of the one there was."""
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(self.file(name), key_pem(key, passphrase))
        return CryptoSigner(key)

    def open(self, name: str, passphrase: bytes) -> CryptoSigner:
        """The key of this name; raises as `open_signer`."""
        return open_signer(self.file(name), passphrase)

    def open_roots(self, passphrase: bytes, wanted: Iterable[Key]) -> dict[str, CryptoSigner]:
        """The wanted root keys by name, from wherever they are, at least as many as are needed.

        Raises:
            UsageError: fewer than the threshold are there.
        """
        ids = {key.keyid for key in wanted}
        places = {place.stem: place for place in (self.file(name) for name in ROOT_KEYS) if place.is_file()}
        places |= {place.stem: place for place in self._elsewhere}
        opened = {name: open_signer(place, passphrase) for name, place in places.items()}
        found = {name: signer for name, signer in opened.items() if signer.public_key.keyid in ids}
        if len(found) < ROOT_THRESHOLD:
            told = f"{len(found)} of the {ROOT_THRESHOLD} root keys that are needed are here"
            raise UsageError(f"{told}; bring the others and name them with --root-key FILE")
        return found


def open_signer(file: Path, passphrase: bytes) -> CryptoSigner:
    """The key in this file.

    Raises:
        CertificateRefused: E_PASSPHRASE, or E_CERT_FORMAT for a damaged file.
        EnvironmentFault: it is missing.
    """
    try:
        return CryptoSigner(open_key(read_private_file(file), passphrase, where=str(file)))
    except ValueError as exc:
        raise CertificateRefused(f"{file}: {exc}", code=ErrorCode.E_CERT_FORMAT) from None


def encrypt_anew(folder: Path, former: bytes, new: bytes) -> list[Path]:
    """Put the keys of this folder under a new passphrase; which of the two opens a key does not matter.

    Raises:
        CertificateRefused: E_PASSPHRASE, neither does.
    """
    changed = []
    for file in sorted(folder.glob("*.pem")):
        pem = read_private_file(file)
        try:
            key = open_key(pem, former, where=str(file))
        except CertificateRefused:
            key = open_key(pem, new, where=str(file))
        write_private(file, key_pem(key, new))
        changed.append(file)
    return changed
