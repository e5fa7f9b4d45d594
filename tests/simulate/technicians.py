"""The technicians: one uses the real client, the other sends whatever a valid certificate lets through."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

import msgspec

from protocol.aio.channel_io import ChannelEnded, ChannelIO, ChannelStream
from protocol.aio.first_of import first_of
from protocol.aio.tunnel_io import TunnelIO
from protocol.aio.wire import Wire
from protocol.catalogue import CommandEntry
from protocol.channels import CHANNEL_TERMS
from protocol.errors import ErrorCode, NotGranted, Refused, SupportError, WrongState
from protocol.grantables import Grantable
from protocol.identity import Identity
from protocol.ids import RequestId
from protocol.messages import commands, session
from protocol.messages import input as input_messages
from protocol.messages.channel import ChannelOpened, CloseChannel, OpenChannel
from protocol.messages.commands import CancelCommand, CommandRefused, RunCommand
from protocol.messages.consent import Ask, AskAnswer, ReleaseGrant
from protocol.tunnel import Tunnel, TunnelEnd
from technician_client.sessions import TechnicianSession
from tests.simulate.oracle import Oracle

REQUEST_IDS = [[RequestId("r-" + letter * 26) for letter in letters] for letters in ("abcd", "efgh")]
"""A rogue's ids, by device: few, so that they come again, in other sessions and after a restart too."""
WISHES = [*Grantable, Grantable.INPUT_CONTROL, Grantable.COMMANDS_RUN]
KEY = input_messages.Key(keysym=0x61, is_pressed=True)


def request_of(entry: CommandEntry, request_id: str) -> RunCommand:
    """A request for this entry."""
    return RunCommand(request_id, entry.command_id, entry.sha256, {})


class HonestHands:
    """Asks, opens channels, works, and leaves; with the real `TechnicianSession`."""

    def __init__(self, chance: Random, oracle: Oracle, entries: list[CommandEntry]) -> None:
        self._chance = chance
        self._oracle = oracle
        self._entries = entries
        self._requests = 0
        self.worked = 0

    async def work(self, live: TechnicianSession, *, asks: int = 0) -> None:
        """One session, to its end."""
        for _ in range(asks or self._chance.choice([1, 1, 2])):
            wished = self._chance.sample(WISHES, self._chance.randint(1, 4))
            answer = await live.ask(
                sorted(set(wished)), length_s=self._chance.choice([10, 30, 600]), reason="simulated"
            )
            for given in sorted(answer.granted, key=lambda each: each.grantable):
                with suppress(ChannelEnded, Refused, NotGranted):
                    await self.use(live, Grantable(given.grantable))
            await asyncio.sleep(self._chance.uniform(0.0, 10.0))

    async def use(self, live: TechnicianSession, grantable: Grantable) -> None:
        """Use one permission."""
        if grantable is Grantable.INPUT_CONTROL:
            stream = await live.open_channel(grantable)
            await stream.receive()
            for _ in range(self._chance.randint(1, 4)):
                events = input_messages.InputEvents(now_ms(), 0, [KEY])
                await stream.send(input_messages.FROM_TECHNICIAN_CODEC.encode(events))
                await asyncio.sleep(self._chance.uniform(0.0, 6.0))
            self.worked += 1
        elif grantable is Grantable.COMMANDS_RUN:
            await self._run_command(await live.open_channel(grantable))

    async def _run_command(self, stream: ChannelStream) -> None:
        self._requests += 1
        request_id = RequestId("r-" + f"{self._chance.getrandbits(64):026d}".translate(_BASE32)[:26])
        request = request_of(self._chance.choice(self._entries), request_id)
        await stream.send(commands.FROM_TECHNICIAN_CODEC.encode(request))
        while True:
            message = commands.FROM_AGENT_CODEC.decode(await stream.receive())
            match message:
                case CommandRefused():
                    self._oracle.command_refused(message.request_id)
                    return
                case commands.CommandEnded():
                    self.worked += 1
                    return


_BASE32 = str.maketrans("0189", "abcd")


class RogueHands:
    """A valid certificate and a program of its own: every message at any time, to any channel."""

    def __init__(
        self, chance: Random, identity: Identity, entries: list[CommandEntry], request_ids: list[RequestId]
    ) -> None:
        self._chance = chance
        self._request_ids = request_ids
        self._identity = identity
        self._entries = entries
        self._grants: list[tuple[str, str]] = [("input", "g-" + "a" * 16)]
        self._io: ChannelIO | None = None
        self._streams: list[tuple[ChannelStream, str]] = []
        self._opened: set[int] = set()
        self._news = asyncio.Event()
        self._asks = 0

    async def work(self, wire: Wire, make_tunnel: Callable[[TunnelEnd, Identity], Tunnel]) -> None:
        """One session, to its end."""
        tunnel = TunnelIO(wire, make_tunnel(TunnelEnd.TECHNICIAN, self._identity))
        try:
            await tunnel.handshake()
            self._io = ChannelIO(tunnel)
            await first_of(self._io.run(), self._hear(self._io), self._say())
        finally:
            await tunnel.close()

    async def _hear(self, io: ChannelIO) -> None:
        while True:
            message = session.FROM_AGENT_CODEC.decode(await io.control.receive())
            if isinstance(message, AskAnswer):
                self._grants += [
                    (Grantable(given.grantable).capability, given.grant_id) for given in message.granted
                ]
                self._news.set()
            if isinstance(message, ChannelOpened):
                self._opened.add(message.channel_no)
            if isinstance(message, session.Heartbeat) and self._chance.random() < 0.95:
                answer = session.HeartbeatAnswer(message.beat_no, message.sent_at_ms, now_ms())
                await io.control.send(session.FROM_TECHNICIAN_CODEC.encode(answer))

    async def _say(self) -> None:
        deeds: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (1, self._ask), (5, self._open), (8, self._use),
            (0.5, self._release), (0.5, self._close), (1, self._wait),
        ]  # fmt: skip
        await self._ask()
        if self._chance.random() < 0.9:
            await self._news.wait()
        for _ in range(self._chance.randint(5, 40)):
            (deed,) = self._chance.choices([each for _, each in deeds], [weight for weight, _ in deeds])
            await deed()
            await asyncio.sleep(self._chance.choice([0.0, 0.0, 0.1, 1.0, 5.0]))

    async def _tell(self, message: session.FromTechnician) -> None:
        assert self._io is not None
        await self._io.control.send(session.FROM_TECHNICIAN_CODEC.encode(message))

    async def _ask(self) -> None:
        self._asks += 1
        wished = self._chance.sample(WISHES, self._chance.randint(1, 4))
        await self._tell(Ask(self._asks, sorted(set(wished)), "now", "", self._chance.choice([10, 30, 600])))

    async def _open(self) -> None:
        assert self._io is not None
        number = self._chance.randint(1, 12)
        capability, grant_id = self._chance.choice(self._grants)
        if self._chance.random() < 0.3:
            capability = self._chance.choice(["input", "commands", "diagnostics", "screen", "nothing"])
        with suppress(WrongState):
            stream = self._io.open(number, CHANNEL_TERMS.get(capability, CHANNEL_TERMS["input"]))
            self._streams.append((stream, capability))
        await self._tell(OpenChannel(number, capability, grant_id))

    async def _use(self) -> None:
        if not self._streams:
            return
        stream, word = self._chance.choice(self._streams)
        if stream.number not in self._opened and self._chance.random() < 0.95:
            return
        if self._chance.random() < 0.05:
            word = self._chance.choice(["input", "commands"])
        request_id = self._chance.choice(self._request_ids)
        message: msgspec.Struct = input_messages.InputEvents(now_ms(), 0, [KEY])
        if word == "commands":
            message = request_of(self._chance.choice(self._entries), request_id)
            if self._chance.random() < 0.2:
                message = CancelCommand(request_id)
        with suppress(ChannelEnded):
            await stream.send(msgspec.msgpack.encode(message))

    async def _release(self) -> None:
        await self._tell(ReleaseGrant(self._chance.choice(self._grants)[1]))

    async def _close(self) -> None:
        await self._tell(CloseChannel(self._chance.randint(1, 12)))

    async def _wait(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.0, 25.0))


def now_ms() -> int:
    """The technician's monotonic clock."""
    return int(asyncio.get_running_loop().time() * 1000)


def is_stated(code: str) -> bool:
    """Whether an end's cause is one of the words of the specification."""
    return code in {*ErrorCode, "finished", "technician_left"}


async def ended_quietly(work: Awaitable[None]) -> str:
    """Do it; how it ended, as a code."""
    try:
        await work
    except SupportError as exc:
        return exc.code.value
    return "finished"
