"""Frames on the agent's local socket: a 4-byte big-endian length, then that many bytes."""

import asyncio
import socket

from agent.local_peer import LocalPeer, peer_of
from protocol.errors import EnvironmentFault, ErrorCode, PeerViolation, Unreachable

LENGTH_BYTES = 4
SEND_TIMEOUT_S = 2.0
READ_AHEAD_BYTES = 256 << 10
ROOT_UID = 0


def require_local_sockets() -> None:
    """Raises EnvironmentFault E_LOCAL_NONE: Windows, whose pipes are not written yet."""
    if not hasattr(socket, "AF_UNIX"):
        raise EnvironmentFault("there are no Unix sockets", code=ErrorCode.E_LOCAL_NONE)


class LocalConnection:
    """One end of a connection on the local socket; frames may be sent by several tasks at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def peer(self) -> LocalPeer:
        """Who is at the other end."""
        return peer_of(self._writer.get_extra_info("socket"))

    async def receive(self, limit_bytes: int) -> bytes:
        """The next frame.

        Raises:
            Unreachable: E_LINK_LOST, the other process is gone.
            PeerViolation: E_MESSAGE_SIZE before a byte of it is waited for, or E_MESSAGE_FORMAT for an
                empty frame or one that was cut.
        """
        try:
            header = await self._reader.readexactly(LENGTH_BYTES)
        except asyncio.IncompleteReadError as exc:
            if exc.partial:
                raise PeerViolation("a frame was cut", code=ErrorCode.E_MESSAGE_FORMAT) from None
            raise Unreachable("local connection closed", code=ErrorCode.E_LINK_LOST) from None
        except OSError as exc:
            raise Unreachable(str(exc), code=ErrorCode.E_LINK_LOST) from None
        announced_bytes = int.from_bytes(header, "big")
        if announced_bytes > limit_bytes:
            raise PeerViolation(f"{announced_bytes} bytes announced", code=ErrorCode.E_MESSAGE_SIZE)
        if not announced_bytes:
            raise PeerViolation("an empty frame", code=ErrorCode.E_MESSAGE_FORMAT)
        try:
            return await self._reader.readexactly(announced_bytes)
        except asyncio.IncompleteReadError:
            raise PeerViolation("a frame was cut", code=ErrorCode.E_MESSAGE_FORMAT) from None
        except OSError as exc:
            raise Unreachable(str(exc), code=ErrorCode.E_LINK_LOST) from None

    async def send(self, payload: bytes, timeout_s: float | None = SEND_TIMEOUT_S) -> None:
        """Send one frame; waits while the other process does not read.

        Raises:
            Unreachable: E_LINK_LOST, also when it did not read for `timeout_s`; the connection is closed.
        """
        try:
            self._writer.write(len(payload).to_bytes(LENGTH_BYTES, "big") + payload)
            async with asyncio.timeout(timeout_s):
                await self._writer.drain()
        except (OSError, RuntimeError, TimeoutError) as exc:
            self.close()
            raise Unreachable(f"local send: {exc!r}", code=ErrorCode.E_LINK_LOST) from None

    def close(self) -> None:
        """Close at once, dropping what was not sent; may be called twice."""
        self._writer.transport.abort()

    def stop_sending(self) -> None:
        """The other end reads that nothing more comes; what it says is still heard. May be called twice."""
        if self._writer.can_write_eof() and not self._writer.transport.is_closing():
            self._writer.write_eof()

    async def finish(self) -> None:
        """Close after what was sent has gone out; may be called twice."""
        self._writer.close()
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self.close()


async def connect_local(socket_path: str, timeout_s: float = SEND_TIMEOUT_S) -> LocalConnection:
    """A connection to the service.

    Raises:
        Unreachable: E_NOT_RUNNING, nothing listens there. EnvironmentFault: E_LOCAL_NONE.
    """
    require_local_sockets()
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(socket_path, limit=READ_AHEAD_BYTES)
    except (OSError, TimeoutError) as exc:
        raise Unreachable(f"{socket_path}: {exc!r}", code=ErrorCode.E_NOT_RUNNING) from None
    return LocalConnection(reader, writer)
