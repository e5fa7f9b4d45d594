"""Wires and byte streams in memory, for tests that need two real ends and no network."""

import asyncio

from protocol.errors import ErrorCode, Unreachable


class MemoryWire:
    """One end of a pair; bounded, so that back-pressure is felt as on a socket."""

    def __init__(self, outgoing: asyncio.Queue[bytes | None], incoming: asyncio.Queue[bytes | None]) -> None:
        self._outgoing = outgoing
        self._incoming = incoming
        self._is_closed = False
        self.sent: list[bytes] = []

    async def send(self, message: bytes) -> None:
        """Hand over one message; waits while the other end does not read."""
        if self._is_closed:
            raise Unreachable("closed", code=ErrorCode.E_LINK_LOST)
        self.sent.append(message)
        await self._outgoing.put(message)

    async def receive(self) -> bytes:
        """The next message of the other end."""
        if self._is_closed:
            raise Unreachable("closed", code=ErrorCode.E_LINK_LOST)
        message = await self._incoming.get()
        if message is None:
            self._is_closed = True
            raise Unreachable("closed by the other end", code=ErrorCode.E_LINK_LOST)
        return message

    async def close(self) -> None:
        """Close both directions. May be called twice."""
        if not self._is_closed:
            self._is_closed = True
            for queue in (self._outgoing, self._incoming):
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(None)


def wire_pair(capacity_messages: int = 64) -> tuple[MemoryWire, MemoryWire]:
    """Two connected ends."""
    forth: asyncio.Queue[bytes | None] = asyncio.Queue(capacity_messages)
    back: asyncio.Queue[bytes | None] = asyncio.Queue(capacity_messages)
    return MemoryWire(forth, back), MemoryWire(back, forth)
