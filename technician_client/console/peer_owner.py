"""Whose program is at the other end of a loopback connection.

Cookies are shared between the ports of a host (RFC 6265, 8.5), so a server of another user of this machine
can be sent ours by the browser. It must be worth nothing in that user's hands. Linux says who owns a socket;
other systems do not say it this simply, there the answer is None.
"""

import os
from pathlib import Path

_TABLE = Path("/proc/net/tcp")
_LOOPBACK = "0100007F"  # 127.0.0.1 as the kernel prints it on little-endian machines
_LOCAL, _REMOTE, _OWNER = 1, 2, 7
_ROOT = 0


def owner_in(table: str, *, client_port: int, server_port: int) -> int | None:
    """The user id that owns the client's socket, from the text of /proc/net/tcp; None if it is not there."""
    local, remote = f"{_LOOPBACK}:{client_port:04X}", f"{_LOOPBACK}:{server_port:04X}"
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > _OWNER and fields[_LOCAL] == local and fields[_REMOTE] == remote:
            return int(fields[_OWNER])
    return None


def may_connect(owner: int | None, *, own: int, behind_sudo: str = "") -> bool:
    """Whether a program of this user may use our console: ours, root's, or of the user who called sudo."""
    return owner is None or owner in (own, _ROOT) or (own == _ROOT and str(owner) == behind_sudo)


def is_own_peer(client_port: int, server_port: int) -> bool:
    """Whether the program at the other end of this connection may use our console."""
    try:
        table = _TABLE.read_text("ascii")
    except OSError:
        return True  # not Linux, or no /proc: the cookie alone decides
    owner = owner_in(table, client_port=client_port, server_port=server_port)
    return may_connect(owner, own=os.getuid(), behind_sudo=os.environ.get("SUDO_UID", ""))
