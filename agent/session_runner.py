"""One session on the agent's side, from the paired socket to the technician's admission or refusal."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from agent.admission import Admitted, admit
from agent.desktop.ipc_messages import HelpNews, HelpOutcome
from agent.live_session import GOODBYE_TIMEOUT_S, DeviceSide, LiveSession, SessionParts, say_goodbye
from agent.session_audit import SessionAudit
from agent.visitor_admission import admit_visitor, still_admitted
from protocol.aio.channel_io import ChannelIO
from protocol.aio.tunnel_io import TunnelIO
from protocol.aio.wire import Wire
from protocol.audit import AuditKind
from protocol.errors import CertificateRefused, ErrorCode, Refused, SupportError
from protocol.grants import Grant
from protocol.ids import SessionId
from protocol.names import shown_name
from protocol.readback import readback_digits
from protocol.session import SessionMachine
from protocol.tunnel import HandshakeDone, Tunnel, TunnelEnd

log = structlog.get_logger()


class SessionRunner:
    """Runs one session that the relay paired; `run` returns when nothing of it is left."""

    def __init__(self, device: DeviceSide, session_id: SessionId, nameplate: str = "") -> None:
        """`nameplate` is there when the technician comes by a support code."""
        self.session_id = session_id
        self.technician = ""
        self.readback = ""
        self._device = device
        self._nameplate = nameplate
        self._audit = SessionAudit(device.audit_log, device.device_id, session_id)
        self._machine = SessionMachine(now_s=self._now_s())
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._live: LiveSession | None = None
        self._chain: tuple[bytes, ...] = ()
        self._asker_uid: int | None = None

    @property
    def live_grants(self) -> list[Grant]:
        """The grants that are held now."""
        book = self._live.consent.book if self._live else None
        return book.live if book else []

    @property
    def seat_uid(self) -> int | None:
        """The user at whose desktop it is; None before anybody was asked."""
        desk = self._live.consent.desk if self._live else None
        return desk.seat.uid if desk else None

    @property
    def expected_uid(self) -> int | None:
        """The user at whose desktop it is, or to whom it would come now; None: there is no desktop."""
        if self._live is not None:
            return self._live.consent.seat_uid
        asker_uid, codes = self._asker_uid, self._device.codes
        if asker_uid is None and self._nameplate and codes is not None:
            asker_uid = codes.asker_uid
        seat = self._device.desktop.seat_for(asker_uid)
        return seat.uid if seat else None

    @property
    def is_live(self) -> bool:
        """Whether the technician was admitted, so that there is somebody to say goodbye to."""
        return self._live is not None

    def end(self, cause: str) -> None:
        """Begin the end; the first cause stands. `run` does the rest."""
        if not self._over.done():
            self._over.set_result(cause)

    def judge_again(self) -> None:
        """End the session when its technician's certificate is not good any more (a newer status list)."""
        if not self._chain:
            return  # not admitted yet, and judged then
        try:
            self._admit(self._chain)
        except CertificateRefused as exc:
            log.warning("session.refused", session_id=self.session_id, code=str(exc.code), detail=exc.detail)
            self.end(exc.code)
        except SupportError as exc:
            log.info("session.goes_on", session_id=self.session_id, code=str(exc.code))

    async def run(self, wire: Wire) -> None:
        """From the paired socket to the end. Cancelling it ends the session as well."""
        roots = [self._device.policies.trust.roots.newest]
        tunnel_io = TunnelIO(wire, Tunnel(TunnelEnd.DEVICE, self._device.identity, roots))
        self._machine.paired(self._now_s())
        try:
            done = await tunnel_io.handshake()
            self._machine.handshake_done()
            self.readback = readback_digits(done.exporter)
            await self._verify_and_live(tunnel_io, done)
        except SupportError as exc:
            log.warning("session.failed", session_id=self.session_id, code=str(exc.code), detail=exc.detail)
            self._refused(exc.code)
        finally:
            with suppress(SupportError, TimeoutError):
                async with asyncio.timeout(GOODBYE_TIMEOUT_S):
                    await tunnel_io.close()

    async def _verify_and_live(self, tunnel_io: TunnelIO, done: HandshakeDone) -> None:
        channels = ChannelIO(tunnel_io)
        pump: asyncio.Task[None] | None = None
        admitted: Admitted | None = None
        try:
            admitted = self._admit(done.peer_chain)
            self._chain = done.peer_chain
            self._check_welcome(admitted)
            if self._nameplate:
                pump = asyncio.create_task(channels.run())
                await self._pair(channels, done, admitted)
                admitted = self._admit_again(done.peer_chain, admitted)
                self._check_welcome(admitted)
            self.technician = admitted.peer.subject_id
            self._audit.actor = admitted.peer.subject_id
            self._audit.write(
                AuditKind.SESSION_READY,
                {"name": shown_name(admitted.peer.name), "consent": admitted.rules.consent.value},
            )
        except BaseException as exc:
            if isinstance(exc, SupportError):
                self._refused(exc.code)
                log.warning("session.refused", session_id=self.session_id, code=exc.code, detail=exc.detail)
                peer = admitted.peer if admitted else None
                goodbye = self._device.goodbye(exc.code, peer, self.expected_uid)
                await say_goodbye(channels, tunnel_io, goodbye, is_pumping=pump is not None)
            await _end(pump)
            if isinstance(exc, SupportError):
                return
            raise
        parts = SessionParts(
            session_id=self.session_id,
            channels=channels,
            audit=self._audit,
            machine=self._machine,
            over=self._over,
            admit_again=lambda: self._admit_again(done.peer_chain, admitted),
            readback=self.readback,
            pump=pump,
            asker_uid=self._asker_uid,
        )
        self._live = LiveSession(self._device, parts, admitted)
        cause = await self._live.run(tunnel_io)
        desk = self._live.consent.desk
        if desk is not None:
            await self._device.show_card(desk.seat, self.session_id)
        log.info("session.ended", session_id=self.session_id, cause=cause)

    async def _pair(self, channels: ChannelIO, done: HandshakeDone, admitted: Admitted) -> None:
        """Prove the code; until then the technician is nobody, whatever the certificate says."""
        from agent.pairing import PairingTerms, pair_as_device  # SPAKE2's tables: where a code is used
        from protocol.pairing import Binding

        codes, own = self._device.codes, self._device.identity
        if codes is None:
            raise Refused("no codes here", code=ErrorCode.E_CODE_UNKNOWN)
        binding = Binding(self._nameplate, done.peer_chain[0], own.chain[0], done.exporter)
        terms = PairingTerms(binding, lambda: codes.take(self._nameplate, self.session_id))
        guess = await pair_as_device(channels.control, terms)
        self._asker_uid = guess.asker_uid
        is_known = not admitted.peer.is_visitor
        guess.matched(
            HelpNews(
                outcome=HelpOutcome.TECHNICIAN,
                session_id=self.session_id,
                technician_name=shown_name(admitted.peer.name) if is_known else "",
                organisation_name=shown_name(self._device.organisation_name) if is_known else "",
                readback=self.readback,
            )
        )

    def _check_welcome(self, admitted: Admitted) -> None:
        """Only who was admitted hears of a pause or a block: it says something about the person."""
        unwelcome = self._device.welcome.refusal(admitted.peer, self.expected_uid)
        if unwelcome is not None:
            raise Refused("the person does not want it now", code=unwelcome)

    def _refused(self, code: str) -> None:
        self._machine.end(code)
        self._audit.note(AuditKind.SESSION_REFUSED, {"code": code}, succeeded=False)

    def _admit(self, chain: tuple[bytes, ...]) -> Admitted:
        device = self._device
        if device.identity.is_visitor:
            return admit_visitor(chain, now=datetime.now(UTC))
        return admit(chain, device.policies, group=device.group, now=datetime.now(UTC))

    def _admit_again(self, chain: tuple[bytes, ...], before: Admitted) -> Admitted:
        if before.peer.is_visitor:
            return still_admitted(before, datetime.now(UTC))
        return self._admit(chain)

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()


async def _end(pump: asyncio.Task[None] | None) -> None:
    if pump is not None:
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)
