"""The agent's end of sessions in this process: real runner and local socket, a desktop played by the test."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from agent.capabilities.base import Capability
from agent.capabilities.diagnostics.capability import DiagnosticsCapability
from agent.capabilities.input.capability import InputCapability
from agent.capabilities.screen.capability import ScreenCapability
from agent.code_desk import CodeDesk, CodeDeskParts, HeldNameplate
from agent.desktop.ipc_messages import DesktopHello, HelpAsked, HelpCode, HelpNews, ListsChanged, WorkerHello
from agent.desktop_link import DesktopLink
from agent.input_desk import SessionInput
from agent.live_session import BuildFor, DeviceSide
from agent.local_client import ask_for_help
from agent.local_server import LocalServer
from agent.policy_store import PolicyStore
from agent.private_windows import PrivateLists, lists_in_force
from agent.session_audit import SessionAudit
from agent.session_runner import SessionRunner
from agent.trust_intake import TrustIntake
from agent.worker_desk import LISTS_CHECK_INTERVAL_S, SessionWorker, WorkerDesk
from protocol.aio.audit_log import AuditLog
from protocol.aio.channel_io import ChannelStream
from protocol.audit import AuditEvent, AuditRecord, read_record, verify_records
from protocol.errors import ErrorCode, Refused
from protocol.grantables import Grantable
from protocol.identity import Identity
from protocol.ids import DeviceId, SessionId, new_session_id
from protocol.messages.control import StatusPublished, SuccessorsPublished
from protocol.messages.diagnostics import Display
from protocol.support_code import SupportCode, read_code
from protocol.trust_store import TrustStore
from technician_client.opening import Wanted, establish
from technician_client.sessions import TechnicianSession
from tests.support.desktop import Answer, FakeDesktop, allow_all
from tests.support.organisation import Organisation
from tests.support.wires import MemoryWire, wire_pair


@dataclass
class QuietAudit:
    """A technician's audit, in memory."""

    events: list[AuditEvent] = field(default_factory=list)

    def append(self, event: AuditEvent) -> None:
        """Keep it."""
        self.events.append(event)


class DeviceEnd:
    """A device of this organisation whose sessions come over wires in memory."""

    def __init__(
        self,
        organisation: Organisation,
        folder: Path,
        group: str = "default",
        lists_check_interval_s: float = LISTS_CHECK_INTERVAL_S,
        identity: Identity | None = None,
    ) -> None:
        self.organisation = organisation
        self.identity: Identity = identity or organisation.device(group=group)
        self.device_id = DeviceId(self.identity.subject_id)
        self.audit_path = folder / "audit.jsonl"
        self.private_windows_path = folder / "private-windows.json"
        self.policies = PolicyStore(folder / "policy.dsse", organisation.root_der)
        self.statuses = TrustStore(self.policies.trust, folder)
        self.desktop_link = DesktopLink()
        self.tickets = WorkerDesk(lists_check_interval_s)
        self.code_clock_s = 5000.0
        self.held_nameplates: list[str] = []
        self.no_nameplate = asyncio.Event()
        self.codes = CodeDesk(
            CodeDeskParts(
                device_id=self.device_id,
                audit_log=AuditLog(self.audit_path),
                hold=self._hold,
                release=self._release,
                check_policy=self._check_codes_allowed,
                clock_s=lambda: self.code_clock_s,
            )
        )
        self.server = LocalServer(
            folder / "run" / "agent.sock",
            {
                DesktopHello: self.desktop_link.handle,
                WorkerHello: self.tickets.handle,
                ListsChanged: self.tickets.handle_lists_changed,
                HelpAsked: self.codes.handle_help,
            },
            allowed_uids=frozenset({os.geteuid()}),
        )
        self.side = DeviceSide(
            identity=self.identity,
            device_id=self.device_id,
            device_name=self.identity.name,
            organisation_name="" if self.identity.is_visitor else organisation.display_name,
            group=group,
            policies=self.policies,
            desktop=self.desktop_link,
            audit_log=AuditLog(self.audit_path),
            build_capabilities=self._build,
            codes=self.codes,
        )
        self.runners: dict[asyncio.Task[None], SessionRunner] = {}

    def _build(self, session: BuildFor) -> dict[str, Capability]:
        async def read_displays() -> tuple[list[Display], str]:
            return await session.desk.seat.read_displays(), ""

        built: list[Capability] = [
            ScreenCapability(
                SessionWorker(self.tickets, session.desk, "auto", self._private_lists), session.audit
            ),
            InputCapability(SessionInput(session.desk), session.audit, session.peer_clock),
            DiagnosticsCapability(read_displays, session.audit),
        ]
        return {capability.name: capability for capability in built}

    def _private_lists(self) -> PrivateLists:
        return lists_in_force(self.policies.policy, self.private_windows_path)

    def publish(self, envelope: bytes) -> None:
        """Put a policy in force."""
        self.policies.accept(envelope, datetime.now(UTC))

    def hand_over(self, envelope: bytes) -> None:
        """Bring a status list, as the relay does."""
        self.status_intake()(envelope)

    def succeed(self, *steps: bytes) -> None:
        """Bring steps to a successor root, as the relay does."""
        self.trust_intake().take_successors(SuccessorsPublished(list(steps)))

    def status_intake(self) -> Callable[[bytes], None]:
        """What takes status lists, as one run of the agent has it."""
        intake = self.trust_intake()
        return lambda envelope: intake.take(StatusPublished(1, envelope))

    def trust_intake(self) -> TrustIntake:
        """What takes status lists and successor roots, as one run of the agent has it."""
        audit = SessionAudit(self.side.audit_log, self.device_id, session_id="")
        return TrustIntake(self.statuses, audit, self._judge_again)

    def _judge_again(self) -> None:
        self.policies.judge_again(datetime.now(UTC))
        for runner in self.runners.values():
            runner.judge_again()

    async def _hold(self, held: HeldNameplate) -> None:
        self.held_nameplates.append(held.nameplate)

    async def _release(self) -> None:
        self.held_nameplates.clear()
        self.no_nameplate.set()

    def _check_codes_allowed(self, uid: int) -> None:
        if self.side.welcome.pauses.left_s(uid) > 0:
            raise Refused("end the pause first", code=ErrorCode.E_CONSENT_PAUSED)
        if not self.policies.allows_codes(datetime.now(UTC)):
            raise Refused("by its policy", code=ErrorCode.E_CODE_POLICY)

    def offer(self, session_id: SessionId | None = None, nameplate: str = "") -> tuple[SessionId, MemoryWire]:
        """Start a session; the technician's end of its wire is returned."""
        session_id = session_id or new_session_id()
        mine, theirs = wire_pair()
        runner = SessionRunner(self.side, session_id, nameplate)
        self.runners[asyncio.create_task(runner.run(mine))] = runner
        return session_id, theirs

    async def connect(self, technician: Identity) -> TechnicianSession:
        """A technician's whole session with this device."""
        session_id, wire = self.offer()
        return await establish(wire, Wanted(session_id, self.device_id, technician, QuietAudit()))

    async def connect_by_code(self, code: SupportCode, technician: Identity) -> TechnicianSession:
        """A technician's session with whoever shows this code."""
        session_id, wire = self.offer(nameplate=code.nameplate)
        return await establish(wire, Wanted(session_id, DeviceId(""), technician, QuietAudit(), code=code))

    async def over(self, timeout_s: float = 3.0) -> None:
        """Wait until no session is left."""
        if self.runners:
            _, late = await asyncio.wait(list(self.runners), timeout=timeout_s)
            assert not late, "a session did not end"

    def kinds(self) -> list[str]:
        """The audit log's kinds, in order; its chain is checked."""
        return [record.kind for record in self.records()]

    def records(self) -> list[AuditRecord]:
        """The audit log, in order; its chain is checked."""
        lines = self.audit_path.read_bytes().splitlines(keepends=True) if self.audit_path.exists() else []
        assert verify_records(lines).is_intact
        return [read_record(line.rstrip(b"\n")) for line in lines]


@asynccontextmanager
async def device_end(
    organisation: Organisation,
    folder: Path,
    group: str = "default",
    lists_check_interval_s: float = LISTS_CHECK_INTERVAL_S,
    identity: Identity | None = None,
) -> AsyncIterator[DeviceEnd]:
    """A device whose local socket is open; every session is ended at the end."""
    end = DeviceEnd(organisation, folder, group, lists_check_interval_s, identity)
    await end.server.open()
    serving = asyncio.create_task(end.server.serve())
    try:
        yield end
    finally:
        for runner in end.runners.values():
            runner.end("finished")
        await asyncio.gather(*end.runners, return_exceptions=True)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await end.server.close()


@dataclass(frozen=True)
class ShownCode:
    """A code that the person sees; `news` gets what came of it."""

    code: SupportCode
    news: "asyncio.Task[HelpNews]"


@asynccontextmanager
async def shown_code(end: DeviceEnd) -> AsyncIterator[ShownCode]:
    """The person runs help-me; at the end of the context it is interrupted."""
    async with aclosing(ask_for_help(end.server.socket_path)) as told:
        first = await anext(told)
        assert isinstance(first, HelpCode)

        async def rest() -> HelpNews:
            news = await anext(told)
            assert isinstance(news, HelpNews)
            return news

        news = asyncio.create_task(rest())
        try:
            yield ShownCode(read_code(first.code), news)
        finally:
            news.cancel()
            await asyncio.gather(news, return_exceptions=True)


@asynccontextmanager
async def attached(end: DeviceEnd, answer: Answer = allow_all) -> AsyncIterator[FakeDesktop]:
    """A desktop process that is connected to this device."""
    async with FakeDesktop(end.server.socket_path, answer) as desktop:
        await end.desktop_link.attached.wait()
        yield desktop


@dataclass(frozen=True)
class OpenChannel:
    """A session in which one permission is granted and its channel is open."""

    device: DeviceEnd
    desktop: FakeDesktop
    session: TechnicianSession
    stream: ChannelStream


@asynccontextmanager
async def open_channel(
    organisation: Organisation,
    folder: Path,
    grantable: Grantable,
    lists_check_interval_s: float = LISTS_CHECK_INTERVAL_S,
) -> AsyncIterator[OpenChannel]:
    """A device, its desktop, a technician, and this permission's channel between them."""
    ended = device_end(organisation, folder, lists_check_interval_s=lists_check_interval_s)
    async with ended as device, attached(device) as desktop:
        async with await device.connect(organisation.technician()) as session:
            await session.ask([grantable])
            yield OpenChannel(device, desktop, session, await session.open_channel(grantable))
        await device.over()
