"""The technician's program: the one place where its concrete objects are built."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta

from protocol.aio.audit_log import AuditLog
from protocol.aio.receipt_book import ReceiptBook
from protocol.aio.session_proof import OwnLog
from protocol.audit import AuditEvent, AuditKind
from protocol.catalogue import Catalogue
from protocol.certificates import Role, verify_chain
from protocol.errors import CertificateRefused, ErrorCode, Refused, SupportError
from protocol.identity import Identity, visitor_identity
from protocol.ids import DeviceId
from protocol.messages.presence import DeviceRow
from protocol.names import shown_name
from protocol.policy import Policy
from protocol.support_code import means_code, read_code
from protocol.trust import Trust
from technician_client.config import TechnicianConfig
from technician_client.console.backend import LinkState as ConsoleLinkState
from technician_client.console.backend import Myself, PresenceNews
from technician_client.device_match import match_device
from technician_client.files import make_private_folder
from technician_client.link import LinkChanged, LinkEvent, LinkState, RelayLink
from technician_client.opening import open_code_session, open_session
from technician_client.organisation import OrganisationFolder
from technician_client.policies import PolicyStore
from technician_client.relay_address import RelayAddress, checked_relay, read_relay
from technician_client.session_audit import SessionAudit
from technician_client.session_proof import Proving
from technician_client.sessions import TechnicianSession
from technician_client.status_store import StatusStore
from technician_client.unlocking import YOUR_KEY, current_passphrases

DAY = timedelta(days=1)


class TechnicianApp:
    """Everything a technician's command or the console needs. Made by `technician_app`."""

    def __init__(self, config: TechnicianConfig, identity: Identity, link: RelayLink) -> None:
        self.config = config
        self.identity = identity
        self.link = link
        self.audit = AuditLog(config.audit_file)
        self._by_code: dict[DeviceId, TechnicianSession] = {}
        self._visited: dict[DeviceId, DeviceRow] = {}
        roots = link.statuses.trust.roots if link.statuses else None
        own = OwnLog(identity, config.audit_file, ReceiptBook(config.receipts_folder), roots)
        self.proving = Proving(own, self.audit)

    def myself(self) -> Myself:
        """Who the console speaks for."""
        left = self.identity.not_after - datetime.now(UTC)
        if self.identity.is_visitor:
            return Myself("visitor", self.identity.subject_id, "no organisation", "", left / DAY)
        return Myself(
            technician=self.identity.name,
            technician_id=self.identity.subject_id,
            organisation=self.identity.organisation_name,
            organisation_id=self.identity.organisation_id,
            certificate_days_left=left / DAY,
        )

    def link_state(self) -> ConsoleLinkState:
        """The relay link, now."""
        is_connected = self.link.state is LinkState.CONNECTED
        return ConsoleLinkState(is_connected, self.link.relay.url, self.link.code)

    async def devices(self) -> list[DeviceRow]:
        """The devices the relay knows of, and those met by code; raises SupportError: it cannot be asked."""
        known = [] if self.identity.is_visitor else await self.link.devices()
        return [*known, *self._visited.values()]

    def watch(self) -> "AbstractContextManager[asyncio.Queue[PresenceNews]]":
        """News of presence and link for as long as the context is open."""
        watching: AbstractContextManager[asyncio.Queue[PresenceNews]] = self.link.watch(self._news)
        return watching

    def _news(self, event: LinkEvent) -> PresenceNews | None:
        match event:
            case LinkChanged():
                return self.link_state()
            case DeviceRow():
                return event
            case _:
                return None

    def catalogue(self) -> Catalogue:
        """The catalogue of the newest verified policy; empty when there is none."""
        current = self.link.policies.current
        return current.catalogue if current is not None else Catalogue(commands=())

    async def policy(self) -> Policy:
        """The policy in force; raises SupportError, E_POLICY_MISSING among others."""
        return await self.link.policy()

    async def open_session(self, device_id: DeviceId) -> TechnicianSession:
        """A session with this device, its certificate verified; raises SupportError.

        The one that was opened by code, if it still waits to be used; a code opens no second one.
        """
        waiting = self._by_code.pop(device_id, None)
        if waiting is not None:
            return waiting
        if device_id in self._visited:
            raise Refused(device_id, code=ErrorCode.E_CODE_USED)
        return await open_session(
            self.link, device_id, identity=self.identity, audit=self.audit, proving=self.proving
        )

    async def reach(self, wanted: str) -> TechnicianSession:
        """A session with the device that these words mean: a support code, an id, or a name.

        Raises:
            UsageError: E_CODE_FORMAT, several devices fit. SupportError: as `open_code_session`.
        """
        if means_code(wanted):
            code = read_code(wanted)
            session = await open_code_session(
                self.link, code, identity=self.identity, audit=self.audit, proving=self.proving
            )
            if session.device.is_visitor:
                self._visited[session.device_id] = _visited_row(session)
            return session
        return await self.open_session(DeviceId(match_device(wanted, await self.devices()).device_id))

    async def reach_for_console(self, wanted: str) -> DeviceId:
        """The device that these words mean; a session that a code opened waits for the page to use it."""
        if not means_code(wanted):
            return DeviceId(match_device(wanted, await self.devices()).device_id)
        session = await self.reach(wanted)
        self._by_code[session.device_id] = session
        return session.device_id

    async def close(self) -> None:
        """End what nobody has used."""
        while self._by_code:
            _, session = self._by_code.popitem()
            await session.end()


def _visited_row(session: TechnicianSession) -> DeviceRow:
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return DeviceRow(
        device_id=session.device_id,
        name=shown_name(session.ready.device_name),
        group="",
        platform="",
        status="not verified",
        is_present=True,
        first_seen_at_utc=now,
        last_seen_at_utc=now,
    )


@asynccontextmanager
async def technician_app(config: TechnicianConfig) -> AsyncIterator[TechnicianApp]:
    """The running program of this data folder's technician; its link connects in the background.

    Raises:
        SupportError: E_IDENTITY_MISSING, E_IDENTITY_OWNER, E_PASSPHRASE, E_CERT_EXPIRED (our own), E_CONFIG.
    """
    with _refusal_noted(config, "technician"):
        identity = current_passphrases().open(config.identity_file, YOUR_KEY)
        identity = checked_identity(identity, Role.TECHNICIAN)
    async with _program(config, identity, read_relay(config)) as program:
        yield program


@asynccontextmanager
async def visitor_app(config: TechnicianConfig, relay: RelayAddress) -> AsyncIterator[TechnicianApp]:
    """The program of somebody without an organisation, who can do nothing but use a support code.

    Raises:
        UsageError: E_CONFIG, the relay's address.
    """
    identity = visitor_identity(Role.TECHNICIAN, now=datetime.now(UTC))
    async with _program(config, identity, checked_relay(relay)) as program:
        yield program


@asynccontextmanager
async def _program(
    config: TechnicianConfig, identity: Identity, relay: RelayAddress
) -> AsyncIterator[TechnicianApp]:
    async with _link(config, identity, relay) as link:
        program = TechnicianApp(config, identity, link)
        try:
            yield program
        finally:
            await program.close()


@asynccontextmanager
async def admin_link(config: TechnicianConfig) -> AsyncIterator[RelayLink]:
    """The relay, logged in to as the organisation's admin.

    Raises:
        SupportError: no organisation in this folder, our certificate has expired, E_CONFIG.
    """
    with _refusal_noted(config, "admin"):
        identity = checked_identity(OrganisationFolder(config.organisation_folder).admin(), Role.ADMIN)
    async with _link(config, identity, read_relay(config)) as link:
        yield link


@asynccontextmanager
async def fleet_link(config: TechnicianConfig) -> AsyncIterator[RelayLink]:
    """The relay, as the admin where this folder holds the organisation's keys, else as the technician."""
    if OrganisationFolder(config.organisation_folder).is_complete:
        async with admin_link(config) as link:
            yield link
    else:
        async with technician_app(config) as app:
            yield app.link


@asynccontextmanager
async def _link(
    config: TechnicianConfig, identity: Identity, relay: RelayAddress
) -> AsyncIterator[RelayLink]:
    make_private_folder(config.data)
    audit = SessionAudit(AuditLog(config.audit_file), actor=identity.subject_id, device_id="", session_id="")
    statuses = StatusStore(config, Trust(identity.root_der), audit=audit)
    policies = PolicyStore(config, statuses.trust, audit=audit)
    if not identity.is_visitor:  # whom nobody signed for has nobody to believe
        statuses.load()
        policies.load(now=datetime.now(UTC))
    async with RelayLink(relay, identity, policies, statuses=statuses) as link:
        yield link


@contextmanager
def _refusal_noted(config: TechnicianConfig, actor: str) -> Iterator[None]:
    """An identity that is not good enough is refused, and a refusal leaves a record."""
    try:
        yield
    except CertificateRefused as exc:
        event = AuditEvent(AuditKind.LOGIN_REFUSED, actor, "", "", False, {"code": exc.code.value})
        with suppress(SupportError):  # the refusal is what has to be told
            AuditLog(config.audit_file).append(event)
        raise


def checked_identity(identity: Identity, role: Role) -> Identity:
    """Our own identity, if it is good for this; so that a person hears the reason before the relay does.

    Raises:
        CertificateRefused: E_CERT_ROLE, E_CERT_EXPIRED with the day and the command that helps, or what is
            wrong with it under the root that is pinned beside it.
    """
    if identity.role is not role:
        raise CertificateRefused(f"this identity is a {identity.role}'s", code=ErrorCode.E_CERT_ROLE)
    if identity.not_after < datetime.now(UTC):
        renewal = "alongside org renew" if role is Role.ADMIN else "alongside org technician add"
        detail = (
            f"your own, {identity.name!r}, ran out on {identity.not_after:%Y-%m-%d %H:%M} UTC; "
            f"a new one comes from: {renewal}"
        )
        raise CertificateRefused(detail, code=ErrorCode.E_CERT_EXPIRED)
    verify_chain(identity.chain, identity.root_der, roles={role}, now=datetime.now(UTC))
    return identity
