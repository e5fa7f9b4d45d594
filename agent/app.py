"""Builds the agent out of its parts; the only place that makes concrete objects."""

import asyncio
import os
import platform
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.absence import watching
from agent.anchors import Anchors
from agent.blocks import UNVERIFIED, Blocks
from agent.blocks_desk import BlocksDesk
from agent.capabilities.base import Capability
from agent.capabilities.commands.aftermath import settle_open_requests
from agent.capabilities.commands.capability import CommandsCapability
from agent.capabilities.commands.ledger import CommandLedger
from agent.capabilities.commands.run import CommandSurroundings, PolicyInForce
from agent.capabilities.diagnostics.capability import DiagnosticsCapability
from agent.capabilities.input.capability import InputCapability
from agent.capabilities.screen.capability import ScreenCapability
from agent.code_desk import CodeDesk, CodeDeskParts
from agent.config import AgentConfig
from agent.cut_sessions import end_cut_sessions
from agent.desktop.block_messages import BlockLifted, BlocksAsked
from agent.desktop.ipc_messages import (
    CheckAsked,
    DesktopHello,
    HelpAsked,
    LeaveOrdered,
    ListsChanged,
    RatingGiven,
    StandingAsked,
    StandingRevoked,
    StatusAsked,
    VisitsAsked,
    WorkerHello,
)
from agent.desktop.pause_messages import PauseOrdered, ResumeOrdered
from agent.desktop.update_messages import UpdateAsked
from agent.desktop_link import DesktopLink, DesktopSeat, own_uids
from agent.desktop_process import DesktopProcess, display_of
from agent.exec.book import CommandBook
from agent.exec.start import worker_starter
from agent.exec.unit import unit_starter
from agent.input_desk import SessionInput
from agent.joining import leave_organisation
from agent.kept_patience import load_patience
from agent.link import LinkParts, RelayLink
from agent.live_session import BuildFor, DeviceSide
from agent.local_server import Handler, LocalServer
from agent.pause import Pauses
from agent.pause_desk import PauseDesk
from agent.person_desk import PersonDesk
from agent.platform.logind.graphical_users import graphical_users
from agent.platform.logind.person_watch import LogindWatch
from agent.policy_store import PolicyStore
from agent.private_windows import PrivateLists, lists_in_force
from agent.rating_desk import RatingDesk
from agent.ratings import RatingBook
from agent.seat_users import SeatUsers
from agent.service import PolicyIntake, Service, ServiceParts, StatusFacts
from agent.session_audit import SessionAudit
from agent.sessions import Sessions
from agent.standing import StandingConsents
from agent.standing_desk import StandingDesk
from agent.state import DataDir, RelayAddress, ServiceLock
from agent.stop_order import StopOrder
from agent.trust_intake import TrustIntake
from agent.user_names import named_users
from agent.welcome import Welcome
from agent.worker_desk import SessionWorker, WorkerDesk
from protocol.aio.audit_log import AuditLog
from protocol.aio.log_in import open_session_wire
from protocol.aio.loop_watch import watched_loop
from protocol.aio.receipt_book import ReceiptBook
from protocol.aio.session_proof import OwnLog
from protocol.aio.wire import Wire, socket_url
from protocol.audit import AuditEvent, AuditKind
from protocol.certificates import Role, VerifiedPeer, verify_chain, verify_visitor
from protocol.errors import CertificateRefused, ErrorCode, Refused, SupportError, Unreachable
from protocol.identity import Identity, load_identity, visitor_identity
from protocol.ids import DeviceId
from protocol.messages.control import DeviceFacts, SessionOffered
from protocol.messages.diagnostics import Display
from protocol.names import shown_name
from protocol.platforms import platform_name
from protocol.trust import Trust
from protocol.trust_store import TrustStore
from protocol.version import PRODUCT_VERSION

OWN_HELLOS = (LeaveOrdered, ListsChanged, UpdateAsked)
"""What the service's own user and root alone may say, on its own socket."""


def run_service(config: AgentConfig, stop: StopOrder | None = None) -> bool:
    """Run the agent until a signal or `stop` ends it; True when it has left its organisation.

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
        with asyncio.Runner(loop_factory=watched_loop) as runner:
            was_left = runner.run(_Assembly(config, data, Own(identity, own), relay).run(stop))
        if was_left:
            leave_organisation(data)
    return was_left


@dataclass(frozen=True, slots=True)
class PortableTerms:
    """Which relay, and what is done once everything runs: `work` gets the local socket's path."""

    relay_url: str
    relay_ca: Path | None
    work: Callable[[Path], Awaitable[None]]


def run_portable(config: AgentConfig, terms: PortableTerms) -> None:
    """Show one code and serve the session that comes of it, on a device without an organisation.

    Identity and code live in memory; of all this the history alone stays.

    Raises:
        SupportError: E_ALREADY_JOINED; it cannot start; what became of the code (see `help_me`).
    """
    os.umask(0o077)
    data = DataDir(config.data)
    if data.identity.exists():
        detail = "run help-me without --relay; only its technicians can use the code"
        raise Refused(detail, code=ErrorCode.E_ALREADY_JOINED)
    socket_url(terms.relay_url, "/")
    data.prepare()
    identity = visitor_identity(Role.DEVICE, now=datetime.now(UTC))
    own = Own(identity, verify_visitor(identity.chain, role=Role.DEVICE, now=datetime.now(UTC)))
    relay = RelayAddress(url=terms.relay_url, relay_id="")
    with ServiceLock(data.lock):
        assembly = _Assembly(config, data, own, relay)
        assembly.tls_ca = terms.relay_ca
        with asyncio.Runner(loop_factory=watched_loop) as runner:
            runner.run(assembly.run_once(terms.work))


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
        self.tls_ca, self.proxy = data.tls_ca, data.proxy()
        self.statuses = TrustStore(Trust(own.identity.root_der), data.root)
        self.policies = PolicyStore(data.policy, self.statuses.trust)
        self.own_log = OwnLog(own.identity, data.audit, ReceiptBook(data.receipts), self.statuses.trust.roots)
        self.standing = StandingConsents(data.standing)
        self.pauses = Pauses(data.pause)
        self.blocks = Blocks(data.blocks)
        self.ratings = RatingBook(data.ratings)
        if not own.identity.is_visitor:  # whom nobody signed for has nobody to believe
            self.statuses.load()
            self.policies.load(datetime.now(UTC))

    async def run(self, stop: StopOrder | None) -> bool:
        service, servers, _ = self._build()
        await service.run(servers, as_json=self.config.as_json, stop=stop)
        return service.was_left

    async def run_once(self, work: Callable[[Path], Awaitable[None]]) -> None:
        service, servers, sessions = self._build()
        async with service.running(servers):
            await work(servers[0].socket_path)
            await sessions.idle()

    def _build(self) -> tuple[Service, list[LocalServer], Sessions]:
        self.anchors = None if self.identity.is_visitor else Anchors(self.own_log)
        end_cut_sessions(self.own_log, self.audit_log)
        tickets = WorkerDesk()
        desktop = DesktopLink(watching([LogindWatch()]))
        self.standing.load()
        self.pauses.load()
        self.blocks.load()
        self.ratings.load()
        consents = StandingDesk(self.standing, self.audit_log, self.device_id)
        codes = CodeDesk(self._code_parts())
        sessions = Sessions(self._device_side(desktop, tickets, codes), self._open_wire)

        async def end_sessions(uid: int | None, cause: str) -> None:
            await (sessions.end_all(cause) if uid is None else sessions.end_at(uid, cause))

        pausing = PauseDesk(self.pauses, end_sessions, self.audit_log, self.device_id)
        blocks = BlocksDesk(
            self.blocks, self.audit_log, self.device_id, lambda uid: bool(sessions.status(uid))
        )
        self.link = link = self._relay_link(sessions, tickets)
        service = Service(
            ServiceParts(
                self._status_facts(),
                self.policies,
                desktop,
                self._desktop_process(desktop),
                link,
                sessions,
                self.audit_log,
                (consents, pausing, blocks),
                self.pauses,
            )
        )
        desks: dict[type, Handler] = {
            DesktopHello: desktop.handle,
            WorkerHello: tickets.handle,
            ListsChanged: tickets.handle_lists_changed,
            StatusAsked: service.handle_status,
            UpdateAsked: service.handle_update,
            LeaveOrdered: service.handle_leave,
            **dict.fromkeys((StandingAsked, StandingRevoked), consents.handle),
            **dict.fromkeys((PauseOrdered, ResumeOrdered), pausing.handle),
            **dict.fromkeys((BlocksAsked, BlockLifted), blocks.handle),
            **dict.fromkeys((VisitsAsked, CheckAsked), self._person_desk(service, desktop).handle),
            RatingGiven: self._rating_desk(sessions).handle,
            HelpAsked: codes.handle_help,
        }
        return service, self._servers(desks), sessions

    def _status_facts(self) -> StatusFacts:
        identity = self.identity
        is_visitor = identity.is_visitor
        return StatusFacts(
            device_id=self.device_id,
            organisation_id="" if is_visitor else identity.organisation_id,
            organisation_name="" if is_visitor else shown_name(identity.organisation_name),
            group="" if is_visitor else self.peer.group,
            relay_url=self.relay.url,
            exec_socket=self.config.exec_socket,
        )

    def _servers(self, desks: dict[type, Handler]) -> list[LocalServer]:
        servers = [LocalServer(self.data.socket, desks, allowed_uids=own_uids())]
        if self.config.seats_socket:
            users = SeatUsers(graphical_users, named_users(self.config.seat_users))
            theirs = {hello: handler for hello, handler in desks.items() if hello not in OWN_HELLOS}
            path = Path(self.config.seats_socket)
            servers.append(LocalServer(path, theirs, allowed_uids=own_uids(), admits_user=users.admits))
        return servers

    def _relay_link(self, sessions: Sessions, tickets: WorkerDesk) -> RelayLink:
        trust_intake = self._trust_intake(sessions)
        intake = PolicyIntake(self.policies, self.audit_log, self.device_id, tickets.lists_changed)
        return RelayLink(
            LinkParts(
                identity=self.identity,
                relay=self.relay,
                tls_ca=self.tls_ca,
                proxy=self.proxy,
                facts=self._facts(),
                on_policy=intake.take,
                on_status=trust_intake.take,
                on_successors=trust_intake.take_successors,
                on_offer=sessions.offered,
                anchors=self.anchors,
                on_cloned=self._note_cloned,
            )
        )

    def _note_cloned(self) -> None:
        """The relay says that another computer has our key."""
        facts = {"code": ErrorCode.E_DEVICE_CLONED.value}
        event = AuditEvent(AuditKind.LOGIN_REFUSED, "agent", self.device_id, "", False, facts)
        with suppress(SupportError):  # without it the refusal stands all the same
            self.audit_log.append(event)

    def _rating_desk(self, sessions: Sessions) -> RatingDesk:
        self.rating = RatingDesk(
            self.ratings, self.data, self.audit_log, self.device_id, lambda uid: bool(sessions.status(uid))
        )
        return self.rating

    def _person_desk(self, service: Service, desktop: DesktopLink) -> PersonDesk:
        async def read_displays() -> tuple[list[Display], str]:
            return await _read_displays(desktop.seat)

        return PersonDesk(self.data, service.status, read_displays)

    def _trust_intake(self, sessions: Sessions) -> TrustIntake:
        def judge_again() -> None:
            self.policies.judge_again(datetime.now(UTC))
            sessions.judge_again()

        audit = SessionAudit(self.audit_log, self.device_id, session_id="")
        return TrustIntake(self.statuses, audit, judge_again)

    def _code_parts(self) -> CodeDeskParts:
        return CodeDeskParts(
            device_id=self.device_id,
            audit_log=self.audit_log,
            hold=lambda held: self.link.hold(held),
            release=lambda: self.link.release(),
            check_policy=self._check_codes_allowed,
        )

    def _check_codes_allowed(self, uid: int) -> None:
        if self.pauses.left_s(uid) > 0:
            raise Refused("end the pause first", code=ErrorCode.E_CONSENT_PAUSED)
        if self.identity.is_visitor and self.blocks.against(UNVERIFIED, None) is not None:
            raise Refused("nobody could use it", code=ErrorCode.E_CODE_BLOCKED)
        if not self.policies.allows_codes(datetime.now(UTC)):
            raise Refused("by its policy", code=ErrorCode.E_CODE_POLICY)

    def _device_side(self, desktop: DesktopLink, tickets: WorkerDesk, codes: CodeDesk) -> DeviceSide:
        is_visitor = self.identity.is_visitor
        return DeviceSide(
            identity=self.identity,
            device_id=self.device_id,
            device_name=socket.gethostname() if is_visitor else self.identity.name,
            organisation_name="" if is_visitor else self.identity.organisation_name,
            group=self.peer.group,
            policies=self.policies,
            desktop=desktop,
            audit_log=self.audit_log,
            build_capabilities=self._capability_builder(tickets),
            patience=load_patience(
                self.data.patience, asyncio.get_running_loop().time(), take_over=self.blocks.take_over
            ),
            standing=self.standing,
            welcome=Welcome(self.pauses, self.blocks),
            ratings=self.ratings,
            show_card=lambda seat, session_id: self.rating.show_card(seat, session_id),
            codes=codes,
            own_log=self.own_log,
            on_receipt=self.anchors.due if self.anchors else lambda: None,
        )

    def _capability_builder(self, tickets: WorkerDesk) -> Callable[[BuildFor], dict[str, Capability]]:
        book = CommandBook(self.data.commands)
        settle_open_requests(book, SessionAudit(self.audit_log, self.device_id, ""))
        ledger = CommandLedger(book)
        exec_socket = self.config.exec_socket
        start_worker = unit_starter(exec_socket) if exec_socket else worker_starter(book.path)

        def build(session: BuildFor) -> dict[str, Capability]:
            built: list[Capability] = [
                ScreenCapability(
                    SessionWorker(tickets, session.desk, self.config.source, self._private_lists),
                    session.audit,
                ),
                InputCapability(SessionInput(session.desk), session.audit, session.peer_clock),
                DiagnosticsCapability(lambda: _read_displays(session.desk.seat), session.audit),
                CommandsCapability(
                    CommandSurroundings(
                        policy=self._policy_in_force,
                        device=self.identity,
                        device_group=self.peer.group,
                        trust=self.statuses.trust,
                        platform=platform_name(platform.system()),
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
        return PolicyInForce(rules.policy, self.policies.envelope, tuple(self.policies.trust.roots.steps))

    def _desktop_process(self, desktop: DesktopLink) -> DesktopProcess | None:
        display = display_of(self.config.display)
        if not (self.config.has_desktop and display):
            return None
        return DesktopProcess(self.data.socket, display, desktop.is_free)

    async def _open_wire(self, offer: SessionOffered) -> Wire:
        return await open_session_wire(
            self.relay.url, offer.route, offer.ticket, tls_ca=self.tls_ca, proxy=self.proxy
        )

    def _facts(self) -> DeviceFacts:
        return DeviceFacts(
            name=shown_name(self.identity.name),
            platform=platform_name(platform.system()),
            agent_version=PRODUCT_VERSION,
            instance_id=secrets.token_hex(16),
        )


async def _read_displays(seat: DesktopSeat | None) -> tuple[list[Display], str]:
    if seat is None:
        return [], "no desktop process"
    try:
        return await seat.read_displays(), ""
    except Unreachable as exc:
        return [], exc.detail or "the desktop did not answer"
