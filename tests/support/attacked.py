"""Two real ends of a session on real WebSockets, with a hostile relay between them, all in this process.

The agent's link, sessions, consent and capabilities are the product's, and so are the technician's link and
session. Only the desktop is played: it records what would have happened to the person's computer.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.capabilities.base import Capability
from agent.capabilities.commands.capability import CommandsCapability
from agent.capabilities.commands.ledger import CommandLedger
from agent.capabilities.commands.run import CommandSurroundings, PolicyInForce
from agent.desktop import ipc_messages as ipc
from agent.exec.book import CommandBook
from agent.exec.start import worker_starter
from agent.link import LinkParts
from agent.link import RelayLink as AgentLink
from agent.live_session import BuildFor
from agent.service import PolicyIntake
from agent.sessions import Sessions
from agent.state import RelayAddress as AgentRelay
from protocol.aio.backoff import Backoff
from protocol.aio.channel_io import ChannelStream
from protocol.aio.log_in import open_session_wire
from protocol.aio.tunnel_io import TunnelIO
from protocol.aio.wire import Wire
from protocol.audit import AuditRecord
from protocol.errors import SupportError
from protocol.grantables import Grantable
from protocol.identity import Identity
from protocol.ids import DeviceId
from protocol.messages import control
from protocol.messages import input as input_messages
from technician_client.capabilities.commands import run_command
from technician_client.config import TechnicianConfig
from technician_client.link import RelayLink
from technician_client.opening import open_session
from technician_client.policies import PolicyStore
from technician_client.relay_address import RelayAddress
from technician_client.sessions import TechnicianSession
from tests.support.approved_commands import entry, signed_policy
from tests.support.canaries import Overheard
from tests.support.desktop import Answer, FakeDesktop, allow_all
from tests.support.device_end import DeviceEnd, QuietAudit
from tests.support.hostile_relay import HostileRelay
from tests.support.organisation import Organisation, acme

WAIT_S = 15.0
LONG_TEXT = "x" * 3000  # makes a frame that an attack can tell from a heartbeat
LONG_NOTE = "n" * 230


class AttackedDevice(DeviceEnd):
    """A device end that takes its sessions from a relay, and can run commands."""

    def __init__(
        self, organisation: Organisation, folder: Path, relay: HostileRelay, identity: Identity | None = None
    ) -> None:
        """`identity`: of a device that was there before, after a restart or as a copy."""
        super().__init__(organisation, folder)
        if identity is not None:
            self.identity, self.device_id = identity, DeviceId(identity.subject_id)
            self.side = replace(self.side, identity=identity, device_id=self.device_id)
        self.book = CommandBook(folder / "commands.db")
        self.commands_ledger = CommandLedger(self.book)
        self.sessions = Sessions(self.side, lambda offer: _open_wire(relay.url, offer))
        intake = PolicyIntake(self.policies, self.side.audit_log, self.device_id, lambda: None)
        facts = control.DeviceFacts("reception-pc", "linux", "1")
        address = AgentRelay(relay.url, relay.relay_id)
        self.link = AgentLink(
            LinkParts(
                identity=self.identity,
                relay=address,
                tls_ca=None,
                facts=facts,
                on_policy=intake.take,
                on_status=lambda published: self.status_intake()(published.envelope),
                on_successors=lambda published: self.trust_intake().take_successors(published),
                on_offer=self.sessions.offered,
            ),
            Backoff(draw=lambda least, most: 0.05),
        )

    def _build(self, session: BuildFor) -> dict[str, Capability]:
        commands = CommandsCapability(
            CommandSurroundings(
                policy=self._in_force,
                device=self.identity,
                device_group=self.side.group,
                trust=self.policies.trust,
                platform="linux",
                audit=session.audit,
                ledger=self.commands_ledger,
                start_worker=worker_starter(self.book.path),
                utc_now=lambda: datetime.now(UTC),
            )
        )
        return {**super()._build(session), commands.name: commands}

    def _in_force(self) -> PolicyInForce | None:
        policy = self.policies.policy
        return None if policy is None else PolicyInForce(policy, self.policies.envelope)

    def over_causes(self) -> list[str]:
        """With what every session that was let in has ended, and every other one was refused."""
        found = {"session.ended": "cause", "session.refused": "code"}
        return [str(one.facts[found[one.kind]]) for one in self.records() if one.kind in found]

    async def idle(self) -> list[AuditRecord]:
        """Wait until no session is left; the audit log."""
        await until(lambda: not self.sessions._running)
        return self.records()


async def _open_wire(relay_url: str, offer: control.SessionOffered) -> Wire:
    return await open_session_wire(relay_url, offer.route, offer.ticket)


@dataclass
class SideEffects:
    """The oracle: everything that can have happened to the person's computer. Errors are no evidence."""

    desktop: FakeDesktop
    marks: Path  # the one command that there is makes a fresh file here, each time it runs

    @property
    def typed(self) -> list[str]:
        """The texts that reached the desktop."""
        return [one.text for one in self.desktop.injected if isinstance(one, input_messages.TypeText)]

    @property
    def runs(self) -> int:
        """How often a process of the command has been started."""
        return len(list(self.marks.iterdir()))

    def assert_none(self) -> None:
        """Nobody was asked, nothing was shown, nothing was injected, no process ran, no file was made."""
        shown = [order for order in self.desktop.orders if not isinstance(order, ipc.HideIndicator)]
        assert (shown, self.desktop.injected, self.runs) == ([], [], 0)


@dataclass
class Stage:
    """One device, one technician, and the relay that is between them."""

    organisation: Organisation
    folder: Path
    relay: HostileRelay
    device: AttackedDevice
    desktop: FakeDesktop
    effects: SideEffects
    link: RelayLink
    technician: Identity
    audit: QuietAudit = field(default_factory=QuietAudit)

    async def connect(self, device_id: DeviceId | None = None) -> TechnicianSession:
        """A session, as `alongside connect` opens one."""
        wanted = device_id or self.device.device_id
        return await open_session(self.link, wanted, identity=self.technician, audit=self.audit)

    async def channel(self, session: TechnicianSession, grantable: Grantable) -> ChannelStream:
        """Ask for a permission and open its channel."""
        await session.ask([grantable])
        stream = await session.open_channel(grantable)
        if grantable is Grantable.INPUT_CONTROL:
            await stream.receive()
        return stream

    async def run_mark(self, stream: ChannelStream) -> None:
        """Run the command that leaves a mark, to its end."""
        policy = self.device.policies.policy
        assert policy is not None
        found = policy.catalogue.find("mark")
        async for _ in run_command(stream, found, {"note": LONG_NOTE}):
            pass

    async def over(self, session: TechnicianSession) -> str:
        """Wait until the technician's end of a session is over by itself; the cause."""
        task = session._task
        assert task is not None
        await asyncio.wait([task], timeout=WAIT_S)
        assert task.done(), "the technician's end goes on"
        return session._machine.cause


def typed(text: str) -> bytes:
    """An input message that types this."""
    now_ms = int(asyncio.get_running_loop().time() * 1000)
    events = input_messages.InputEvents(now_ms, 0, [input_messages.TypeText(text)])
    return input_messages.FROM_TECHNICIAN_CODEC.encode(events)


def marking_policy(organisation: Organisation, marks: Path) -> PolicyInForce:
    """A policy whose one command makes a fresh file in this folder each time it runs."""
    note = {"type": "choice", "choices": [LONG_NOTE], "description": "What a long request carries"}
    mark = entry("mark", "/usr/bin/mktemp", "-p", str(marks), "--suffix", "{note}", parameters={"note": note})
    return signed_policy(organisation, [mark])


@asynccontextmanager
async def running_device(
    device: AttackedDevice, relay: HostileRelay, answer: Answer = allow_all
) -> AsyncIterator[FakeDesktop]:
    """The device logs in at this relay, and a person sits in front of it."""
    await device.server.open()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(device.server.close)
        tasks = [asyncio.create_task(work) for work in (device.server.serve(), device.link.run())]
        stack.push_async_callback(_ended, tasks)
        desktop = await stack.enter_async_context(FakeDesktop(device.server.socket_path, answer))
        stack.push_async_callback(device.sessions.end_all, "finished")
        await device.desktop_link.attached.wait()
        await until(lambda: device.device_id in relay.rows)
        await until(lambda: not relay.policy or bool(device.policies.version))
        yield desktop


@asynccontextmanager
async def stage(
    folder: Path, *, organisation: Organisation | None = None, answer: Answer = allow_all
) -> AsyncIterator[Stage]:
    """Everything, connected; the device has a policy with one command."""
    organisation = organisation or acme()
    marks = folder / "marks"
    marks.mkdir()
    async with HostileRelay() as relay:
        policy = marking_policy(organisation, marks)
        relay.policy = (policy.policy.version, policy.envelope)
        technician = organisation.technician()
        (folder / "device").mkdir()
        device = AttackedDevice(organisation, folder / "device", relay)
        async with (
            running_device(device, relay, answer) as desktop,
            technician_link(relay, technician, folder / "technician") as link,
        ):
            yield Stage(
                organisation, folder, relay, device, desktop, SideEffects(desktop, marks), link, technician
            )


@asynccontextmanager
async def technician_link(relay: HostileRelay, identity: Identity, folder: Path) -> AsyncIterator[RelayLink]:
    """The technician's link, logged in."""
    folder.mkdir()
    policies = PolicyStore(TechnicianConfig(folder), identity.root_der)
    async with RelayLink(RelayAddress(relay.url, relay.relay_id), identity, policies) as link:
        await link.connected()
        yield link


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def until(is_true: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    """Wait for a fact of the other end."""
    async with asyncio.timeout(timeout_s):
        while True:
            if is_true():
                return
            await asyncio.sleep(0.005)


def tap(monkeypatch: pytest.MonkeyPatch) -> Overheard:
    """What both ends say inside of their tunnels, from now on: what nobody else may hear."""
    plain = Overheard()
    send = TunnelIO.send

    async def tapped(self: TunnelIO, content: bytes) -> None:
        plain.add(str(id(self)), content)
        await send(self, content)

    monkeypatch.setattr(TunnelIO, "send", tapped)
    return plain


async def refusal_of(work: Awaitable[object]) -> str:
    """The code with which this fails; it must fail."""
    with pytest.raises(SupportError) as refused:
        await work
    return str(refused.value.code)
