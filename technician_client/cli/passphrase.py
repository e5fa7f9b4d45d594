"""Passphrases: from a file or a prompt, never from the command line."""

import sys
from getpass import getpass
from pathlib import Path

from protocol.errors import UsageError
from protocol.key_file import is_locked
from technician_client.files import read_secret_line
from technician_client.unlocking import current_passphrases

PASSPHRASE_LEAST_CHARS = 8


def read_passphrase(file: Path | None) -> bytes:
    """The organisation's passphrase; it is remembered until the command ends.

    Raises:
        UsageError: no file was given and nobody can be asked, or the file is not usable.
    """
    passphrase = _from_file_or_prompt(file, "Passphrase of the organisation: ").encode()
    current_passphrases().remember(passphrase)
    return passphrase


def read_new_passphrase(file: Path | None, whose: str = "the organisation") -> bytes:
    """A new passphrase; a person types it twice.

    Raises:
        UsageError: as above, too short, or not typed the same twice.
    """
    passphrase = _from_file_or_prompt(file, f"New passphrase of {whose}: ")
    if len(passphrase) < PASSPHRASE_LEAST_CHARS:
        raise UsageError(f"the passphrase needs at least {PASSPHRASE_LEAST_CHARS} characters")
    if file is None and getpass("The same again: ") != passphrase:
        raise UsageError("the two passphrases differ")
    current_passphrases().remember(passphrase.encode())
    return passphrase.encode()


def read_key_passphrase(file: Path | None, *, stays_open: bool, target: Path) -> bytes | None:
    """What a person's new key is encrypted with; None leaves it open.

    At a terminal it is asked for. Without one the key stays open, unless the one in its place was encrypted.

    Raises:
        UsageError: both words were given, or neither in the place of an encrypted key; as above.
    """
    if stays_open:
        if file is not None:
            raise UsageError("--no-passphrase and --new-passphrase-file exclude each other")
        return None
    if file is not None or is_person_there():
        return read_new_passphrase(file, "this key")
    if target.exists() and is_locked(target):
        raise UsageError(f"{target} is encrypted; give --new-passphrase-file FILE, or --no-passphrase")
    return None


def is_person_there() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def _from_file_or_prompt(file: Path | None, question: str) -> str:
    if file is not None:
        return read_secret_line(file)
    if not is_person_there():
        raise UsageError("a passphrase is needed and nobody can be asked; give --passphrase-file FILE")
    try:
        return getpass(question)
    except EOFError:
        raise UsageError("no passphrase was given") from None
