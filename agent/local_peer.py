"""Who is at the other end of a local socket, as the kernel knows it: on Linux and macOS.

What a process says about itself is not believed; where no kernel can be asked, nobody is.
"""

import socket
import struct
import sys
from dataclasses import dataclass
from typing import Final, Protocol

from protocol.errors import EnvironmentFault, ErrorCode

_UCRED: Final = struct.Struct("3i")  # pid, uid, gid: struct ucred of unix(7)
# macOS: unix(4), sys/un.h and sys/ucred.h; Python has no names for them
SOL_LOCAL: Final = 0
LOCAL_PEERCRED: Final = 1
LOCAL_PEERPID: Final = 2
XUCRED: Final = struct.Struct("@IIh16I")  # version, uid, how many groups, groups
XUCRED_VERSION: Final = 0
PID: Final = struct.Struct("i")


@dataclass(frozen=True, slots=True)
class LocalPeer:
    """The process at the other end. For who connected, the uid is that of the process that listens."""

    uid: int
    pid: int


class Answering(Protocol):
    """The part of a socket that is asked."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        """See `socket.socket.getsockopt`."""


def peer_of(connected: Answering) -> LocalPeer:
    """Who connected, or who listens.

    Raises:
        OSError: it is not connected. EnvironmentFault: E_LOCAL_NONE, no kernel that we know how to ask.
    """
    if hasattr(socket, "SO_PEERCRED"):
        credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid, uid, _gid = _UCRED.unpack(credentials)
        return LocalPeer(uid=int(uid), pid=int(pid))
    if sys.platform == "darwin":
        return mac_peer(connected)
    raise EnvironmentFault("nobody can say who is at the other end", code=ErrorCode.E_LOCAL_NONE)


def mac_peer(connected: Answering) -> LocalPeer:
    """As `peer_of`, by macOS."""
    content = connected.getsockopt(SOL_LOCAL, LOCAL_PEERCRED, XUCRED.size)
    if len(content) != XUCRED.size:
        raise EnvironmentFault("the kernel's answer is too short", code=ErrorCode.E_LOCAL_NONE)
    version, uid, *_groups = XUCRED.unpack(content)
    if version != XUCRED_VERSION:
        raise EnvironmentFault(f"the kernel answers in form {version}", code=ErrorCode.E_LOCAL_NONE)
    [pid] = PID.unpack(connected.getsockopt(SOL_LOCAL, LOCAL_PEERPID, PID.size))
    return LocalPeer(uid=int(uid), pid=int(pid))
