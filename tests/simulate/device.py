"""One simulated device: the agent's real sessions, and what lasts over its restarts."""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import ClassVar

from agent.capabilities.base import Capability, CapabilityChannel
from agent.capabilities.commands.aftermath import settle_open_requests
from agent.capabilities.commands.capability import CommandsCapability
from agent.capabilities.commands.ledger import CommandLedger
from agent.capabilities.commands.run import CommandSurroundings, PolicyInForce
from agent.capabilities.input.capability import InputCapability
from agent.desktop_link import DesktopLink
from agent.exec.book import CommandBook
from agent.exec.messages import RunOrder
from agent.input_desk import SessionInput
from agent.live_session import BuildFor, DeviceSide
from agent.policy_store import PolicyStore
from agent.session_audit import SessionAudit
from agent.sessions import Sessions
from protocol.aio.wire import Wire
from protocol.audit import AuditEvent
from protocol.errors import EnvironmentFault, ErrorCode, Refused, SupportError
from protocol.grantables import Grantable
from protocol.identity import Identity
from protocol.ids import DeviceId
from protocol.messages.control import SessionDeclined, SessionOffered, SessionRoute
from protocol.private_files import write_private_file
from tests.simulate.desktop import Person, SimulatedDesktop
from tests.simulate.exec_worker import SimulatedWorker, WorkerTerms
from tests.simulate.loop import VirtualLoop
from tests.simulate.network import Link
from tests.simulate.oracle import Oracle

PAIRING_S = 0.01
GROUP = "default"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a device finds around it."""

    loop: VirtualLoop
    oracle: Oracle
    folder: Path
    chance: Random
    wall: Callable[[], datetime]
    link_of: Callable[[str], Link]
    note: Callable[[str], None]
    person_answers_always: bool


class SimulatedAudit:
    """Keeps records as long as it works; what it took is on the disk, also after a kill."""

    def __init__(self, oracle: Oracle, loop: VirtualLoop) -> None:
        self._oracle = oracle
        self._loop = loop
        self.fails_until_s = 0.0

    def append(self, event: AuditEvent) -> None:
        """See `agent.session_audit.Appends`."""
        if self._loop.time() < self.fails_until_s:
            raise EnvironmentFault("the disk is full", code=ErrorCode.E_AUDIT_WRITE)
        self._oracle.recorded(event)


class PlayedCapability:
    """A capability that has no effect of its own; it asks for its grant at each message."""

    name: ClassVar[str]
    grantable: ClassVar[Grantable]

    async def serve(self, channel: CapabilityChannel) -> None:
        """See `Capability.serve`."""
        while True:
            await channel.receive()
            channel.require(self.grantable)


class PlayedScreen(PlayedCapability):
    """Stands for the screen."""

    name = "screen"
    grantable = Grantable.SCREEN_VIEW


class PlayedDiagnostics(PlayedCapability):
    """Stands for diagnostics."""

    name = "diagnostics"
    grantable = Grantable.DIAGNOSTICS_READ


class SimulatedDevice:
    """An agent that can be killed and started again, with its desktop process."""

    def __init__(self, around: Surroundings, identity: Identity, name: str, first_policy: bytes) -> None:
        self._around = around
        self.identity = identity
        self.device_id = DeviceId(identity.subject_id)
        self.name = name
        self.person = Person(around.chance, answers_always=around.person_answers_always)
        self.audit = SimulatedAudit(around.oracle, around.loop)
        self.clock_offset_s = 0.0
        self._starts = self._desktops = 0
        disk = around.folder / name
        shutil.rmtree(disk, ignore_errors=True)
        disk.mkdir()
        self._policy_path = disk / "policy.dsse"
        write_private_file(self._policy_path, first_policy)
        self._book_path = disk / "commands.db"
        self.sessions: Sessions | None = None
        self.desktop: SimulatedDesktop | None = None
        self.can_be_killed_in_commands = False
        self.session_ids: list[str] = []

    @property
    def program(self) -> str:
        """What runs now: a new name for each start."""
        return f"{self.name}.{self._starts}"

    def start(self) -> None:
        """The agent starts, from nothing but what is on its disk."""
        self._starts += 1
        around = self._around
        self._link = DesktopLink()
        self.policies = PolicyStore(self._policy_path, self.identity.root_der)
        self.policies.load(around.wall())
        side = DeviceSide(
            identity=self.identity,
            device_id=self.device_id,
            device_name=self.name,
            organisation_name="Acme",
            group=GROUP,
            policies=self.policies,
            desktop=self._link,
            audit_log=self.audit,
            build_capabilities=self._builder(),
        )
        self.sessions = Sessions(side, self._open_wire)
        self.attach_desktop()

    def start_again(self) -> None:
        """Start, unless it runs."""
        if self.sessions is None:
            self.start()

    def attach_desktop(self) -> None:
        """A desktop process starts, if none runs."""
        if self.sessions is not None and (self.desktop is None or self.desktop.is_dead):
            self._desktops += 1
            program = f"{self.name}.desktop.{self._desktops}"
            self.desktop = SimulatedDesktop(self._around.loop, self._around.oracle, self.person, program)
            self.desktop.attach(self._link, self.program)

    def kill(self) -> None:
        """SIGKILL of the service; the kernel closes its sockets and its desktop process ends with it."""
        if self.sessions is None:
            return
        self._around.note(f"{self.program} is killed")
        self._around.loop.kill(self.program)
        self._around.oracle.session_ended_with_its_program(self.session_ids)
        for session_id in self.session_ids:
            link = self._around.link_of(session_id)
            link.device.die()
        if self.desktop is not None:
            self.desktop.die()
        self.sessions = None

    def offer(self, session_id: str, declined: Callable[[str], None]) -> None:
        """A relay says that somebody wants a session."""
        if self.sessions is None:
            declined(ErrorCode.E_DEVICE_AWAY)
            return
        self.session_ids.append(session_id)

        async def decline(message: SessionDeclined) -> None:
            declined(message.code)

        offer = SessionOffered(session_id, SessionRoute(0, "/v1/session"), b"ticket")
        self._around.loop.start(self.program, self.sessions.offered(offer, decline))

    def take_policy(self, envelope: bytes, *, is_genuine: bool) -> None:
        """A relay hands over a policy."""
        if self.sessions is None:
            return
        try:
            is_new = self.policies.accept(envelope, self._around.wall())
        except SupportError as exc:
            self._around.note(f"{self.name} refuses a policy: {exc.code}")
            return
        if is_new:
            assert self.policies.policy is not None
            self._around.oracle.policy_in_force(self.policies.policy.version, is_genuine=is_genuine)

    def _builder(self) -> Callable[[BuildFor], dict[str, Capability]]:
        around, book = self._around, CommandBook(self._book_path)
        settle_open_requests(book, SessionAudit(self.audit, self.device_id, ""))
        ledger = CommandLedger(book)

        def build(session: BuildFor) -> dict[str, Capability]:
            async def start_worker(order: RunOrder) -> SimulatedWorker:
                await asyncio.sleep(0.02)
                kill = self.kill if self.can_be_killed_in_commands else None
                terms = WorkerTerms(
                    around.loop,
                    around.oracle,
                    around.chance,
                    session.desk.session_id,
                    around.wall,
                    book,
                    kill,
                )
                return SimulatedWorker(order, terms)

            commands = CommandSurroundings(
                policy=self._policy_in_force,
                device=self.identity,
                device_group=GROUP,
                trust=self.policies.trust,
                platform="linux",
                audit=session.audit,
                ledger=ledger,
                start_worker=start_worker,
                utc_now=around.wall,
                monotonic_s=around.loop.time,
            )
            built: list[Capability] = [
                InputCapability(
                    SessionInput(session.desk),
                    session.audit,
                    session.peer_clock,
                    around.loop.time,
                ),
                CommandsCapability(commands),
                PlayedScreen(),
                PlayedDiagnostics(),
            ]
            return {capability.name: capability for capability in built}

        return build

    def _policy_in_force(self) -> PolicyInForce:
        rules = self.policies.rules(GROUP, "technician", self._around.wall())
        if rules.policy is None:
            raise Refused("no policy", code=ErrorCode.E_COMMAND_UNKNOWN)
        return PolicyInForce(rules.policy, self.policies.envelope)

    async def _open_wire(self, offer: SessionOffered) -> Wire:
        await asyncio.sleep(PAIRING_S)
        self._around.oracle.taken(offer.session_id)
        return self._around.link_of(offer.session_id).device

    async def end_all(self, cause: str) -> None:
        """The service ends every session, as at its own end."""
        if self.sessions is not None:
            with suppress(SupportError):
                await self.sessions.end_all(cause)
