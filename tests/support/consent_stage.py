"""One session's consent without a network: the real broker, channels and capabilities, effects noted.

The desktop process and the technician's end are the test's own: neither keeps any rule unless the test does.
Everything runs in one event loop, in virtual time if that loop is a `VirtualLoop`.
"""

import asyncio
import atexit
import dataclasses
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import agent.capabilities.diagnostics.snapshot as snapshots
from agent.admission import Admitted, admit
from agent.capabilities.base import Capability
from agent.capabilities.commands.capability import CommandsCapability
from agent.capabilities.commands.ledger import CommandLedger
from agent.capabilities.commands.run import CommandSurroundings, PolicyInForce
from agent.capabilities.diagnostics.capability import DiagnosticsCapability
from agent.capabilities.input.capability import InputCapability
from agent.capabilities.screen.capability import ScreenCapability
from agent.desktop import ipc_messages as ipc
from agent.desktop_link import DesktopLink
from agent.exec.book import CommandBook
from agent.exec.messages import ExecEnded, ExecStarted, ExecVerified, FromWorker, RunOrder
from agent.input_desk import SessionInput
from agent.live_session import BuildFor, DeviceSide, LiveSession, SessionParts
from agent.private_windows import PrivateLists
from agent.session_audit import SessionAudit
from agent.standing import StandingConsents
from agent.worker_desk import SessionWorker, WorkerDesk
from protocol.aio.channel_io import ChannelIO
from protocol.audit import AuditEvent
from protocol.channels import CHANNEL_TERMS, Channels
from protocol.errors import ErrorCode, SupportError, Unreachable
from protocol.grantables import Grantable
from protocol.ids import new_session_id
from protocol.messages import commands, diagnostics, screen
from protocol.messages import input as input_messages
from protocol.messages import session as messages
from protocol.messages.channel import OpenChannel
from protocol.session import SessionMachine
from tests.support.approved_commands import entry, fresh_book, request_for, signed_policy
from tests.support.device_end import DeviceEnd
from tests.support.memory_desk import MemoryConnection, MemoryDesktop
from tests.support.organisation import acme

FRAMES_LIMIT_BYTES = 1 << 20
PICTURE = screen.FROM_AGENT_CODEC.encode(screen.CursorMoved(1, 1))


@dataclass(frozen=True)
class Effect:
    """Something that only a grant allows, and when it happened."""

    grantable: Grantable
    at_s: float


@dataclass
class Effects:
    """The side-effect recorder: the oracle that nothing happened is that it is empty."""

    seen: list[Effect] = field(default_factory=list)

    def note(self, grantable: Grantable) -> None:
        """It happened now."""
        self.seen.append(Effect(grantable, asyncio.get_running_loop().time()))

    @property
    def grantables(self) -> set[Grantable]:
        """What acted at all."""
        return {effect.grantable for effect in self.seen}


class _NotedWorker:
    """An exec worker that starts nothing; `go` is the effect."""

    def __init__(self, effects: Effects) -> None:
        self._effects = effects
        self._said: asyncio.Queue[FromWorker] = asyncio.Queue()
        self._said.put_nowait(ExecVerified(["/usr/bin/true"]))

    async def receive(self) -> FromWorker:
        """See `ExecWorker`."""
        return await self._said.get()

    async def go(self) -> None:
        """See `ExecWorker`."""
        self._effects.note(Grantable.COMMANDS_RUN)
        self._said.put_nowait(ExecStarted(1))
        self._said.put_nowait(ExecEnded(0, False, 0.1, ""))

    def cancel(self) -> None:
        """See `ExecWorker`."""

    async def end(self) -> bool:
        """See `ExecWorker`."""
        return True


_REAL_READER = snapshots.SnapshotReader


class _NotedReader:
    """A snapshot reader that reads nothing; reading is the effect."""

    effects = Effects()

    def __init__(self, _read_displays: object) -> None:
        pass

    async def read(self, request_no: int) -> diagnostics.Snapshot:
        """See `SnapshotReader`."""
        self.effects.note(Grantable.DIAGNOSTICS_READ)
        return diagnostics.Snapshot(request_no, 0.0, None, None, None, [], [], [], [], [], [])


@cache
def command_policy() -> PolicyInForce:
    """A catalogue with one command."""
    return signed_policy(acme(), [entry("nothing", "/usr/bin/true")])


class _Bytes:
    """The technician's bytes to the agent, and back: no TLS, which has its own tests."""

    def __init__(self, on_sent: Callable[[bytes], None]) -> None:
        self._on_sent = on_sent
        self._coming: asyncio.Queue[bytes | None] = asyncio.Queue()

    def feed(self, content: bytes | None) -> None:
        """From the technician; None is the end of the link."""
        self._coming.put_nowait(content)

    async def send(self, content: bytes) -> None:
        """See `ByteStream`."""
        self._on_sent(content)

    async def receive(self) -> bytes:
        """See `ByteStream`."""
        content = await self._coming.get()
        if content is None:
            self._coming.put_nowait(None)
            raise Unreachable("cut", code=ErrorCode.E_LINK_LOST)
        return content

    async def close(self) -> None:
        """See `TunnelIO.close`."""
        self.feed(None)


class _Audit:
    """An audit log in memory."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def append(self, event: AuditEvent) -> None:
        """See `Appends`."""
        self.events.append(event)


class ConsentStage:
    """A live session; `order` is what the desktop does with each order, `heard` gets what the agent says."""

    def __init__(
        self,
        order: Callable[[ipc.ToDesktop], None],
        heard: Callable[[messages.FromAgent], None],
        admitted: Admitted | None = None,
        standing: StandingConsents | None = None,
    ) -> None:
        """`admitted`: another technician than Ada. `standing`: what the person allowed beforehand."""
        self.effects = Effects()
        self.audit = _Audit()
        self.link = DesktopLink()
        self.answers_heartbeats = True
        self._order, self._heard = order, heard
        self._tickets = WorkerDesk()
        self._workers: list[MemoryConnection] = []
        self._frames = Channels()
        self._bytes = _Bytes(self._take)
        self._opened: dict[int, str] = {}
        self._received: list[tuple[int, bytes]] = []
        _NotedReader.effects = self.effects
        snapshots.SnapshotReader = _NotedReader  # until `close`
        self.desktop = MemoryDesktop(self.link, self._tickets, self._obey)
        self._now_s = asyncio.get_running_loop().time
        side, admitted = _side(), admitted or _admitted()
        device = dataclasses.replace(
            side,
            desktop=self.link,
            audit_log=self.audit,
            build_capabilities=self._build,
            patience=type(side.patience)(),
            standing=standing or StandingConsents(None),
        )
        session_id = new_session_id()
        machine = SessionMachine(now_s=self._now_s())
        machine.paired(self._now_s())
        machine.handshake_done()
        over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        audit = SessionAudit(self.audit, device.device_id, session_id, "ada")
        self.session_id = session_id
        io: Any = self._bytes  # stands for the tunnel
        parts = SessionParts(session_id, ChannelIO(io), audit, machine, over, lambda: admitted, "0417")
        self.live = LiveSession(device, parts, admitted)
        self._running = asyncio.create_task(self.live.run(io))

    # -- the technician's end, which keeps no rule

    def say(self, message: messages.FromTechnician) -> None:
        """On channel 0."""
        self.send(0, messages.FROM_TECHNICIAN_CODEC.encode(message))

    def open_channel(self, number: int, capability: str, grant_id: str) -> None:
        """Ask for a channel; from then on `send` sends on it, whatever the agent says."""
        with suppress(SupportError):
            self._frames.open(number, CHANNEL_TERMS[capability])
            self._opened[number] = capability
        self.say(OpenChannel(number, capability, grant_id))

    def send(self, number: int, content: bytes) -> None:
        """A message on this channel."""
        with suppress(SupportError):
            self._frames.send(number, content)
        self._pump()

    def act(self, number: int, capability: str) -> None:
        """What makes this capability act, on this channel."""
        self.send(number, self.action(capability))

    def action(self, capability: str) -> bytes:
        """A message that has an effect, if it is allowed one."""
        match capability:
            case "input":
                now_ms = int(self._now_s() * 1000)
                moved = input_messages.InputEvents(now_ms, 0, [input_messages.PointerMove(1, 1)])
                return input_messages.FROM_TECHNICIAN_CODEC.encode(moved)
            case "diagnostics":
                return diagnostics.FROM_TECHNICIAN_CODEC.encode(diagnostics.ReadSnapshot(1))
            case "commands":
                request = request_for(command_policy().policy.catalogue.find("nothing"))
                return commands.FROM_TECHNICIAN_CODEC.encode(request)
            case _:
                return screen.FROM_TECHNICIAN_CODEC.encode(screen.Refresh())

    def received(self, number: int) -> list[bytes]:
        """What came on this channel."""
        return [content for channel_no, content in self._received if channel_no == number]

    def cut(self) -> None:
        """The link is lost."""
        self._bytes.feed(None)

    async def close(self) -> None:
        """Cut it, and wait until nothing of it is left."""
        snapshots.SnapshotReader = _REAL_READER
        self.cut()
        await self.desktop.close()
        await asyncio.gather(self._running, return_exceptions=True)

    @property
    def is_over(self) -> bool:
        """Whether the session has ended."""
        return self._running.done()

    def _pump(self) -> None:
        while frames := self._frames.next_frames(FRAMES_LIMIT_BYTES):
            self._bytes.feed(frames)

    def _take(self, content: bytes) -> None:
        for message in self._frames.receive(content):
            self._frames.consumed(message)
            if message.channel_no:
                self._received.append((message.channel_no, message.content))
                if self._opened.get(message.channel_no) == "screen":
                    self.effects.note(Grantable.SCREEN_VIEW)
                continue
            decoded = messages.FROM_AGENT_CODEC.decode(message.content)
            if isinstance(decoded, messages.Heartbeat) and self.answers_heartbeats:
                at_ms = int(self._now_s() * 1000)
                self.say(messages.HeartbeatAnswer(decoded.beat_no, decoded.sent_at_ms, at_ms))
            self._heard(decoded)
        self._pump()

    # -- the desktop's end

    def _obey(self, order: ipc.ToDesktop) -> None:
        match order:
            case ipc.Inject():
                self.effects.note(Grantable.INPUT_CONTROL)
            case ipc.StartScreen():
                self.effects.note(Grantable.SCREEN_VIEW)
                worker = self.desktop.start_worker(order)
                worker.say(PICTURE)
                self._workers.append(worker)
            case ipc.StopScreen():
                for worker in self._workers:
                    worker.close()
            case ipc.AllowInput():
                self.desktop.say(ipc.InputAllowed(order.session_id, ""))
            case _:
                pass
        self._order(order)

    def paint(self) -> None:
        """Every worker that lives sends another picture."""
        for worker in self._workers:
            worker.say(PICTURE)

    def _build(self, session: BuildFor) -> dict[str, Capability]:
        async def start_worker(_: RunOrder) -> _NotedWorker:
            return _NotedWorker(self.effects)

        async def read_displays() -> tuple[list[diagnostics.Display], str]:
            return [], ""

        surroundings = CommandSurroundings(
            policy=command_policy,
            device=_side().identity,
            device_group="default",
            trust=_side().identity.root_der,
            platform="linux",
            audit=session.audit,
            ledger=CommandLedger(_book()),
            start_worker=start_worker,
            utc_now=lambda: datetime.now(UTC),
            monotonic_s=self._now_s,
        )
        built: list[Capability] = [
            ScreenCapability(SessionWorker(self._tickets, session.desk, "auto", PrivateLists), session.audit),
            InputCapability(SessionInput(session.desk), session.audit, session.peer_clock, self._now_s),
            DiagnosticsCapability(read_displays, session.audit),
            CommandsCapability(surroundings),
        ]
        return {capability.name: capability for capability in built}


@cache
def _end() -> DeviceEnd:
    folder = mkdtemp()
    atexit.register(rmtree, folder)
    return DeviceEnd(acme(), Path(folder))


@cache
def _book() -> CommandBook:
    return fresh_book()


@cache
def _side() -> DeviceSide:
    return _end().side


@cache
def _admitted() -> Admitted:
    end = _end()
    chain = acme().technician().chain
    return admit(chain, end.policies, group="default", now=datetime.now(UTC))
