"""The service's part of `screen`: starts the worker and passes messages both ways, unread and bounded.

Pictures are read from the worker one at a time and only when the channel took the last one, so a slow
network slows the worker down instead of filling memory. A worker that dies by itself is started again once.
"""

import asyncio
from typing import ClassVar, Protocol

import structlog

from agent.capabilities.base import CapabilityAudit, CapabilityChannel
from agent.capabilities.screen.lifetime import Input, Order, WorkerLife, what_ended
from protocol.aio.first_of import first_of
from protocol.audit import AuditKind
from protocol.errors import BackendUnavailable, ErrorCode, PeerViolation, Refused, SupportError, Unreachable
from protocol.grantables import Grantable
from protocol.limits import SCREEN_MESSAGE_LIMIT_BYTES
from protocol.messages.screen import (
    FROM_AGENT_CODEC,
    FROM_TECHNICIAN_CODEC,
    RestartSeen,
    ScreenFailed,
    ScreenRestarted,
)

log = structlog.get_logger()

LAST_WORD_LIMIT_BYTES = 160
"""A `screen.failed` is not longer; what is longer passes unread."""


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

    async def why_ended(self) -> ErrorCode | None:
        """Why it is gone; None when nobody says that it ended by itself."""
        ...

    async def stop(self) -> None:
        """End it; may be called twice, and `start` again after it."""
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
        showing = _Showing(self._worker, self._audit, relay)
        try:
            await showing.run()
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


class _Showing:
    """One channel's screen; `WorkerLife` says what comes next, this does it."""

    def __init__(self, worker: ScreenWorker, audit: CapabilityAudit, relay: "_PictureRelay") -> None:
        self._worker = worker
        self._audit = audit
        self._relay = relay
        self._life = WorkerLife()
        self._code: ErrorCode | str = ErrorCode.E_SCREEN_FAILED
        self._connection: WorkerConnection | None = None

    async def run(self) -> None:
        """Until the worker is gone for good; cancelled when the channel ends."""
        given: Input | None = await self._start()
        while given is not None:
            given = await self._obey(self._life.step(given))

    async def _obey(self, order: Order) -> Input | None:
        match order:
            case Order.SHOW:
                return await self._show()
            case Order.START_AGAIN:
                return await self._start_again()
            case Order.TELL_AND_SHOW:
                await self._relay.restarted()
                return await self._show()
            case Order.FAIL:
                await self._relay.fail(self._code)
        return None

    async def _start(self) -> Input:
        try:
            self._connection = await self._worker.start()
        except (BackendUnavailable, Unreachable) as exc:
            self._code = exc.code
            return Input.FAILED
        return Input.CAME

    async def _start_again(self) -> Input:
        self._relay.require()
        self._audit.write(AuditKind.SCREEN_RESTARTED, {"code": str(self._code)})
        log.warning("screen.restarted", code=str(self._code))
        await self._worker.stop()  # its connection; and whatever may be left of the process
        return await self._start()

    async def _show(self) -> Input:
        assert self._connection is not None
        said = await self._relay.run(self._connection)
        if said is not None and said != ErrorCode.E_SCREEN_FAILED:
            self._code = said  # known already, so nobody waits for the end of the process
            return Input.FAILED
        told = await self._worker.why_ended()
        self._code = said or told or ErrorCode.E_SCREEN_FAILED
        return what_ended(said, told)


class _PictureRelay:
    def __init__(self, channel: CapabilityChannel, grantable: Grantable) -> None:
        self._channel = channel
        self._grantable = grantable
        self._is_restart_unseen = False
        self._said: str | None = None
        self.passed = 0

    def require(self) -> None:
        """Raises NotGranted when the grant is over."""
        self._channel.require(self._grantable)

    async def run(self, connection: WorkerConnection) -> str | None:
        """Pass on both ways until the worker is gone; the code of its last word, if it had one."""
        self._said = None
        await first_of(self._pictures(connection), self._answers(connection))
        return self._said

    async def _pictures(self, connection: WorkerConnection) -> None:
        while True:
            try:
                message = await connection.receive(SCREEN_MESSAGE_LIMIT_BYTES)
                self._said = _last_word(message)
            except (Unreachable, PeerViolation):
                return
            if self._said is not None:
                return
            self.require()
            await self._channel.send(message)
            self.passed += 1

    async def _answers(self, connection: WorkerConnection) -> None:
        while True:
            message = await self._channel.receive()
            decoded = FROM_TECHNICIAN_CODEC.decode(message)
            self.require()
            if isinstance(decoded, RestartSeen):
                self._restart_seen()
            elif not self._is_restart_unseen:
                await self._pass_down(connection, message)

    async def _pass_down(self, connection: WorkerConnection, message: bytes) -> None:
        try:
            await connection.send(message)
        except Unreachable:
            await asyncio.Event().wait()  # `_pictures` sees the end and says why

    def _restart_seen(self) -> None:
        if not self._is_restart_unseen:
            raise PeerViolation("a restart seen that there was not")
        self._is_restart_unseen = False

    async def restarted(self) -> None:
        """Another worker goes on; what the viewer says is dropped until it knows."""
        self._is_restart_unseen = True
        await self._channel.send(FROM_AGENT_CODEC.encode(ScreenRestarted()))

    async def fail(self, code: str) -> None:
        """Say why nothing more comes."""
        await self._channel.send(FROM_AGENT_CODEC.encode(ScreenFailed(code=code)))


def _last_word(message: bytes) -> str | None:
    """The code, if this is the worker's `screen.failed`. Raises PeerViolation for what is no message."""
    if len(message) > LAST_WORD_LIMIT_BYTES:
        return None
    decoded = FROM_AGENT_CODEC.decode(message)
    return decoded.code if isinstance(decoded, ScreenFailed) else None
