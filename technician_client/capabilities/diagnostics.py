"""Reads the device's diagnostics over an open `diagnostics` channel."""

import asyncio
from typing import Protocol

from protocol.errors import ErrorCode, PeerViolation, Unreachable
from protocol.messages.diagnostics import FROM_AGENT_CODEC, FROM_TECHNICIAN_CODEC, ReadSnapshot, Snapshot

SNAPSHOT_TIMEOUT_S = 30.0


class MessageStream(Protocol):
    """A channel of a session; `protocol.aio.channel_io.ChannelStream` is one."""

    async def send(self, message: bytes) -> None:
        """Queue a message."""
        ...

    async def receive(self) -> bytes:
        """The next message; raises SupportError when the channel is over."""
        ...


async def read_snapshot(stream: MessageStream, request_no: int = 1) -> Snapshot:
    """Ask for one snapshot and wait for it.

    Raises:
        Unreachable: E_PEER_SILENT, it did not come. PeerViolation: it answers something else.
        SupportError: the channel ended.
    """
    try:
        async with asyncio.timeout(SNAPSHOT_TIMEOUT_S):
            await stream.send(FROM_TECHNICIAN_CODEC.encode(ReadSnapshot(request_no)))
            snapshot = FROM_AGENT_CODEC.decode(await stream.receive())
    except TimeoutError:
        raise Unreachable("no snapshot came", code=ErrorCode.E_PEER_SILENT) from None
    if snapshot.request_no != request_no:
        raise PeerViolation(f"snapshot {snapshot.request_no} instead of {request_no}")
    return snapshot
