"""The channels of one session: opened against a grant, in this one place, and served by a capability each."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from agent.capabilities.base import Capability
from agent.rate import RateLimit
from agent.session_audit import SessionAudit
from agent.session_consent import SessionConsent
from protocol.aio.channel_io import ChannelIO, ChannelStream
from protocol.audit import AuditKind
from protocol.channels import CHANNEL_TERMS
from protocol.errors import (
    DocumentRefused,
    EnvironmentFault,
    ErrorCode,
    NotGranted,
    PeerViolation,
    Refused,
    SupportError,
    WrongState,
)
from protocol.grantables import Grantable
from protocol.grants import Grant
from protocol.messages.channel import ChannelClosed, ChannelOpened, ChannelRefused, CloseChannel, OpenChannel
from protocol.names import shown_text

log = structlog.get_logger()

FINISHED = "finished"
REFUSALS_LIMIT = 32
OPENED_PER_MINUTE_LIMIT = 120  # each one is written down, and on the disk before the next

Answer = ChannelOpened | ChannelRefused | ChannelClosed


class GrantedChannel:
    """Implements `CapabilityChannel`: every use goes back to the grant book.

    No message passes, in either direction, unless the grant lives at that moment: a handler that forgets to
    ask still gets nothing to act on. It is of one grantable, and vouches for no other one.
    """

    def __init__(self, stream: ChannelStream, consent: SessionConsent, grantable: Grantable) -> None:
        self._stream = stream
        self._consent = consent
        self._grantable = grantable

    async def send(self, message: bytes) -> None:
        """See `CapabilityChannel.send`."""
        self.require(self._grantable)
        await self._stream.send(message)

    async def receive(self) -> bytes:
        """See `CapabilityChannel.receive`."""
        message = await self._stream.receive()
        self.require(self._grantable)
        return message

    def require(self, grantable: Grantable) -> Grant:
        """See `CapabilityChannel.require`."""
        if grantable is not self._grantable:
            raise NotGranted(f"{grantable} on the channel of {self._grantable}")
        return self._consent.require(grantable)


@dataclass(frozen=True, slots=True)
class _Served:
    grantable: Grantable
    stream: ChannelStream
    task: asyncio.Task[None]


@dataclass(frozen=True, slots=True)
class ChannelParts:
    """What a session's channels work with."""

    channels: ChannelIO
    consent: SessionConsent
    audit: SessionAudit
    tell: Callable[[Answer], Awaitable[None]]
    end_session: Callable[[ErrorCode], None]


class SessionChannels:
    """Opens, serves and closes. `capabilities` may grow while the session lives."""

    def __init__(self, parts: ChannelParts, capabilities: Mapping[str, Capability]) -> None:
        self._parts = parts
        self._capabilities = capabilities
        self._served: dict[int, _Served] = {}
        self._refusals = 0
        self._opened = RateLimit(OPENED_PER_MINUTE_LIMIT, 60.0)

    async def open(self, asked: OpenChannel) -> None:
        """Open a channel or refuse it; a refusal is answered and written, and the session goes on."""
        if not self._opened.allows(asyncio.get_running_loop().time()):
            self._parts.end_session(ErrorCode.E_RATE)
            return
        try:
            capability = self._admit(asked)
            stream = self._opened_stream(capability, asked.channel_no)
        except (Refused, WrongState, EnvironmentFault, DocumentRefused) as exc:
            self._refusals += 1
            if self._refusals > REFUSALS_LIMIT:
                self._parts.end_session(ErrorCode.E_RATE)
                return
            named = shown_text(asked.capability, 32)
            self._parts.audit.note(
                AuditKind.CHANNEL_REFUSED, {"capability": named, "code": str(exc.code)}, succeeded=False
            )
            await self._parts.tell(ChannelRefused(channel_no=asked.channel_no, code=exc.code))
            return
        await self._parts.tell(ChannelOpened(channel_no=asked.channel_no))
        task = asyncio.create_task(self._serve(capability, stream))
        self._served[stream.number] = _Served(capability.grantable, stream, task)

    def _opened_stream(self, capability: Capability, channel_no: int) -> ChannelStream:
        stream = self._parts.channels.open(channel_no, CHANNEL_TERMS[capability.name])
        try:
            self._parts.audit.write(AuditKind.CHANNEL_OPENED, {"capability": capability.name})
        except SupportError:
            stream.close()
            raise
        return stream

    def _admit(self, asked: OpenChannel) -> Capability:
        capability = self._capabilities.get(asked.capability)
        if capability is None or asked.capability not in CHANNEL_TERMS:
            raise NotGranted(f"no capability {asked.capability[:32]!r}")
        grant = self._parts.consent.require(capability.grantable)
        if grant.grant_id != asked.grant_id:
            raise NotGranted("another grant's id")
        return capability

    async def close(self, asked: CloseChannel) -> None:
        """The technician is done with it."""
        served = self._served.get(asked.channel_no)
        if served is not None:
            await self._cut([served])

    async def end_for(self, grantable: Grantable, code: ErrorCode) -> None:
        """A grant is over: its channels end, and nothing of them acts any more when this returns."""
        ending = [served for served in self._served.values() if served.grantable is grantable]
        await self._cut(ending)
        for served in ending:
            await self._parts.tell(ChannelClosed(channel_no=served.stream.number, code=code))

    async def end_all(self) -> None:
        """The session is over."""
        await self._cut(list(self._served.values()))

    async def _cut(self, ending: list[_Served]) -> None:
        for served in ending:
            self._served.pop(served.stream.number, None)
            served.task.cancel()
        await asyncio.gather(*(served.task for served in ending), return_exceptions=True)
        for served in ending:
            served.stream.close(ErrorCode.E_GRANT_ENDED)

    async def _serve(self, capability: Capability, stream: ChannelStream) -> None:
        code = await self._run(capability, stream)
        if code is None:
            return
        self._served.pop(stream.number, None)
        try:
            async with asyncio.timeout(2.0):
                await self._parts.channels.drain()
            await self._parts.tell(ChannelClosed(channel_no=stream.number, code=code))
        except (SupportError, TimeoutError):
            log.debug("channel.over", channel_no=stream.number)
        finally:
            stream.close()

    async def _run(self, capability: Capability, stream: ChannelStream) -> str | None:
        """Serve, and say how it ended; None when the whole session ends with it."""
        try:
            await capability.serve(GrantedChannel(stream, self._parts.consent, capability.grantable))
        except PeerViolation as exc:
            log.warning(
                "channel.violation", capability=capability.name, code=str(exc.code), detail=exc.detail
            )
            self._parts.end_session(exc.code)
            return None
        except SupportError as exc:
            log.info("channel.ended", capability=capability.name, code=str(exc.code), detail=exc.detail)
            return exc.code
        except Exception:
            log.exception("channel.failed", capability=capability.name)
            self._parts.end_session(ErrorCode.E_INTERNAL)
            return None
        return FINISHED
