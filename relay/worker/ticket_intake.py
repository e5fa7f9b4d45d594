"""What a session socket may send before its ticket was taken."""

import asyncio
from typing import cast

from protocol.limits import TICKET_LIMIT_BYTES
from relay.intake import PassesOn

# a ticket, cut into frames by a proxy at the worst, and pings around it
TICKET_INTAKE_BYTES = 8 * TICKET_LIMIT_BYTES
_SLICE_BYTES = 2 * TICKET_LIMIT_BYTES


class TicketIntake(PassesOn, asyncio.BufferedProtocol):
    """Takes the place of a transport's protocol, and reads little for it, until `lift` is called.

    The WebSocket parser itself would collect a whole message of the size that sessions may send, and fill a
    buffer of any size with what comes behind a message that it refused.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._inner: asyncio.BufferedProtocol = cast(asyncio.BufferedProtocol, transport.get_protocol())
        self._left_bytes = TICKET_INTAKE_BYTES
        transport.set_protocol(self)

    def lift(self) -> None:
        """The ticket was taken; may be said again."""
        if self._transport.get_protocol() is self:
            self._transport.set_protocol(self._inner)

    def get_buffer(self, sizehint: int) -> memoryview:
        """See `asyncio.BufferedProtocol`."""
        return memoryview(self._inner.get_buffer(sizehint))[:_SLICE_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        self._left_bytes -= nbytes
        if self._left_bytes < 0:
            self._transport.abort()
        else:
            self._inner.buffer_updated(nbytes)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self._inner.connection_lost(exc)
