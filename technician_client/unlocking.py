"""The passphrases of one command: asked for once, kept in memory until it ends, written nowhere."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from getpass import getpass
from pathlib import Path
from typing import Final

from protocol.errors import CertificateRefused, ErrorCode
from protocol.identity import Identity, load_identity
from protocol.key_file import is_locked
from technician_client.files import read_secret_line

CREDENTIAL_NAME: Final = "alongside-passphrase"
YOUR_KEY: Final = "your technician's key"
ADMIN_KEY: Final = "the organisation (for the admin's key)"


class Passphrases:
    """What a command was given or told. Python cannot overwrite bytes: they go when the command ends."""

    def __init__(self) -> None:
        self.file: Path | None = None
        self._known: list[bytes] = []

    def remember(self, passphrase: bytes) -> None:
        """This one was given already; it is tried before anybody is asked."""
        if passphrase not in self._known:
            self._known.append(passphrase)

    def forget(self) -> None:
        """The command is over."""
        self._known.clear()
        self.file = None

    def open(self, path: Path, whose: str) -> Identity:
        """The identity of this file; `whose` is what the question calls it.

        Raises:
            CertificateRefused: E_PASSPHRASE, it is wrong, or there is none and nobody can be asked.
            SupportError: as `load_identity`.
        """
        if not is_locked(path):
            _warn(path, whose)
            return load_identity(path)
        for passphrase in self._known:
            try:
                return load_identity(path, passphrase=passphrase)
            except CertificateRefused as exc:
                if exc.code is not ErrorCode.E_PASSPHRASE:
                    raise
        passphrase = self._asked(path, whose)
        identity = load_identity(path, passphrase=passphrase)
        self.remember(passphrase)
        return identity

    def _asked(self, path: Path, whose: str) -> bytes:
        file = self.file or _credential_file()
        if file is not None:
            return read_secret_line(file).encode()
        if not sys.stdin.isatty():
            detail = f"{path} needs one and nobody can be asked; start with: alongside --key-passphrase-file"
            raise CertificateRefused(detail, code=ErrorCode.E_PASSPHRASE)
        try:
            return getpass(f"Passphrase of {whose}: ").encode()
        except EOFError:
            raise CertificateRefused("none was given", code=ErrorCode.E_PASSPHRASE) from None


_OF_COMMAND: ContextVar[Passphrases | None] = ContextVar("passphrases", default=None)


@contextmanager
def passphrases_for_command() -> Iterator[Passphrases]:
    """Remembered inside, forgotten at the end."""
    passphrases = Passphrases()
    before = _OF_COMMAND.set(passphrases)
    try:
        yield passphrases
    finally:
        _OF_COMMAND.reset(before)
        passphrases.forget()


def current_passphrases() -> Passphrases:
    """Those of the command that runs; outside of one, fresh ones that nobody remembers."""
    return _OF_COMMAND.get() or Passphrases()


def _credential_file() -> Path | None:
    """What a systemd unit with LoadCredential= or LoadCredentialEncrypted= was given (systemd.exec(5))."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    file = Path(folder) / CREDENTIAL_NAME
    return file if file.is_file() else None


def _warn(path: Path, whose: str) -> None:
    if not sys.stderr.isatty():
        return  # a program reads that, not a person
    command = "org passphrase" if whose == ADMIN_KEY else "org technician passphrase"
    print(f"Warning: {path} is not encrypted. Give it a passphrase: alongside {command}", file=sys.stderr)
