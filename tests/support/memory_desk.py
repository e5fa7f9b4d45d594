"""A desktop process in memory, on the real service's end of it: the test plays the person."""

import asyncio
import os
from collections.abc import Callable

from agent.desktop import ipc_messages as ipc
from agent.desktop_link import DesktopLink
from agent.local_peer import LocalPeer
from agent.worker_desk import WorkerDesk
from protocol.errors import ErrorCode, Unreachable
from protocol.version import PROTOCOL_VERSION


class MemoryConnection:
    """One end of a `LocalConnection` in memory; `on_sent` gets what the service sends."""

    def __init__(self, on_sent: Callable[[bytes], None]) -> None:
        self._on_sent = on_sent
        self.peer = LocalPeer(os.geteuid(), os.getpid())
        self._coming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.is_closed = False

    def say(self, message: bytes) -> None:
        """To the service."""
        self._coming.put_nowait(message)

    async def receive(self, limit_bytes: int) -> bytes:
        """See `LocalConnection.receive`."""
        message = await self._coming.get()
        if message is None:
            self._coming.put_nowait(None)
            raise Unreachable("gone", code=ErrorCode.E_LINK_LOST)
        assert len(message) <= limit_bytes
        return message

    async def send(self, payload: bytes, timeout_s: float | None = None) -> None:
        """See `LocalConnection.send`."""
        if self.is_closed:
            raise Unreachable("gone", code=ErrorCode.E_LINK_LOST)
        self._on_sent(payload)

    async def finish(self) -> None:
        """See `LocalConnection.finish`."""

    def close(self) -> None:
        """Either end goes away."""
        if not self.is_closed:
            self.is_closed = True
            self._coming.put_nowait(None)


class MemoryDesktop:
    """Connected to a `DesktopLink`; every order goes to `obey` at once. Ends with `close`."""

    def __init__(self, link: DesktopLink, tickets: WorkerDesk, obey: Callable[[ipc.ToDesktop], None]) -> None:
        self._tickets = tickets
        self._connection = MemoryConnection(lambda sent: obey(ipc.TO_DESKTOP_CODEC.decode(sent)))
        hello = ipc.DesktopHello(PROTOCOL_VERSION, "x11:99", "person", os.getpid())
        self._tasks = [asyncio.create_task(link.handle(hello, self._connection))]  # its shape

    def say(self, message: ipc.FromDesktop) -> None:
        """To the service."""
        self._connection.say(ipc.FROM_DESKTOP_CODEC.encode(message))

    def start_worker(self, order: ipc.StartScreen) -> MemoryConnection:
        """A screen worker comes with this order's ticket; what the viewer says to it is dropped."""
        worker = MemoryConnection(lambda _: None)
        hello = ipc.WorkerHello(order.session_id, order.ticket)
        self._tasks.append(asyncio.create_task(self._tickets.handle(hello, worker)))
        return worker

    def die(self) -> None:
        """The desktop process is killed."""
        self._connection.close()

    async def close(self) -> None:
        """End it, and everything that it started."""
        self.die()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
