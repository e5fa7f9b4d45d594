"""The one-time secret that binds a fresh relay to its organisation, in a file that its owner can read."""

import hmac
import os
import secrets
from base64 import b32encode
from pathlib import Path

from protocol.errors import EnvironmentFault, ErrorCode

SECRET_BYTES = 20
_READ_LIMIT_BYTES = 256


class ClaimSecret:
    """The claim file of one relay."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def ensure(self) -> None:
        """Write a fresh secret (mode 0600) unless there is one already.

        Raises:
            EnvironmentFault: E_DATA_DISK.
        """
        secret = b32encode(secrets.token_bytes(SECRET_BYTES)).decode().lower()
        try:
            if self.file.exists() and self._read():
                return
            self.file.unlink(missing_ok=True)
            handle = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as writer:
                writer.write(secret + "\n")
                writer.flush()
                os.fsync(writer.fileno())
        except OSError as exc:
            raise EnvironmentFault(f"{self.file}: {exc.strerror}", code=ErrorCode.E_DATA_DISK) from None

    def matches(self, given: str) -> bool:
        """Whether this is the secret, compared in constant time; False when there is no file."""
        secret = self._read()
        return hmac.compare_digest(secret, given.strip().encode()) and bool(secret)

    def discard(self) -> None:
        """The relay is claimed: the secret is of no more use."""
        self.file.unlink(missing_ok=True)

    def _read(self) -> bytes:
        try:
            with self.file.open("rb") as reader:
                return reader.read(_READ_LIMIT_BYTES).strip()
        except FileNotFoundError:
            return b""
