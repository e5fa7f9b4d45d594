"""The device's end of a session, driven line by line by a test: a real tunnel, no rules of its own."""

import asyncio
from types import TracebackType
from typing import Self

from protocol.aio.channel_io import ChannelIO, ChannelStream
from protocol.aio.tunnel_io import TunnelIO
from protocol.aio.wire import Wire
from protocol.channels import CHANNEL_TERMS
from protocol.identity import Identity
from protocol.messages import session as wire_messages
from protocol.messages.channel import ChannelOpened, OpenChannel
from protocol.messages.consent import Ask, AskAnswer, GivenGrant
from protocol.messages.session import EndSession, Heartbeat, HeartbeatAnswer, Ready
from protocol.tunnel import Tunnel, TunnelEnd
from protocol.version import PROTOCOL_VERSION

RECEIVE_LIMIT_S = 5.0


class ScriptedAgent:
    """Use as `async with`; the handshake runs in the background until `ready` or `send` waits for it."""

    def __init__(self, wire: Wire, identity: Identity, session_id: str) -> None:
        self._tunnel = TunnelIO(wire, Tunnel(TunnelEnd.DEVICE, identity))
        self._session_id = session_id
        self._task = asyncio.create_task(self._run())
        self._is_up = asyncio.Event()
        self.io: ChannelIO | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._tunnel.close()

    async def _run(self) -> None:
        await self._tunnel.handshake()
        self.io = ChannelIO(self._tunnel)
        self._is_up.set()
        await self.io.run()

    async def up(self) -> ChannelIO:
        """The channels, once the tunnel stands."""
        await self._is_up.wait()
        assert self.io is not None
        return self.io

    async def send(self, message: wire_messages.FromAgent) -> None:
        """Send one message on the control channel."""
        await (await self.up()).control.send(wire_messages.FROM_AGENT_CODEC.encode(message))

    async def ready(self, *, session_id: str = "", version: int = PROTOCOL_VERSION) -> None:
        """Send Ready."""
        given = session_id or self._session_id
        await self.send(Ready(version, given, "reception-pc", "Acme", "ask", ["screen.view"]))

    async def receive_any(self) -> wire_messages.FromTechnician:
        """The next control message, heartbeats included."""
        io = await self.up()
        async with asyncio.timeout(RECEIVE_LIMIT_S):
            return wire_messages.FROM_TECHNICIAN_CODEC.decode(await io.control.receive())

    async def receive(self) -> wire_messages.FromTechnician:
        """The next control message that is no heartbeat; heartbeats are answered."""
        while True:
            message = await self.receive_any()
            match message:
                case Heartbeat(beat_no, sent_at_ms):
                    await self.send(HeartbeatAnswer(beat_no, sent_at_ms, sent_at_ms))
                case HeartbeatAnswer():
                    pass
                case _:
                    return message

    async def allow(self) -> Ask:
        """Wait for an ask, and grant all of it for a minute."""
        ask = await self.receive()
        assert isinstance(ask, Ask)
        granted = [GivenGrant(f"g-{word}", word, 60.0) for word in ask.grantables]
        await self.send(AskAnswer(ask.ask_no, granted, {}))
        return ask

    async def refuse(self, code: str) -> None:
        """Wait for an ask, and refuse all of it."""
        ask = await self.receive()
        assert isinstance(ask, Ask)
        await self.send(AskAnswer(ask.ask_no, [], dict.fromkeys(ask.grantables, code)))

    async def open_channel(self) -> ChannelStream:
        """Wait for a channel to be asked for, and open it."""
        order = await self.receive()
        assert isinstance(order, OpenChannel)
        stream = (await self.up()).open(order.channel_no, CHANNEL_TERMS[order.capability])
        await self.send(ChannelOpened(order.channel_no))
        return stream

    async def wait_for_end(self) -> str:
        """The cause that the technician's end gives."""
        while not isinstance(message := await self.receive(), EndSession):
            pass
        return message.cause
