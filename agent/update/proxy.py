"""The proxy that the agent was given, as root reads it: the agent's user can write its folder.

Trust does not hang on it, as it does not hang on the relay's address: what comes through is believed by the
organisation's signatures alone. But the file must not lead root to another one, and must not hold it up.
"""

import os
import stat
from pathlib import Path

from agent.state import PROXY_LIMIT_BYTES
from protocol.errors import EnvironmentFault, ErrorCode, UsageError


def agents_proxy(file: Path) -> str:
    """Its address, with a password if it has one; "" without a file.

    Raises:
        UsageError: E_CONFIG, it is no plain file, of another user than its folder, too long or no text.
        EnvironmentFault: E_DATA_DISK, it cannot be read, or is a link.
    """
    try:
        content = _read_own(file)
    except FileNotFoundError:
        return ""
    except OSError as exc:
        raise EnvironmentFault(f"{file}: {exc.strerror}", code=ErrorCode.E_DATA_DISK) from None
    if content is None or len(content) > PROXY_LIMIT_BYTES or not content.isascii():
        raise UsageError(f"{file} is no address of a proxy", code=ErrorCode.E_CONFIG)
    return content.decode("ascii").strip()


def _read_own(file: Path) -> bytes | None:
    """At most a byte more than allowed; None if it is no plain file of the folder's owner."""
    # not on every system; a FIFO would wait for a writer
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(file, flags)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_uid != file.parent.stat().st_uid:
            return None
        return os.read(descriptor, PROXY_LIMIT_BYTES + 1)
    finally:
        os.close(descriptor)
