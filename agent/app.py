"""Builds the agent out of its parts; the only place that makes concrete objects."""

import asyncio
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.absence import watching
from agent.capabilities.base import Capability
from agent.capabilities.commands.capability import CommandsCapability
from agent.capabilities.commands.ledger import CommandLedger
from agent.capabilities.commands.run import CommandSurroundings, PolicyInForce
from agent.capabilities.diagnostics.capability import DiagnosticsCapability
from agent.capabilities.input.capability import InputCapability
from agent.capabilities.screen.capability import ScreenCapability
from agent.config import AgentConfig
from agent.desktop.ipc_messages import (
    DesktopHello,
    LeaveOrdered,
    ListsChanged,
    StandingAsked,
    StandingRevoked,
    StatusAsked,
    WorkerHello,
)
from agent.desktop_link import DesktopLink, SessionDesk
from agent.desktop_process import DesktopProcess, display_of
from agent.exec.start import start_worker
from agent.input_desk import SessionInput
from agent.joining import leave_organisation
from agent.kept_patience import load_patience
from agent.link import LinkParts, RelayLink
from agent.live_session import BuildFor, DeviceSide
from agent.local_server import LocalServer
from agent.platform.logind.person_watch import LogindWatch
from agent.policy_store import PolicyStore
from agent.private_windows import PrivateLists, lists_in_force
from agent.service import PolicyIntake, Service, ServiceParts, StatusFacts
from agent.session_audit import SessionAudit
from agent.sessions import Sessions
from agent.standing import StandingConsents
from agent.standing_desk import StandingDesk
from agent.state import DataDir, RelayAddress, ServiceLock
from agent.trust_intake import StatusIntake
from agent.worker_desk import SessionWorker, WorkerDesk
from protocol.aio.audit_log import AuditLog
from protocol.aio.log_in import open_session_wire
from protocol.aio.wire import Wire
from protocol.audit import AuditEvent, AuditKind
from protocol.certificates import Role, VerifiedPeer, verify_chain
from protocol.errors import CertificateRefused, ErrorCode, Refused, SupportError, Unreachable
from protocol.identity import Identity, load_identity
from protocol.ids import DeviceId
from protocol.messages.control import DeviceFacts, SessionOffered
from protocol.messages.diagnostics import Display
from protocol.names import shown_name
from protocol.trust import Trust
from protocol.trust_store import TrustStore
from protocol.version import PRODUCT_VERSION


def run_service(config: AgentConfig) -> bool:
    """Run the agent until it is told to end; True when it has left its organisation.

    Raises:
        SupportError: it cannot start, with the code that says why.
    """
    os.umask(0o077)
    data = DataDir(config.data)
    with _refusal_noted(data):
        identity = load_identity(data.identity)
        own = verify_chain(identity.chain, identity.root_der, roles={Role.DEVICE}, now=datetime.now(UTC))
    relay = data.read_relay()
    data.prepare()
    with ServiceLock(data.lock):
        was_left = asyncio.run(_Assembly(config, data, Own(identity, own), relay).run())
        if was_left:
            leave_organisation(data)
    return was_left


@contextmanager
def _refusal_noted(data: DataDir) -> Iterator[None]:
    """An identity that is not good enough is refused, and a refusal leaves a record."""
    try:
        yield
    except CertificateRefused as exc:
        event = AuditEvent(AuditKind.LOGIN_REFUSED, "agent", "", "", False, {"code": exc.code.value})
        with suppress(SupportError):  # the refusal is what has to be told
            AuditLog(data.audit).append(event)
        raise


@dataclass(frozen=True, slots=True)
class Own:
    """This device's identity, and what its certificate says."""

    identity: Identity
    peer: VerifiedPeer


class _Assembly:
    def __init__(self, config: AgentConfig, data: DataDir, own: Own, relay: RelayAddress) -> None:
        self.config, self.data, self.relay = config, data, relay
        self.identity, self.peer = own.identity, own.peer
        self.device_id = DeviceId(own.identity.subject_id)
        self.audit_log = AuditLog(data.audit)
        self.statuses = TrustStore(Trust(own.identity.root_der), data.status)
        self.statuses.load()
        self.policies = PolicyStore(data.policy, self.statuses.trust)
        self.policies.load(datetime.now(UTC))
        self.standing = StandingConsents(data.standing)

    async def run(self) -> bool:
        tickets = WorkerDesk()
        desktop = DesktopLink(watching([LogindWatch()]))
        self.standing.load()
        consents = StandingDesk(self.standing, self.audit_log, self.device_id)
        sessions = Sessions(self._device_side(desktop, tickets), self._open_wire)
        intake = PolicyIntake(self.policies, self.audit_log, self.device_id, tickets.lists_changed)
        link = RelayLink(
            LinkParts(
                identity=self.identity,
                relay=self.relay,
                tls_ca=self.data.tls_ca,
                facts=self._facts(),
                on_policy=intake.take,
                on_status=self._status_intake(sessions).take,
                on_offer=sessions.offered,
            )
        )
        child = self._desktop_process(desktop)
        service = Service(
            ServiceParts(
                _status_facts(self.peer, self.identity, self.relay),
                self.policies,
                desktop,
                child,
                link,
                sessions,
                self.audit_log,
                consents,
            )
        )
        server = LocalServer(
            self.data.socket,
            {
                DesktopHello: desktop.handle,
                WorkerHello: tickets.handle,
                StatusAsked: service.handle_status,
                LeaveOrdered: service.handle_leave,
                ListsChanged: tickets.handle_lists_changed,
                StandingAsked: consents.handle,
                StandingRevoked: consents.handle,
            },
            allowed_uids=frozenset({os.geteuid(), 0}),
        )
        await service.run(server, as_json=self.config.as_json)
        return service.was_left

    def _status_intake(self, sessions: Sessions) -> StatusIntake:
        def judge_again() -> None:
            self.policies.judge_again(datetime.now(UTC))
            sessions.judge_again()

        audit = SessionAudit(self.audit_log, self.device_id, session_id="")
        return StatusIntake(self.statuses, audit, judge_again)

    def _device_side(self, desktop: DesktopLink, tickets: WorkerDesk) -> DeviceSide:
        return DeviceSide(
            identity=self.identity,
            device_id=self.device_id,
            device_name=self.identity.name,
            organisation_name=self.identity.organisation_name,
            group=self.peer.group,
            policies=self.policies,
            desktop=desktop,
            audit_log=self.audit_log,
            build_capabilities=self._capability_builder(tickets),
            patience=load_patience(self.data.patience, asyncio.get_running_loop().time()),
            standing=self.standing,
        )

    def _capability_builder(self, tickets: WorkerDesk) -> Callable[[BuildFor], dict[str, Capability]]:
        ledger = CommandLedger()

        def build(session: BuildFor) -> dict[str, Capability]:
            built: list[Capability] = [
                ScreenCapability(
                    SessionWorker(tickets, session.desk, self.config.source, self._private_lists),
                    session.audit,
                ),
                InputCapability(SessionInput(session.desk), session.audit, session.peer_clock),
                DiagnosticsCapability(lambda: _read_displays(session.desk)),
                CommandsCapability(
                    CommandSurroundings(
                        policy=self._policy_in_force,
                        device=self.identity,
                        platform=platform.system().lower(),
                        audit=session.audit,
                        ledger=ledger,
                        start_worker=start_worker,
                        utc_now=lambda: datetime.now(UTC),
                    )
                ),
            ]
            return {capability.name: capability for capability in built}

        return build

    def _private_lists(self) -> PrivateLists:
        return lists_in_force(self.policies.policy, self.data.private_windows)

    def _policy_in_force(self) -> PolicyInForce:
        rules = self.policies.rules(self.peer.group, Role.TECHNICIAN.value, datetime.now(UTC))
        if rules.policy is None:
            raise Refused("no policy was published yet", code=ErrorCode.E_COMMAND_UNKNOWN)
        return PolicyInForce(rules.policy, self.policies.envelope)

    def _desktop_process(self, desktop: DesktopLink) -> DesktopProcess | None:
        display = display_of(self.config.display)
        if not (self.config.has_desktop and display):
            return None
        return DesktopProcess(self.data.socket, display, desktop.is_free)

    async def _open_wire(self, offer: SessionOffered) -> Wire:
        return await open_session_wire(self.relay.url, offer.route, offer.ticket, tls_ca=self.data.tls_ca)

    def _facts(self) -> DeviceFacts:
        return DeviceFacts(
            name=shown_name(self.identity.name),
            platform=platform.system().lower(),
            agent_version=PRODUCT_VERSION,
        )


def _status_facts(peer: VerifiedPeer, identity: Identity, relay: RelayAddress) -> StatusFacts:
    return StatusFacts(
        device_id=DeviceId(identity.subject_id),
        organisation_id=identity.organisation_id,
        organisation_name=shown_name(identity.organisation_name),
        group=peer.group,
        relay_url=relay.url,
    )


async def _read_displays(desk: SessionDesk) -> tuple[list[Display], str]:
    try:
        return await desk.seat.read_displays(), ""
    except Unreachable as exc:
        return [], exc.detail or "the desktop did not answer"
