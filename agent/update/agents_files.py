"""What the agent was given for its way to the relay, as root reads it: the agent's user can write its folder.

Trust does not hang on it, as it does not hang on the relay's address: what comes through is believed by the
organisation's signatures alone. But no file must lead root to another one, and none must hold it up.
"""

import os
import stat
from pathlib import Path
from typing import Final

from agent.state import PROXY_LIMIT_BYTES
from protocol.errors import EnvironmentFault, ErrorCode, UsageError

AUTHORITY_LIMIT_BYTES: Final = 256 << 10


def agents_proxy(file: Path) -> str:
    """The address of its proxy, with a password if it has one; "" without a file.

    Raises:
        UsageError: E_CONFIG, it is no plain file, of another user than its folder, too long or no text.
        EnvironmentFault: E_DATA_DISK, it cannot be read, or is a link.
    """
    return (_read_own(file, PROXY_LIMIT_BYTES, "address of a proxy") or "").strip()


def agents_authority(file: Path) -> str | None:
    """The only authority that counts for its relay (PEM); None without a file. Raises as `agents_proxy`."""
    return _read_own(file, AUTHORITY_LIMIT_BYTES, "certificate of an authority")


def _read_own(file: Path, limit_bytes: int, what: str) -> str | None:
    try:
        content = _content(file, limit_bytes)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise EnvironmentFault(f"{file}: {exc.strerror}", code=ErrorCode.E_DATA_DISK) from None
    if content is None or len(content) > limit_bytes or not content.isascii():
        raise UsageError(f"{file} is no {what}", code=ErrorCode.E_CONFIG)
    return content.decode("ascii")


def _content(file: Path, limit_bytes: int) -> bytes | None:
    """At most a byte more than allowed; None if it is no plain file of the folder's owner."""
    # not on every system; a FIFO would wait for a writer
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(file, flags)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != file.parent.stat().st_uid:
            return None
        return os.read(descriptor, limit_bytes + 1)
    finally:
        os.close(descriptor)
