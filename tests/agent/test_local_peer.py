"""Who is at the other end of a local socket: asked of the kernel, and of nobody else."""

import os
import socket
import sys
from pathlib import Path

import pytest

from agent import local_peer
from agent.desktop.ipc import connect_to_service
from agent.local_peer import LocalPeer, mac_peer, peer_of
from protocol.errors import EnvironmentFault, ErrorCode


class MacSocket:
    """Answers as macOS's headers say."""

    def __init__(self, credentials: bytes) -> None:
        self._credentials = credentials

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        assert level == 0
        content = {1: self._credentials, 2: local_peer.PID.pack(4711)}[optname]
        return content[:buflen]


def credentials(uid: int, version: int = 0) -> bytes:
    return local_peer.XUCRED.pack(version, uid, 1, 20, *[0] * 15)


def test_a_macs_kernel_is_asked_for_user_and_process() -> None:
    assert len(credentials(0)) == 76, "struct xucred with 16 groups"
    assert mac_peer(MacSocket(credentials(501))) == LocalPeer(uid=501, pid=4711)
    assert mac_peer(MacSocket(credentials(2**32 - 2))).uid == 2**32 - 2, "nobody is no negative number"


@pytest.mark.parametrize("content", [b"", credentials(0)[:12], credentials(0, version=1)])
def test_an_answer_in_another_form_is_nobodys(content: bytes) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        mac_peer(MacSocket(content))
    assert caught.value.code is ErrorCode.E_LOCAL_NONE


@pytest.mark.real
def test_ipc_where_no_kernel_can_be_asked_nobody_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The desktop process took any listener for its service where Linux's way of asking was missing."""
    with socket.socket(socket.AF_UNIX) as listening:
        path = tmp_path / "service"
        listening.bind(str(path))
        listening.listen()
        with socket.socket(socket.AF_UNIX) as connected:
            connected.connect(str(path))
            assert peer_of(connected) == LocalPeer(uid=os.getuid(), pid=os.getpid()), "control"
        monkeypatch.delattr(socket, "SO_PEERCRED")
        monkeypatch.setattr(sys, "platform", "another")
        with pytest.raises(EnvironmentFault) as caught:
            connect_to_service(path, None)
        assert caught.value.code is ErrorCode.E_LOCAL_NONE
