"""The service's part of `screen`: starts the worker and passes messages both ways, unread and bounded.

Pictures are read from the worker one at a time and only when the channel took the last one, so a slow
network slows the worker down instead of filling memory.
"""

import asyncio
from typing import ClassVar, Protocol

from agent.capabilities.base import CapabilityAudit, CapabilityChannel
from protocol.aio.first_of import first_of
from protocol.audit import AuditKind
from protocol.errors import BackendUnavailable, ErrorCode, PeerViolation, Refused, SupportError, Unreachable
from protocol.grantables import Grantable
from protocol.limits import SCREEN_MESSAGE_LIMIT_BYTES
from protocol.messages.screen import FROM_AGENT_CODEC, FROM_TECHNICIAN_CODEC, ScreenFailed


class WorkerConnection(Protocol):
    """The local connection of one screen worker."""

    async def receive(self, limit_bytes: int) -> bytes:
        """The next message. Raises Unreachable at its end, PeerViolation when it is malformed."""
        ...

    async def send(self, payload: bytes) -> None:
        """Pass one message on. Raises Unreachable."""
        ...


class ScreenWorker(Protocol):
    """Starts and ends the worker of this session."""

    def prepare(self) -> dict[str, int]:
        """What the audit is to know before `start`. Raises SupportError when it must not be started."""
        ...

    async def start(self) -> WorkerConnection:
        """Have it started. Raises BackendUnavailable or Unreachable with the code that says why not."""
        ...

    async def why_ended(self) -> ErrorCode:
        """Why it is gone."""
        ...

    async def stop(self) -> None:
        """End it; may be called twice."""
        ...


class ScreenCapability:
    """One screen at a time for each session."""

    name: ClassVar[str] = "screen"
    grantable: ClassVar[Grantable] = Grantable.SCREEN_VIEW

    def __init__(self, worker: ScreenWorker, audit: CapabilityAudit) -> None:
        self._worker = worker
        self._audit = audit
        self._is_serving = False

    async def serve(self, channel: CapabilityChannel) -> None:
        """See `Capability.serve`. The worker is gone when this has ended, however it ended."""
        channel.require(self.grantable)
        if self._is_serving:
            raise Refused("the screen is being shown already", code=ErrorCode.E_BUSY)
        self._audit.write(AuditKind.SCREEN_STARTED, self._prepared())
        self._is_serving = True
        relay = _PictureRelay(channel, self.grantable)
        try:
            await self._show(relay)
        finally:
            self._is_serving = False
            try:
                await self._worker.stop()
            finally:
                self._audit.note(AuditKind.SCREEN_ENDED, {"messages": relay.passed})

    def _prepared(self) -> dict[str, int]:
        try:
            return self._worker.prepare()
        except SupportError as exc:
            self._audit.note(AuditKind.SCREEN_ENDED, {"code": exc.code.value}, succeeded=False)
            raise

    async def _show(self, relay: "_PictureRelay") -> None:
        try:
            connection = await self._worker.start()
        except (BackendUnavailable, Unreachable) as exc:
            await relay.fail(exc.code)
            return
        ended = asyncio.Event()
        await first_of(relay.pictures(connection, ended), relay.answers(connection))
        if ended.is_set():
            await relay.fail(await self._worker.why_ended())


class _PictureRelay:
    def __init__(self, channel: CapabilityChannel, grantable: Grantable) -> None:
        self._channel = channel
        self._grantable = grantable
        self.passed = 0

    async def pictures(self, connection: WorkerConnection, ended: asyncio.Event) -> None:
        while True:
            try:
                message = await connection.receive(SCREEN_MESSAGE_LIMIT_BYTES)
            except (Unreachable, PeerViolation):
                ended.set()
                return
            self._channel.require(self._grantable)
            await self._channel.send(message)
            self.passed += 1

    async def answers(self, connection: WorkerConnection) -> None:
        while True:
            message = await self._channel.receive()
            FROM_TECHNICIAN_CODEC.decode(message)
            self._channel.require(self._grantable)
            try:
                await connection.send(message)
            except Unreachable:
                await asyncio.Event().wait()  # `pictures` sees the end and says why

    async def fail(self, code: ErrorCode) -> None:
        await self._channel.send(FROM_AGENT_CODEC.encode(ScreenFailed(code=code)))
