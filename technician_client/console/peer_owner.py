"""Whose program is at the other end of a loopback connection.

Cookies are shared between the ports of a host (RFC 6265, 8.5), so a server of another user of this machine
can be sent ours by the browser. It must be worth nothing in that user's hands. Linux says who owns a socket;
other systems do not say it this simply, there the answer is None.
"""

import ipaddress
import os
import sys
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_MAPPED = bytes(10) + b"\xff\xff"  # an IPv4 address in an IPv6 socket (RFC 4291, 2.5.5.2)
_LOCAL, _REMOTE, _OWNER = 1, 2, 7
_ROOT = 0


def owner_in(table: str, *, client_port: int, server_port: int, client: str = "127.0.0.1") -> int | None:
    """The user id that owns the client's socket, from the text of the kernel's tables; None if it is not
    there. A client may have come from any address of 127.0.0.0/8, and by an IPv6 socket."""
    pairs = list(zip(_written(client, client_port), _written("127.0.0.1", server_port), strict=True))
    for line in table.splitlines():
        fields = line.split()
        if len(fields) > _OWNER and (fields[_LOCAL], fields[_REMOTE]) in pairs:
            return int(fields[_OWNER])
    return None


def _written(address: str, port: int) -> tuple[str, str]:
    """An end of a connection as the kernel prints it: words in the machine's byte order."""
    packed = ipaddress.IPv4Address(address).packed
    texts = []
    for raw in (packed, _MAPPED + packed):
        words = (int.from_bytes(raw[at : at + 4], sys.byteorder) for at in range(0, len(raw), 4))
        texts.append("".join(f"{word:08X}" for word in words) + f":{port:04X}")
    return texts[0], texts[1]


def may_connect(owner: int | None, *, own: int, behind_sudo: str = "") -> bool:
    """Whether a program of this user may use our console: ours, root's, or of the user who called sudo."""
    return owner is None or owner in (own, _ROOT) or (own == _ROOT and str(owner) == behind_sudo)


def is_own_peer(client: str, client_port: int, server_port: int) -> bool:
    """Whether the program at the other end of this connection may use our console."""
    try:
        table = "".join(path.read_text("ascii") for path in _TABLES if path.exists())
    except OSError:
        table = ""
    owner = owner_in(table, client_port=client_port, server_port=server_port, client=client)
    if owner is None and f" {_written('127.0.0.1', server_port)[0]} " in table:
        return False  # the table knows our end of it: whoever hides from it is not let in
    return may_connect(owner, own=os.getuid(), behind_sudo=os.environ.get("SUDO_UID", ""))
