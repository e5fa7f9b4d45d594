"""Opening a session: from the relay's ticket to a device that is proved to be the one asked for."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from protocol.aio.log_in import open_session_wire
from protocol.aio.tunnel_io import TunnelIO
from protocol.aio.wire import Wire
from protocol.audit import AuditKind
from protocol.certificates import Role, VerifiedPeer, verify_visitor
from protocol.errors import CertificateRefused, ErrorCode, SupportError
from protocol.identity import Identity, visitor_identity
from protocol.ids import DeviceId, SessionId, checked_session_id
from protocol.messages.control import SessionOpened
from protocol.pairing import Binding, TechnicianPairing
from protocol.readback import readback_digits
from protocol.session import SessionMachine
from protocol.support_code import SupportCode
from protocol.trust import Trust
from protocol.tunnel import HandshakeDone, Tunnel, TunnelEnd
from technician_client.link import RelayLink
from technician_client.refusals import refusal
from technician_client.session_audit import AuditSink, SessionAudit
from technician_client.session_proof import Proving
from technician_client.sessions import TechnicianSession, Verified


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which session with which device was asked for, by whom, and whom that one believes.

    With `code`, `device_id` is "": the device that holds the code is wanted, whichever it is.
    """

    session_id: SessionId
    device_id: DeviceId
    identity: Identity
    audit: AuditSink
    trust: Trust | None = None
    code: SupportCode | None = None
    proving: Proving | None = None

    @property
    def believed(self) -> Trust:
        """`trust`, or the identity's root alone."""
        return self.trust or Trust(self.identity.root_der)

    def verified(self, chain: tuple[bytes, ...]) -> VerifiedPeer:
        """The device of this chain, if it is the one that was asked for and not revoked.

        Raises:
            CertificateRefused: E_CERT_SUBJECT, E_CERT_REVOKED, or its chain is not good.
            DocumentRefused: the status list here is over.
        """
        now = datetime.now(UTC)
        if self.identity.is_visitor:
            return verify_visitor(chain, role=Role.DEVICE, now=now)
        self.believed.require_fresh(now)
        device = self.believed.verify(chain, roles={Role.DEVICE}, now=now)
        if self.code is None and str(device.subject_id) != self.device_id:
            detail = f"asked for {self.device_id}, reached {device.subject_id}"
            raise CertificateRefused(detail, code=ErrorCode.E_CERT_SUBJECT)
        return device


async def establish(wire: Wire, wanted: Wanted) -> TechnicianSession:
    """Build the tunnel on a paired session wire, verify the device, and wait for its Ready.

    Owns the wire from here on, also when it fails.

    Raises:
        CertificateRefused: the device is not the one asked for (E_CERT_SUBJECT), or its chain is not good.
        SupportError: the agent's refusal, E_HANDSHAKE, E_LINK_LOST.
    """
    audit = _audit(wanted)
    try:
        roots = wanted.believed.roots.all
        tunnel = TunnelIO(wire, Tunnel(TunnelEnd.TECHNICIAN, wanted.identity, roots))
        loop = asyncio.get_running_loop()
        machine = SessionMachine(now_s=loop.time())
        machine.paired(loop.time())
        handshake = await tunnel.handshake()
        machine.handshake_done()
        device = wanted.verified(handshake.peer_chain)
        audit.device_id = device.subject_id
        verified = Verified(
            session_id=wanted.session_id,
            device=device,
            group_name=handshake.group_name,
            tunnel=tunnel,
            machine=machine,
            audit=audit,
            readback=readback_digits(handshake.exporter),
            pairing=_pairing(handshake, wanted),
            proving=wanted.proving,
        )
        session = TechnicianSession(verified)
        await session.start()
    except BaseException as exc:
        await wire.close()
        if isinstance(exc, SupportError):
            audit.note(AuditKind.SESSION_REFUSED, succeeded=False, code=str(exc.code))
        raise
    return session


def _pairing(handshake: HandshakeDone, wanted: Wanted) -> TechnicianPairing | None:
    if wanted.code is None:
        return None
    own, device = wanted.identity.chain[0], handshake.peer_chain[0]
    binding = Binding(wanted.code.nameplate, own, device, handshake.exporter)
    return TechnicianPairing(wanted.code.secret, binding)


async def open_session(
    link: RelayLink,
    device_id: DeviceId,
    *,
    identity: Identity,
    audit: AuditSink,
    proving: Proving | None = None,
) -> TechnicianSession:
    """A session with this device. Nothing was sent into it yet, and nobody at the device was asked.

    Raises:
        SupportError: E_DEVICE_UNKNOWN, E_DEVICE_AWAY, E_DEVICE_PENDING, E_PEER_SILENT, the agent's own
            reason to decline, E_RELAY_UNREACHABLE, and as `establish`.
    """
    opened = await link.open_session(device_id)
    trust = link.policies.trust
    wanted = Wanted(checked_session_id(opened.session_id), device_id, identity, audit, trust, proving=proving)
    return await _open(link, opened, wanted)


async def open_code_session(
    link: RelayLink,
    code: SupportCode,
    *,
    identity: Identity,
    audit: AuditSink,
    proving: Proving | None = None,
) -> TechnicianSession:
    """A session with the device that shows this code. The relay hears the nameplate alone.

    The relay says whether both ends share an organisation; a wrong word of it lets nobody in, since an end
    with an organisation takes no visitor's certificate, and a visitor takes no other.

    Raises:
        SupportError: E_CODE_UNKNOWN, E_CODE_WRONG, E_CODE_USED, E_CODE_EXPIRED, and as `open_session`.
    """
    opened = await link.open_code_session(code.nameplate)
    if opened.is_visitor and not identity.is_visitor:
        identity = visitor_identity(Role.TECHNICIAN, now=datetime.now(UTC))
    session_id, trust = checked_session_id(opened.session_id), link.policies.trust
    wanted = Wanted(session_id, DeviceId(""), identity, audit, trust, code, proving)
    return await _open(link, opened, wanted)


async def _open(link: RelayLink, opened: SessionOpened, wanted: Wanted) -> TechnicianSession:
    notes = _audit(wanted)
    notes.note(AuditKind.SESSION_OFFERED)
    try:
        wire = await _paired_wire(link, opened)
    except SupportError as exc:
        notes.note(AuditKind.SESSION_REFUSED, succeeded=False, code=str(exc.code))
        raise
    session = await establish(wire, wanted)
    trust = link.policies.trust
    if link.statuses is not None:
        session.when_over(link.statuses.watch(lambda: _judge_again(session, trust)))
        _judge_again(session, trust)  # one may have come between the handshake and now
    return session


def _judge_again(session: TechnicianSession, trust: Trust) -> None:
    """A newer status list is in force: a session with a device that it revokes ends."""
    try:
        trust.require_unrevoked(session.device)
    except CertificateRefused as exc:
        session.refuse(exc.code)


async def _paired_wire(link: RelayLink, opened: SessionOpened) -> Wire:
    """The session's wire once the agent is there too, unless the agent declines first."""
    relay = link.relay
    pairing = asyncio.create_task(
        open_session_wire(relay.url, opened.route, opened.ticket, tls_ca=relay.tls_ca_file)
    )
    declining = asyncio.create_task(link.declined(opened.session_id))
    try:
        await asyncio.wait({pairing, declining}, return_when=asyncio.FIRST_COMPLETED)
        if not pairing.done():
            raise refusal(declining.result(), "said by the device")
        return pairing.result()
    except BaseException:
        await _abandon(pairing)
        raise
    finally:
        declining.cancel()
        await asyncio.gather(declining, return_exceptions=True)


async def _abandon(pairing: asyncio.Task[Wire]) -> None:
    """Give the pairing up; a wire that it opened meanwhile is closed."""
    pairing.cancel()
    (outcome,) = await asyncio.gather(pairing, return_exceptions=True)
    if not isinstance(outcome, BaseException):
        await outcome.close()


def _audit(wanted: Wanted) -> SessionAudit:
    return SessionAudit(
        wanted.audit,
        actor=wanted.identity.subject_id,
        device_id=wanted.device_id,
        session_id=wanted.session_id,
    )
