"""Both ends of a session's channel in one process: real tunnel, channels and grants, wires in memory."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from agent.capabilities.base import Capability
from protocol.aio.channel_io import ChannelIO, ChannelStream
from protocol.aio.tunnel_io import TunnelIO
from protocol.channels import CHANNEL_TERMS
from protocol.errors import ErrorCode, SupportError
from protocol.grantables import Grantable
from protocol.grants import Grant, GrantBook
from protocol.identity import Identity
from protocol.tunnel import Tunnel, TunnelEnd
from tests.support.approved_commands import parties_for
from tests.support.wires import wire_pair


class GrantedStream:
    """A `CapabilityChannel` on a real stream and a real grant book."""

    def __init__(self, stream: ChannelStream, book: GrantBook) -> None:
        self._stream = stream
        self._book = book

    async def send(self, message: bytes) -> None:
        """See `CapabilityChannel`."""
        await self._stream.send(message)

    async def receive(self) -> bytes:
        """See `CapabilityChannel`."""
        return await self._stream.receive()

    def require(self, grantable: Grantable) -> Grant:
        """See `CapabilityChannel`."""
        return self._book.require(grantable, time.monotonic())


async def _tunnelled(device: Identity, technician: Identity) -> tuple[ChannelIO, ChannelIO]:
    near, far = wire_pair()
    device_end = TunnelIO(near, Tunnel(TunnelEnd.DEVICE, device))
    technician_end = TunnelIO(far, Tunnel(TunnelEnd.TECHNICIAN, technician))
    await asyncio.gather(device_end.handshake(), technician_end.handshake())
    return ChannelIO(device_end), ChannelIO(technician_end)


@contextlib.asynccontextmanager
async def served(
    capability: Capability, device: Identity, technician: Identity
) -> AsyncIterator[tuple[ChannelStream, GrantBook]]:
    """The technician's end of a channel that this capability serves at the other, and the device's grants."""
    device_io, technician_io = await _tunnelled(device, technician)
    book = GrantBook(parties_for(device))
    book.mint([capability.grantable], until_s=time.monotonic() + 600)
    terms = CHANNEL_TERMS[capability.name]
    granted = GrantedStream(device_io.open(1, terms), book)
    stream = technician_io.open(1, terms)
    tasks = [
        asyncio.create_task(work)
        for work in (device_io.run(), technician_io.run(), capability.serve(granted))
    ]
    try:
        yield stream, book
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception) and not _is_link_loss(end):
            raise end


def _is_link_loss(end: Exception) -> bool:
    return isinstance(end, SupportError) and end.code is ErrorCode.E_LINK_LOST
