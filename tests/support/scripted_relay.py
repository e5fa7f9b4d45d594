"""The relay's end of a control link, driven line by line by a test; wires in memory, no rules of its own."""

import asyncio

from protocol.errors import ErrorCode, Unreachable
from protocol.limits import NONCE_BYTES
from protocol.messages import control
from protocol.version import PROTOCOL_VERSION
from technician_client.relay_address import RelayAddress
from tests.support.wires import MemoryWire, wire_pair

RECEIVE_LIMIT_S = 5.0
RELAY_ID = "relay-1"


class ScriptedRelay:
    """`open_wire` is what a link is given; each connection has to be accepted by the test."""

    def __init__(self) -> None:
        self.is_down = False
        self._connections: asyncio.Queue[MemoryWire] = asyncio.Queue()
        self._wire: MemoryWire | None = None

    async def open_wire(self, relay: RelayAddress) -> MemoryWire:
        """A new connection, or Unreachable while the relay is down."""
        if self.is_down:
            raise Unreachable(relay.url)
        near, far = wire_pair()
        self._connections.put_nowait(far)
        return near

    async def accept(self) -> control.PreLogin:
        """Take the next connection and send the challenge; returns what the client answers."""
        async with asyncio.timeout(RECEIVE_LIMIT_S):
            self._wire = await self._connections.get()
            await self.send(control.Challenge(PROTOCOL_VERSION, b"n" * NONCE_BYTES, RELAY_ID))
            return control.PRE_LOGIN_CODEC.decode(await self._wire.receive())

    async def welcome(self) -> None:
        """Accept the next connection and log it in."""
        log_in = await self.accept()
        assert isinstance(log_in, control.LogIn)
        await self.send(control.Welcome("0" * 64, "ada", "technician", 15.0, ""))

    async def refuse(self, code: ErrorCode) -> None:
        """Accept the next connection and refuse its log-in."""
        await self.accept()
        await self.send(control.Refused(0, code))

    async def send(self, message: control.FromRelay) -> None:
        """Send one message on the newest connection."""
        assert self._wire is not None
        await self._wire.send(control.FROM_RELAY_CODEC.encode(message))

    async def send_bytes(self, content: bytes) -> None:
        """Send what no relay of ours would."""
        assert self._wire is not None
        await self._wire.send(content)

    async def receive(self) -> control.FromClient:
        """The client's next message that is no ping."""
        assert self._wire is not None
        while True:
            async with asyncio.timeout(RECEIVE_LIMIT_S):
                message = control.FROM_CLIENT_CODEC.decode(await self._wire.receive())
            if not isinstance(message, control.Ping):
                return message

    async def hang_up(self) -> None:
        """Close the newest connection."""
        assert self._wire is not None
        await self._wire.close()
