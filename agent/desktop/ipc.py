"""The desktop process's end of the service's local socket: frames in on one thread, out on another.

The window thread never waits for the socket: what it sends is queued, so that Stop acts while the service
is stuck.
"""

import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import structlog

from agent.desktop.ipc_messages import (
    FROM_DESKTOP_CODEC,
    HELLO_CODEC,
    TO_DESKTOP_CODEC,
    DesktopHello,
    FromDesktop,
    ToDesktop,
)
from agent.local_peer import peer_of
from protocol.errors import EnvironmentFault, ErrorCode, PeerViolation, Refused, SupportError, Unreachable

log = structlog.get_logger()

LENGTH_BYTES = 4
ANNOUNCED = struct.Struct(">I")
CONNECT_TIMEOUT_S = 5.0


class ServiceLink:
    """A connection that said hello. `start` begins to hand over what comes."""

    def __init__(self, socket_path: Path, hello: DesktopHello, service_uid: int | None = None) -> None:
        """Connect. `service_uid`: the service's user, where it is not ours.

        Raises:
            Unreachable: E_NOT_RUNNING, nothing listens there.
            Refused: E_IDENTITY_OWNER, another user listens there.
        """
        self._socket = connect_to_service(socket_path, service_uid)
        self._socket.settimeout(None)
        self._outgoing: SimpleQueue[bytes | None] = SimpleQueue()
        self._outgoing.put(HELLO_CODEC.encode(hello))
        self._writer = threading.Thread(target=self._write, name="ipc-out", daemon=True)

    def start(
        self, on_order: Callable[[ToDesktop], None], on_end: Callable[[SupportError | None], None]
    ) -> None:
        """Read on a thread of its own; `on_end` comes once, with None when the service closed."""
        self._writer.start()
        reading = threading.Thread(target=self._read, args=(on_order, on_end), name="ipc-in", daemon=True)
        reading.start()

    def send(self, message: FromDesktop) -> None:
        """Queue a message; never waits, any thread may call."""
        self._outgoing.put(FROM_DESKTOP_CODEC.encode(message))

    def close(self) -> None:
        """Send what is queued for a moment, then disconnect. May be called twice."""
        self._outgoing.put(None)
        if self._writer.is_alive():
            self._writer.join(0.2)
        self._socket.close()

    def _write(self) -> None:
        try:
            while (payload := self._outgoing.get()) is not None:
                self._socket.sendall(ANNOUNCED.pack(len(payload)) + payload)
        except OSError as exc:
            log.debug("ipc.unsent", detail=str(exc))  # the reader sees the end too

    def _read(
        self, on_order: Callable[[ToDesktop], None], on_end: Callable[[SupportError | None], None]
    ) -> None:
        try:
            while True:
                on_order(TO_DESKTOP_CODEC.decode(read_frame(self._socket, TO_DESKTOP_CODEC.limit_bytes)))
        except EOFError:
            on_end(None)
        except SupportError as exc:
            on_end(exc)


def connect_to_service(socket_path: Path, service_uid: int | None = None) -> socket.socket:
    """A connection to the service, checked, with a time limit on it. `service_uid`: see `ServiceLink`.

    Raises:
        Unreachable: E_NOT_RUNNING, nothing listens there.
        Refused: E_IDENTITY_OWNER, another user listens there. EnvironmentFault: E_LOCAL_NONE.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise EnvironmentFault("there are no Unix sockets", code=ErrorCode.E_LOCAL_NONE)
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.settimeout(CONNECT_TIMEOUT_S)
    try:
        connected.connect(str(socket_path))
        _check_owner(connected, service_uid)
    except OSError as exc:
        connected.close()
        raise Unreachable(f"{socket_path}: {exc}", code=ErrorCode.E_NOT_RUNNING) from None
    except SupportError:
        connected.close()
        raise
    return connected


def read_frame(connected: socket.socket, limit_bytes: int) -> bytes:
    """The next frame.

    Raises:
        EOFError: the other end is gone. PeerViolation: E_MESSAGE_SIZE.
    """
    length = int(ANNOUNCED.unpack(_exactly(connected, LENGTH_BYTES))[0])
    if not 0 < length <= limit_bytes:
        raise PeerViolation(f"a frame of {length} bytes", code=ErrorCode.E_MESSAGE_SIZE)
    return _exactly(connected, length)


def _exactly(connected: socket.socket, length: int) -> bytes:
    received = bytearray()
    while len(received) < length:
        try:
            piece = connected.recv(length - len(received))
        except OSError:
            piece = b""
        if not piece:
            raise EOFError
        received += piece
    return bytes(received)


def _check_owner(connected: socket.socket, service_uid: int | None) -> None:
    """Only our own user, root, or the user whom our start named, may tell us what to show."""
    uid = peer_of(connected).uid
    if uid not in (0, os.getuid(), service_uid):
        raise Refused(f"uid {uid} listens there", code=ErrorCode.E_IDENTITY_OWNER)
