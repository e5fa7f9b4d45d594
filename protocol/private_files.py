"""Files of this user alone: written in one step, read only when nobody else could have touched them."""

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from protocol.errors import CertificateRefused, EnvironmentFault, ErrorCode, SupportError
from protocol.limits import CERTIFICATE_LIMIT_BYTES, CHAIN_LIMIT_CERTIFICATES

# a key, a chain and a root in PEM, with room to spare
PRIVATE_FILE_LIMIT_BYTES: Final = 2 * CERTIFICATE_LIMIT_BYTES * (CHAIN_LIMIT_CERTIFICATES + 2)
_OTHERS: Final = 0o077


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
        sync_folder(path.parent)
    except OSError as exc:
        raise EnvironmentFault(f"{path}: {exc}", code=ErrorCode.E_DATA_DISK) from exc


def sync_folder(folder: Path) -> None:
    """Make new names in this folder last (POSIX); raises OSError."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_private_file(path: Path) -> bytes:
    """The content of a file that is a plain one, of this user, closed to others.

    Raises:
        EnvironmentFault: E_IDENTITY_MISSING.
        CertificateRefused: E_IDENTITY_OWNER.
    """
    try:
        # O_NONBLOCK: a pipe in the file's place would otherwise be waited for before it can be refused
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as exc:
        raise _missing(path, "no such file") from exc
    except OSError as exc:
        raise CertificateRefused(f"{path}: {exc}", code=ErrorCode.E_IDENTITY_OWNER) from exc
    try:
        _check_owner(path, os.fstat(descriptor))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(PRIVATE_FILE_LIMIT_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > PRIVATE_FILE_LIMIT_BYTES:
        raise _missing(path, "far too large")
    return content


def _check_owner(path: Path, facts: os.stat_result) -> None:
    is_plain = stat.S_ISREG(facts.st_mode)
    # Windows keeps access in ACLs, which the mode does not show
    is_ours = os.name == "nt" or (facts.st_uid == os.geteuid() and not facts.st_mode & _OTHERS)
    if not (is_plain and is_ours):
        seen = f"mode {stat.S_IMODE(facts.st_mode):04o}, owner {facts.st_uid}"
        raise CertificateRefused(f"{path}: {seen}", code=ErrorCode.E_IDENTITY_OWNER)


def _missing(path: Path, why: str) -> SupportError:
    return EnvironmentFault(f"{path}: {why}", code=ErrorCode.E_IDENTITY_MISSING)
