"""Opening a session: from the relay's ticket to a device that is proved to be the one asked for."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from protocol.aio.log_in import open_session_wire
from protocol.aio.tunnel_io import TunnelIO
from protocol.aio.wire import Wire
from protocol.audit import AuditKind
from protocol.certificates import Role, VerifiedPeer
from protocol.errors import CertificateRefused, ErrorCode, SupportError
from protocol.identity import Identity
from protocol.ids import DeviceId, SessionId, checked_session_id
from protocol.messages.control import SessionOpened
from protocol.session import SessionMachine
from protocol.trust import Trust
from protocol.tunnel import Tunnel, TunnelEnd
from technician_client.link import RelayLink
from technician_client.refusals import refusal
from technician_client.session_audit import AuditSink, SessionAudit
from technician_client.sessions import TechnicianSession, Verified


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which session with which device was asked for, by whom, and whom that one believes."""

    session_id: SessionId
    device_id: DeviceId
    identity: Identity
    audit: AuditSink
    trust: Trust | None = None

    def verified(self, chain: tuple[bytes, ...]) -> VerifiedPeer:
        """The device of this chain, if it is the one that was asked for and not revoked.

        Raises:
            CertificateRefused: E_CERT_SUBJECT, E_CERT_REVOKED, or its chain is not good.
            DocumentRefused: the status list here is over.
        """
        now = datetime.now(UTC)
        trust = self.trust or Trust(self.identity.root_der)
        trust.require_fresh(now)
        device = trust.verify(chain, roles={Role.DEVICE}, now=now)
        if str(device.subject_id) != self.device_id:
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
        tunnel = TunnelIO(wire, Tunnel(TunnelEnd.TECHNICIAN, wanted.identity))
        loop = asyncio.get_running_loop()
        machine = SessionMachine(now_s=loop.time())
        machine.paired(loop.time())
        handshake = await tunnel.handshake()
        machine.handshake_done()
        device = wanted.verified(handshake.peer_chain)
        verified = Verified(wanted.session_id, device, handshake.group_name, tunnel, machine, audit)
        session = TechnicianSession(verified)
        await session.start()
    except BaseException as exc:
        await wire.close()
        if isinstance(exc, SupportError):
            audit.note(AuditKind.SESSION_REFUSED, succeeded=False, code=str(exc.code))
        raise
    return session


async def open_session(
    link: RelayLink, device_id: DeviceId, *, identity: Identity, audit: AuditSink
) -> TechnicianSession:
    """A session with this device. Nothing was sent into it yet, and nobody at the device was asked.

    Raises:
        SupportError: E_DEVICE_UNKNOWN, E_DEVICE_AWAY, E_DEVICE_PENDING, E_PEER_SILENT, the agent's own
            reason to decline, E_RELAY_UNREACHABLE, and as `establish`.
    """
    opened = await link.open_session(device_id)
    trust = link.policies.trust
    wanted = Wanted(checked_session_id(opened.session_id), device_id, identity, audit, trust)
    notes = _audit(wanted)
    notes.note(AuditKind.SESSION_OFFERED)
    try:
        wire = await _paired_wire(link, opened)
    except SupportError as exc:
        notes.note(AuditKind.SESSION_REFUSED, succeeded=False, code=str(exc.code))
        raise
    session = await establish(wire, wanted)
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
