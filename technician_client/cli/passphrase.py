"""Passphrases: from a file or a prompt, never from the command line."""

import sys
from getpass import getpass
from pathlib import Path

from protocol.errors import UsageError
from technician_client.files import read_secret_line

PASSPHRASE_LEAST_CHARS = 8


def read_passphrase(file: Path | None) -> bytes:
    """The organisation's passphrase.

    Raises:
        UsageError: no file was given and nobody can be asked, or the file is not usable.
    """
    return _from_file_or_prompt(file, "Passphrase of the organisation: ").encode()


def read_new_passphrase(file: Path | None) -> bytes:
    """A passphrase for a new organisation; a person types it twice.

    Raises:
        UsageError: as above, too short, or not typed the same twice.
    """
    passphrase = _from_file_or_prompt(file, "New passphrase of the organisation: ")
    if len(passphrase) < PASSPHRASE_LEAST_CHARS:
        raise UsageError(f"the passphrase needs at least {PASSPHRASE_LEAST_CHARS} characters")
    if file is None and getpass("The same again: ") != passphrase:
        raise UsageError("the two passphrases differ")
    return passphrase.encode()


def _from_file_or_prompt(file: Path | None, question: str) -> str:
    if file is not None:
        return read_secret_line(file)
    if not sys.stdin.isatty():
        raise UsageError("a passphrase is needed and nobody can be asked; give --passphrase-file FILE")
    try:
        return getpass(question)
    except EOFError:
        raise UsageError("no passphrase was given") from None
