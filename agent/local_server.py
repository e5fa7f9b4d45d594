"""The service's local socket: who may connect, the bounded hello, and a task for each connection.

The folder is 0700 and the socket 0600; the peer's uid is read from the kernel (`SO_PEERCRED`, unix(7)) all
the same, so that a descriptor that was passed on gives nothing away.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import structlog

from agent.desktop.ipc_messages import HELLO_CODEC, TO_COMMAND_LINE_CODEC, Hello, IpcRefused
from agent.local_frames import READ_AHEAD_BYTES, LocalConnection
from protocol.errors import EnvironmentFault, ErrorCode, PeerViolation, Refused, SupportError, UsageError

log = structlog.get_logger()

HELLO_TIMEOUT_S = 5.0
CONNECTION_LIMIT = 32
SOCKET_PATH_LIMIT_BYTES = 107  # sun_path of unix(7), less its terminating zero

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred of unix(7)

Handler = Callable[[Hello, LocalConnection], Awaitable[None]]


class LocalServer:
    """Accepts connections until its `serve` is cancelled; each one ends without touching the others."""

    def __init__(
        self, socket_path: Path, handlers: Mapping[type, Handler], *, allowed_uids: frozenset[int]
    ) -> None:
        self.socket_path = socket_path
        self._handlers = handlers
        self._allowed_uids = allowed_uids
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen; `serve` comes next.

        Raises:
            UsageError: E_CONFIG, the path is too long for a socket.
            EnvironmentFault: E_DATA_DISK, the socket cannot be made there.
        """
        if len(os.fsencode(self.socket_path)) > SOCKET_PATH_LIMIT_BYTES:
            raise UsageError(
                f"the data folder's path is too long: {self.socket_path}", code=ErrorCode.E_CONFIG
            )
        try:
            self.socket_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.socket_path.parent.chmod(0o700)
            self.socket_path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(
                self._on_connection, path=str(self.socket_path), limit=READ_AHEAD_BYTES
            )
            self.socket_path.chmod(0o600)
        except OSError as exc:
            raise EnvironmentFault(f"{self.socket_path}: {exc}") from None

    async def serve(self) -> None:
        """Serve until cancelled; then every connection is closed and the socket is removed."""
        assert self._server is not None, "open comes first"
        try:
            await asyncio.Event().wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Close every connection and remove the socket; may be called twice, and without `serve`."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self.socket_path.unlink(missing_ok=True)

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = LocalConnection(reader, writer)
        self._connections.add(task)
        try:
            await self._serve_one(connection, writer)
        except SupportError as exc:
            log.info("local.closed", code=str(exc.code), detail=exc.detail)
        except Exception:
            log.exception("local.failed")
        finally:
            self._connections.discard(task)
            connection.close()

    async def _serve_one(self, connection: LocalConnection, writer: asyncio.StreamWriter) -> None:
        uid = peer_uid(writer.get_extra_info("socket"))
        if uid not in self._allowed_uids:
            raise Refused(f"uid {uid} may not connect", code=ErrorCode.E_IDENTITY_OWNER)
        if len(self._connections) > CONNECTION_LIMIT:
            await self._refuse(connection, ErrorCode.E_BUSY)
            return
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                hello = HELLO_CODEC.decode(await connection.receive(HELLO_CODEC.limit_bytes))
        except TimeoutError:
            raise PeerViolation("no hello in time", code=ErrorCode.E_MESSAGE_FORMAT) from None
        except PeerViolation:
            await self._refuse(connection, ErrorCode.E_MESSAGE_FORMAT)
            raise
        handler = self._handlers.get(type(hello))
        if handler is None:
            await self._refuse(connection, ErrorCode.E_MESSAGE_UNKNOWN)
            return
        await handler(hello, connection)

    async def _refuse(self, connection: LocalConnection, code: ErrorCode) -> None:
        await connection.send(TO_COMMAND_LINE_CODEC.encode(IpcRefused(code=code)))
        await connection.finish()


def peer_uid(connected: socket.socket) -> int:
    """The uid of the process at the other end, as the kernel knows it."""
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, uid, _gid = _CREDENTIALS.unpack(credentials)
    return int(uid)
