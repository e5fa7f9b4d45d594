"""A private key as PEM text: PKCS #8, encrypted with what scrypt makes of a passphrase, or open.

`BestAvailableEncryption` alone stretches a passphrase by 2048 rounds of PBKDF2 (half a millisecond a
guess), and `cryptography` has no setting for PKCS #8. So the passphrase goes through its scrypt (RFC 7914)
first, and the result is what PKCS #8 encrypts with. A line before the PEM holds salt and cost; PEM readers
skip it (RFC 7468, section 2). Files without that line, from before, open as they did.
"""

import os
import re
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from protocol.errors import CertificateRefused, ErrorCode
from protocol.private_files import read_private_file

SCRYPT_LOG2_N: Final = 16  # 64 MiB and about a quarter of a second for each guess
SCRYPT_LOG2_N_LIMIT: Final = 20  # 1 GiB: a file that asks for more is not one of ours
_SALT_BYTES: Final = 16
_STRETCHED: Final = re.compile(rb"^Alongside-Stretch: scrypt ([0-9]{1,2}) ([0-9a-f]{32})\r?$", re.MULTILINE)
_LOCKED: Final = b"ENCRYPTED PRIVATE KEY"


def key_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None) -> bytes:
    """The key as PEM that only the passphrase opens; open without one."""
    if not passphrase:
        return _pem(key, NoEncryption())
    salt = os.urandom(_SALT_BYTES)
    line = f"Alongside-Stretch: scrypt {SCRYPT_LOG2_N} {salt.hex()}\n".encode()
    return line + _pem(key, BestAvailableEncryption(_stretch(passphrase, salt, SCRYPT_LOG2_N)))


def is_locked(path: Path) -> bool:
    """Whether the key in this file is encrypted; raises as `read_private_file`."""
    return _LOCKED in read_private_file(path)


def open_key(pem: bytes, passphrase: bytes | None, *, where: str) -> ec.EllipticCurvePrivateKey:
    """The key. A passphrase for an open key is not used.

    Raises:
        CertificateRefused: E_PASSPHRASE, it is wrong or missing.
        ValueError: this is no P-256 key of ours.
    """
    if _LOCKED not in pem:
        return _p256(_loaded(pem, None))
    if not passphrase:
        raise CertificateRefused(f"{where} needs a passphrase", code=ErrorCode.E_PASSPHRASE)
    stretched = _STRETCHED.search(pem)
    if stretched is not None:
        log2_n = int(stretched[1])
        if not 1 <= log2_n <= SCRYPT_LOG2_N_LIMIT:
            raise ValueError(f"it asks for a scrypt cost of 2^{log2_n}")
        passphrase = _stretch(passphrase, bytes.fromhex(stretched[2].decode()), log2_n)
    try:
        key = _loaded(pem, passphrase)
    except ValueError:
        raise CertificateRefused(where, code=ErrorCode.E_PASSPHRASE) from None
    return _p256(key)


def _loaded(pem: bytes, passphrase: bytes | None) -> object:
    try:
        return load_pem_private_key(pem, passphrase)
    except (TypeError, UnsupportedAlgorithm) as exc:
        raise ValueError(str(exc)) from None


def _p256(key: object) -> ec.EllipticCurvePrivateKey:
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is not P-256")
    return key


def _stretch(passphrase: bytes, salt: bytes, log2_n: int) -> bytes:
    """32 bytes as hex, because a PKCS #8 passphrase is text."""
    return Scrypt(salt=salt, length=32, n=1 << log2_n, r=8, p=1).derive(passphrase).hex().encode()


def _pem(key: ec.EllipticCurvePrivateKey, how: KeySerializationEncryption) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
