"""The service's local socket: who may connect, the bounded hello, and a task for each connection.

The service's own socket: the folder is 0700 and the socket 0600; the peer's uid is read from the kernel all
the same, so that a descriptor that was passed on gives nothing away. The socket for other users' desktops:
everybody may connect, the kernel's word alone decides, and nobody can put another socket in its place, for
the folder is the service's (decision 0029).
"""

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import structlog

from agent.desktop.ipc_messages import HELLO_CODEC, TO_COMMAND_LINE_CODEC, Hello, IpcRefused
from agent.local_frames import READ_AHEAD_BYTES, LocalConnection, require_local_sockets
from agent.local_peer import LocalPeer
from protocol.errors import EnvironmentFault, ErrorCode, PeerViolation, Refused, SupportError, UsageError

log = structlog.get_logger()

HELLO_TIMEOUT_S = 5.0
CONNECTION_LIMIT = 32
CONNECTIONS_PER_USER_LIMIT = 16
"""Of one user that is not the service's own: nobody keeps the others out."""
SOCKET_PATH_LIMIT_BYTES = 107  # sun_path of unix(7), less its terminating zero

Handler = Callable[[Hello, LocalConnection], Awaitable[None]]
AdmitsUser = Callable[[int], Awaitable[bool]]


class LocalServer:
    """Accepts connections until its `serve` is cancelled; each one ends without touching the others."""

    def __init__(
        self,
        socket_path: Path,
        handlers: Mapping[type, Handler],
        *,
        allowed_uids: frozenset[int],
        admits_user: AdmitsUser | None = None,
    ) -> None:
        """`admits_user` is asked for every other user; with it the socket is one that everybody reaches."""
        self.socket_path = socket_path
        self._admits_user = admits_user
        self._users: dict[int, int] = {}  # connections by uid
        self._handlers = handlers
        self._allowed_uids = allowed_uids
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen; `serve` comes next.

        Raises:
            UsageError: E_CONFIG, the path is too long for a socket.
            EnvironmentFault: E_DATA_DISK, the socket cannot be made there; E_LOCAL_NONE.
        """
        require_local_sockets()
        if len(os.fsencode(self.socket_path)) > SOCKET_PATH_LIMIT_BYTES:
            raise UsageError(
                f"the data folder's path is too long: {self.socket_path}", code=ErrorCode.E_CONFIG
            )
        try:
            self._make_folder()
            self.socket_path.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(
                self._on_connection, path=str(self.socket_path), limit=READ_AHEAD_BYTES
            )
            self.socket_path.chmod(0o600 if self._admits_user is None else 0o666)
        except OSError as exc:
            raise EnvironmentFault(f"{self.socket_path}: {exc}") from None

    def _make_folder(self) -> None:
        folder = self.socket_path.parent
        mode = 0o700 if self._admits_user is None else 0o755
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise OSError(f"{folder} belongs to uid {found.st_uid}; take it away, or name another folder")
        folder.chmod(mode)

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
            await self._serve_user(connection, connection.peer)
        except SupportError as exc:
            log.info("local.closed", code=str(exc.code), detail=exc.detail)
        except Exception:
            log.exception("local.failed")
        finally:
            self._connections.discard(task)
            connection.close()

    async def _serve_user(self, connection: LocalConnection, peer: LocalPeer) -> None:
        if peer.uid in self._allowed_uids:
            await self._serve_one(connection)
            return
        if self._admits_user is None:
            raise Refused(f"uid {peer.uid} may not connect", code=ErrorCode.E_IDENTITY_OWNER)
        count = self._users[peer.uid] = self._users.get(peer.uid, 0) + 1
        try:
            if count > CONNECTIONS_PER_USER_LIMIT:
                await self._refuse(connection, ErrorCode.E_BUSY)
                return
            if not await self._admits_user(peer.uid):
                raise Refused(f"uid {peer.uid} has no desktop here", code=ErrorCode.E_IDENTITY_OWNER)
            await self._serve_one(connection)
        finally:
            self._users[peer.uid] -= 1
            if not self._users[peer.uid]:
                del self._users[peer.uid]

    async def _serve_one(self, connection: LocalConnection) -> None:
        if self._admits_user is None and len(self._connections) > CONNECTION_LIMIT:
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
