"""The worker's end of its two pipes to the service, or of one socket; never blocks once the command runs."""

import os
import select
import socket
import stat
import time

from agent.exec.messages import (
    FROM_WORKER_CODEC,
    ORDER_LIMIT_BYTES,
    TO_WORKER_CODEC,
    FromWorker,
    ToWorker,
)
from agent.local_frames import LENGTH_BYTES, ROOT_UID
from agent.local_peer import peer_of
from protocol.errors import ErrorCode, PeerViolation, Unreachable

READ_SIZE_BYTES = 64 << 10


class ServiceLink:
    """Reads orders and queues answers. The queue is bounded by the command's output limit."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self.read_fd = read_fd
        self.write_fd = write_fd
        self._queued = bytearray()
        self._received = bytearray()
        self._is_broken = False
        os.set_blocking(write_fd, False)

    def check_peer(self) -> None:
        """Where systemd listens for us: that it is our own user, or root, who connected.

        Raises:
            PeerViolation: somebody else did.
        """
        if not stat.S_ISSOCK(os.fstat(self.read_fd).st_mode):
            return
        with socket.socket(fileno=os.dup(self.read_fd)) as connected:
            uid = peer_of(connected).uid
        if uid not in (ROOT_UID, os.geteuid()):
            raise PeerViolation(f"user {uid} connected")

    @property
    def has_queued(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._queued)

    def receive(self, timeout_s: float) -> ToWorker:
        """The next message; blocks.

        Raises:
            Unreachable: the service went away, or said nothing in time.
            PeerViolation: it is no message of ours.
        """
        deadline_s = time.monotonic() + timeout_s
        while (frame := self._taken_frame()) is None:
            remaining_s = max(0.0, deadline_s - time.monotonic())
            readable, _, _ = select.select([self.read_fd], [], [], remaining_s)
            piece = os.read(self.read_fd, READ_SIZE_BYTES) if readable else b""
            if not piece:
                raise Unreachable("no order came", code=ErrorCode.E_LINK_LOST)
            self._received += piece
        return TO_WORKER_CODEC.decode(frame)

    def _taken_frame(self) -> bytes | None:
        if len(self._received) < LENGTH_BYTES:
            return None
        announced_bytes = int.from_bytes(self._received[:LENGTH_BYTES], "big")
        if announced_bytes > ORDER_LIMIT_BYTES:
            raise PeerViolation(f"{announced_bytes} bytes announced", code=ErrorCode.E_MESSAGE_SIZE)
        end = LENGTH_BYTES + announced_bytes
        if len(self._received) < end:
            return None
        frame = bytes(self._received[LENGTH_BYTES:end])
        del self._received[:end]
        return frame

    def is_at_end(self) -> bool:
        """Whether the service closed its end; call when `read_fd` is readable. What it says is dropped."""
        return not os.read(self.read_fd, READ_SIZE_BYTES)

    def send(self, message: FromWorker) -> None:
        """Queue a message and write what the pipe takes."""
        encoded = FROM_WORKER_CODEC.encode(message)
        self._queued += len(encoded).to_bytes(LENGTH_BYTES, "big") + encoded
        self.write_queued()

    def write_queued(self) -> None:
        """Write what the pipe takes now; a service that is gone makes the rest moot."""
        try:
            while self._queued and not self._is_broken:
                written_bytes = os.write(self.write_fd, self._queued[:READ_SIZE_BYTES])
                del self._queued[:written_bytes]
        except BlockingIOError:
            return
        except OSError:  # EPIPE: nobody reads any more
            self._is_broken = True
        if self._is_broken:
            self._queued.clear()

    def flush(self, timeout_s: float) -> None:
        """Wait until everything is written, the service is gone or the time is over."""
        deadline_s = time.monotonic() + timeout_s
        while self._queued and (remaining_s := deadline_s - time.monotonic()) > 0:
            select.select([], [self.write_fd], [], remaining_s)
            self.write_queued()
