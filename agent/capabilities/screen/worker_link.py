"""The worker's end of the service's socket: frames behind a 4-byte length, without ever blocking."""

from __future__ import annotations

import socket
from collections import deque

from protocol.errors import ErrorCode, PeerViolation, Unreachable

LENGTH_BYTES = 4
RECEIVE_BYTES = 64 << 10


class FrameCutter:
    """Cuts a byte stream into frames, whatever its chunks are (sans-I/O)."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._pending = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The frames that this chunk completed, oldest first.

        Raises:
            PeerViolation: E_MESSAGE_SIZE as soon as a length is over the limit, E_MESSAGE_FORMAT for 0.
        """
        self._pending += chunk
        frames: list[bytes] = []
        while len(self._pending) >= LENGTH_BYTES:
            announced = int.from_bytes(self._pending[:LENGTH_BYTES], "big")
            if announced > self._limit_bytes:
                raise PeerViolation(f"{announced} bytes announced", code=ErrorCode.E_MESSAGE_SIZE)
            if not announced:
                raise PeerViolation("an empty frame", code=ErrorCode.E_MESSAGE_FORMAT)
            end = LENGTH_BYTES + announced
            if len(self._pending) < end:
                break
            frames.append(bytes(self._pending[LENGTH_BYTES:end]))
            del self._pending[:end]
        return frames


class WorkerLink:
    """A connected stream socket. What cannot be sent yet is kept: the caller makes nothing new meanwhile."""

    def __init__(self, connected: socket.socket, limit_bytes: int) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._unsent: deque[memoryview] = deque()
        self._cutter = FrameCutter(limit_bytes)

    @property
    def has_room(self) -> bool:
        """Whether everything has left."""
        return not self._unsent

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def send(self, message: bytes) -> None:
        """Queue one frame, and send as much as the socket takes. Raises Unreachable."""
        self._unsent.append(memoryview(len(message).to_bytes(LENGTH_BYTES, "big")))
        self._unsent.append(memoryview(message))
        self.flush()

    def flush(self) -> None:
        """Send as much as the socket takes. Raises Unreachable when the service is gone."""
        try:
            while self._unsent:
                sent = self._socket.sendmsg(list(self._unsent)[:2])
                while sent:
                    first = self._unsent.popleft()
                    if sent < len(first):
                        self._unsent.appendleft(first[sent:])
                    sent -= min(sent, len(first))
        except BlockingIOError:
            return
        except OSError as exc:
            raise Unreachable(str(exc), code=ErrorCode.E_LINK_LOST) from None

    def finish(self, timeout_s: float) -> None:
        """Wait until everything has left, but not for longer than this for one piece."""
        self._socket.settimeout(timeout_s)
        self.flush()

    def receive(self) -> list[bytes]:
        """The frames that came. Raises Unreachable at the end of the stream, PeerViolation."""
        try:
            chunk = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return []
        except OSError as exc:
            raise Unreachable(str(exc), code=ErrorCode.E_LINK_LOST) from None
        if not chunk:
            raise Unreachable("the service closed the connection", code=ErrorCode.E_LINK_LOST)
        return self._cutter.feed(chunk)
