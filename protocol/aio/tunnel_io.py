"""Runs a `Tunnel` over a `Wire`: the end-to-end TLS inside the relay's opaque messages."""

import asyncio
from contextlib import suppress
from typing import Protocol

from protocol.aio.wire import Wire
from protocol.errors import ErrorCode, PeerViolation, SupportError, Unreachable
from protocol.limits import HANDSHAKE_LIMIT_S
from protocol.tunnel import HandshakeDone, PeerClosed, Plaintext, Tunnel, TunnelEvent

ALERT_TIMEOUT_S = 1.0


class ByteStream(Protocol):
    """Ordered plain bytes between the two ends of a session."""

    async def send(self, content: bytes) -> None:
        """Hand bytes over; waits while the wire is full. Raises Unreachable (E_LINK_LOST)."""
        ...

    async def receive(self) -> bytes:
        """The next bytes, never empty. Raises Unreachable (E_LINK_LOST), PeerViolation."""
        ...


class TunnelIO:
    """One tunnel on one wire. Call `handshake` first, and once."""

    def __init__(self, wire: Wire, tunnel: Tunnel) -> None:
        self._wire = wire
        self._tunnel = tunnel
        self._early = b""
        self._failure: SupportError | None = None
        self._sending = asyncio.Lock()

    async def handshake(self) -> HandshakeDone:
        """Complete TLS within HANDSHAKE_LIMIT_S, whatever the pace of single messages.

        Raises:
            PeerViolation: E_HANDSHAKE. CertificateRefused: the chain. Unreachable: the link was lost.
        """
        try:
            async with asyncio.timeout(HANDSHAKE_LIMIT_S):
                self._tunnel.start()
                return await self._until_done()
        except TimeoutError:
            raise PeerViolation("handshake took too long", code=ErrorCode.E_HANDSHAKE) from None

    async def _until_done(self) -> HandshakeDone:
        while True:
            await self._flush()
            events = await self._fed(await self._wire.receive())
            done = next((event for event in events if isinstance(event, HandshakeDone)), None)
            self._early += b"".join(event.content for event in events if isinstance(event, Plaintext))
            if done is not None:
                await self._flush()
                return done

    async def send(self, content: bytes) -> None:
        """See `ByteStream.send`."""
        async with self._sending:
            if self._failure is not None:
                raise self._failure  # why it is over, not that a sender came too late to know
            self._tunnel.send(content)
            for piece in self._tunnel.outgoing():
                await self._wire.send(piece)

    async def receive(self) -> bytes:
        """See `ByteStream.receive`."""
        while not self._early:
            for event in await self._fed(await self._wire.receive()):
                match event:
                    case Plaintext(content):
                        self._early += content
                    case PeerClosed():
                        raise Unreachable("the peer closed the tunnel", code=ErrorCode.E_LINK_LOST)
                    case HandshakeDone():
                        raise PeerViolation("a second handshake", code=ErrorCode.E_HANDSHAKE)
            await self._flush()
        content, self._early = self._early, b""
        return content

    async def close(self) -> None:
        """Say goodbye inside TLS if it still can be said, and close the wire. May be called twice."""
        self._tunnel.close()
        try:
            await self._flush()
        except Unreachable:
            pass  # the wire is gone already, which is what closing is for
        finally:
            await self._wire.close()

    async def _fed(self, received: bytes) -> list[TunnelEvent]:
        try:
            return self._tunnel.feed(received)
        except SupportError as exc:
            self._failure = exc
            with suppress(SupportError, TimeoutError):  # the alert that tells the peer why
                async with asyncio.timeout(ALERT_TIMEOUT_S):
                    await self._flush()
            raise

    async def _flush(self) -> None:
        async with self._sending:
            for piece in self._tunnel.outgoing():
                await self._wire.send(piece)
