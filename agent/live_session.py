"""A session whose technician was admitted: Ready, asks, channels, heartbeats, and the end.

Whatever ends it, in this order: no grant is left, no channel is served, the technician is told, the
indicator is taken away, the tunnel is closed.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from agent.admission import Admitted
from agent.ask_patience import AskPatience
from agent.blocks import Block
from agent.capabilities.base import Capability
from agent.code_desk import CodeDesk
from agent.desktop_link import DesktopLink, DesktopSeat, SessionDesk
from agent.lasting_time import slept_s
from agent.policy_store import PolicyStore
from agent.ratings import RatingBook
from agent.session_audit import Appends, SessionAudit
from agent.session_channels import ChannelParts, SessionChannels
from agent.session_consent import SessionConsent
from agent.session_facts import SessionFacts
from agent.session_proof import ProofParts, SessionProof
from agent.standing import StandingConsent, StandingConsents
from agent.welcome import Welcome
from protocol.aio.channel_io import ChannelEnded, ChannelIO
from protocol.aio.first_of import first_of
from protocol.aio.session_proof import OwnLog
from protocol.aio.tunnel_io import TunnelIO
from protocol.audit import AuditKind
from protocol.certificates import VerifiedPeer
from protocol.errors import ErrorCode, PeerViolation, SupportError, Unreachable
from protocol.grantables import Grantable, in_order
from protocol.grants import Grant
from protocol.identity import Identity
from protocol.ids import DeviceId, SessionId
from protocol.limits import NAME_LIMIT_CHARS, RATINGS_OFFERED_LIMIT
from protocol.messages import session as messages
from protocol.messages.channel import CloseChannel, OpenChannel
from protocol.messages.consent import Ask, AskAnswer, AskPending, GivenGrant, GrantEnded, ReleaseGrant
from protocol.names import shown_name, shown_text
from protocol.peer_clock import PeerClock
from protocol.receipt import Parties
from protocol.session import Ended, SendHeartbeat, SessionMachine
from protocol.version import PROTOCOL_VERSION

log = structlog.get_logger()

GOODBYE_TIMEOUT_S = 1.0
TELL_TIMEOUT_S = 10.0
ASKS_AT_ONCE_LIMIT = 4
TECHNICIAN_LEFT = "technician_left"
FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class BuildFor:
    """What the capabilities of one session are built from, once it is bound to a desktop process."""

    desk: SessionDesk
    audit: SessionAudit
    peer_clock: PeerClock
    admitted: Admitted


ShowCard = Callable[[DesktopSeat, SessionId], Awaitable[None]]


async def show_no_card(_seat: DesktopSeat, _session_id: SessionId) -> None:
    """No card after a session."""


@dataclass(frozen=True, slots=True)
class DeviceSide:
    """What all sessions of this device share."""

    identity: Identity
    device_id: DeviceId
    device_name: str
    organisation_name: str
    group: str
    policies: PolicyStore
    desktop: DesktopLink
    audit_log: Appends
    build_capabilities: Callable[[BuildFor], dict[str, Capability]]
    codes: CodeDesk | None = None
    own_log: OwnLog | None = None
    on_receipt: Callable[[], None] = lambda: None
    patience: AskPatience = field(default_factory=AskPatience)
    standing: StandingConsents = field(default_factory=lambda: StandingConsents(None))
    welcome: Welcome = field(default_factory=Welcome)
    ratings: RatingBook = field(default_factory=lambda: RatingBook(None))
    show_card: ShowCard = show_no_card
    slept_s: Callable[[], float] = slept_s

    def goodbye(self, cause: str, peer: VerifiedPeer | None, uid: int | None) -> messages.EndSession:
        """What the technician is told about this end at this user's desktop; no peer: nobody is proved."""
        wait_s = self.welcome.wait_s(cause, peer, uid) if peer is not None else 0.0
        return messages.EndSession(cause, wait_s)


@dataclass(frozen=True, slots=True)
class SessionParts:
    """What a session has from its first moment; `over` takes the cause of its end.

    `admit_again` judges the technician anew, under the policy and at the time of the call. `pump` is the
    running `channels.run()` when the two ends have talked before. `asker_uid`: who asked for help by a code.
    """

    session_id: SessionId
    channels: ChannelIO
    audit: SessionAudit
    machine: SessionMachine
    over: "asyncio.Future[str]"
    admit_again: Callable[[], Admitted]
    readback: str
    pump: asyncio.Task[None] | None = None
    asker_uid: int | None = None


class LiveSession:
    """A session whose technician is admitted."""

    def __init__(self, device: DeviceSide, parts: SessionParts, admitted: Admitted) -> None:
        self._device = device
        self._session_id = parts.session_id
        self._io = parts.channels
        self._admitted = admitted
        self._audit, self._machine, self._over = parts.audit, parts.machine, parts.over
        self._pumping = parts.pump
        self._clock = PeerClock()
        self._capabilities: dict[str, Capability] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._desk_bound: asyncio.Future[SessionDesk] = asyncio.get_running_loop().create_future()
        self._grants_changed = asyncio.Event()
        self._ends_s = _now_s() + (admitted.peer.not_after - datetime.now(UTC)).total_seconds()
        self._over_soon: asyncio.Queue[list[Grant]] = asyncio.Queue()
        self.consent = SessionConsent(
            SessionFacts(
                device_id=device.device_id,
                session_id=self._session_id,
                organisation_name=device.organisation_name,
                admitted=admitted,
                admit_again=parts.admit_again,
                certificate_ends_s=self._ends_s,
                patience=device.patience,
                standing=device.standing,
                welcome=device.welcome,
                group=device.group,
                readback=parts.readback,
                slept_s=device.slept_s,
                asker_uid=parts.asker_uid,
            ),
            device.desktop,
            self._audit,
            on_desk=self._on_desk,
            on_mismatch=self._mismatched,
        )
        self._channels = SessionChannels(
            ChannelParts(self._io, self.consent, self._audit, self._tell, self.end), self._capabilities
        )
        self._proof = self._make_proof()

    def _make_proof(self) -> SessionProof | None:
        device, peer = self._device, self._admitted.peer
        if device.own_log is None or peer.is_visitor:  # no organisation vouches for either end
            return None
        parties = Parties(
            organisation_id=device.own_log.identity.organisation_id,
            session_id=self._session_id,
            device_id=device.device_id,
            device_name=shown_name(device.device_name),
            technician_id=peer.subject_id,
            technician_name=shown_name(peer.name),
        )
        return SessionProof(ProofParts(device.own_log, parties, self._audit, self._tell))

    def end(self, cause: str) -> None:
        """Begin the end; the first cause stands. `run` does the rest."""
        if not self._over.done():
            self._over.set_result(cause)

    async def run(self, tunnel_io: TunnelIO) -> str:
        """Serve until it is over; returns the cause. Nothing acts any more when this returns."""
        pump = asyncio.create_task(self._pump())
        self._device.standing.listeners.add(self._standing_ended)
        self._device.welcome.blocks.listeners.add(self._blocked)
        try:
            await self._tell(self._ready())
            self._machine.accepted(_now_s(), self._ends_s)
            if self._proof is not None:
                await self._proof.begin()
            await self._offer_ratings()
            await first_of(
                self._listen(), self._tick(), self._watch_desk(), self._wait_over(), self._end_taken_back()
            )
        except SupportError as exc:
            self.end(exc.code)
        except asyncio.CancelledError:
            self.end(FINISHED)
            raise
        finally:
            self._device.standing.listeners.discard(self._standing_ended)
            self._device.welcome.blocks.listeners.discard(self._blocked)
            await self._stop()
            self._audit.note(AuditKind.SESSION_ENDED, {"cause": self._over.result()})
            try:
                await self._say_goodbye(tunnel_io)
            finally:  # asyncio.timeout of Python 3.11.2 raises CancelledError in a task that was cancelled
                pump.cancel()
                await asyncio.gather(pump, return_exceptions=True)
                await self.consent.close()
        return self._over.result()

    async def _offer_ratings(self) -> None:
        peer = self._admitted.peer
        if peer.is_visitor:
            return
        for rating in self._device.ratings.waiting_for(peer.subject_id)[:RATINGS_OFFERED_LIMIT]:
            await self._tell(messages.OfferRating(rating.session_id, rating.is_good, rating.comment))

    def _rating_taken(self, session_id: str) -> None:
        if self._device.ratings.delivered(session_id, self._admitted.peer.subject_id):
            self._audit.note(AuditKind.RATING_DELIVERED, {"rated_session": session_id})

    async def _say_goodbye(self, tunnel_io: TunnelIO) -> None:
        proof = self._proof
        goodbye = self._device.goodbye(self._over.result(), self._admitted.peer, self.consent.seat_uid)
        finish = (lambda: proof.finish(self._io.control)) if proof is not None else None
        try:
            await say_goodbye(self._io, tunnel_io, goodbye, is_pumping=True, finish=finish)
        finally:
            if proof is not None:
                proof.settle()
                self._device.on_receipt()

    async def _stop(self) -> None:
        """Take every grant away first, then what lived from it."""
        self.end(ErrorCode.E_INTERNAL)  # no effect when a cause is known, as it should be
        cause = self._over.result()
        self._machine.end(cause)
        ended = self.consent.book.end_all() if self.consent.book else []
        for task in self._asking:
            task.cancel()
        await self._channels.end_all()
        await asyncio.gather(*self._asking, return_exceptions=True)
        for grant in ended:
            self.consent.note_ended(grant, cause)

    def _ready(self) -> messages.Ready:
        return messages.Ready(
            version=PROTOCOL_VERSION,
            session_id=self._session_id,
            device_name=shown_name(self._device.device_name),
            organisation_name=shown_text(self._device.organisation_name, NAME_LIMIT_CHARS),
            consent=self._admitted.rules.consent.value,
            offers=in_order(self._admitted.offers),
        )

    async def _pump(self) -> None:
        try:
            await (self._pumping or self._io.run())
        except SupportError as exc:
            self.end(exc.code)
        except Exception:
            log.exception("session.pump_failed", session_id=self._session_id)
            self.end(ErrorCode.E_INTERNAL)

    async def _wait_over(self) -> None:
        await asyncio.shield(self._over)

    async def _listen(self) -> None:
        while True:
            message = messages.FROM_TECHNICIAN_CODEC.decode(await self._io.control.receive())
            match message:
                case Ask():
                    self._start_ask(message)
                case OpenChannel():
                    await self._channels.open(message)
                case CloseChannel():
                    await self._channels.close(message)
                case ReleaseGrant():
                    await self._release(message)
                case messages.Heartbeat():
                    await self._tell(messages.HeartbeatAnswer(message.beat_no, message.sent_at_ms, _now_ms()))
                case messages.HeartbeatAnswer():
                    self._machine.answered(message.beat_no)
                    self._clock.answered(message.beat_no, message.answered_at_ms, _now_s() * 1000)
                case messages.AskRecord() | messages.TellRecord() | messages.AnswerReceipt():
                    if self._proof is not None:
                        await self._proof.take(message)
                case messages.TakeRating(session_id):
                    self._rating_taken(session_id)
                case messages.EndSession(cause=cause):
                    self.end(FINISHED if cause == FINISHED else TECHNICIAN_LEFT)
                    return

    def _start_ask(self, ask: Ask) -> None:
        # an answer waits for a technician who does not read: without a bound, so would any number of asks
        if len(self._asking) >= ASKS_AT_ONCE_LIMIT:
            raise PeerViolation("too many asks at once", code=ErrorCode.E_RATE)
        task = asyncio.create_task(self._answer(ask))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _answer(self, ask: Ask) -> None:
        async def pending(timeout_s: float) -> None:
            await self._tell(AskPending(ask_no=ask.ask_no, timeout_s=timeout_s))

        try:
            outcome = await self.consent.ask(ask, pending)
            refused: dict[str, str] = dict.fromkeys(ask.grantables, ErrorCode.E_POLICY_CAPABILITY.value)
            refused |= {grantable.value: code.value for grantable, code in outcome.refused.items()}
            for grantable in outcome.granted:
                del refused[grantable.value]
            granted = [self._given(grantable) for grantable in outcome.granted]
            await self._tell(AskAnswer(ask_no=ask.ask_no, granted=granted, refused=refused))
            self._grants_changed.set()
        except ChannelEnded:
            return
        except SupportError as exc:
            self.end(exc.code)
        except Exception:
            log.exception("session.ask_failed", session_id=self._session_id)
            self.end(ErrorCode.E_INTERNAL)

    def _given(self, grantable: Grantable) -> GivenGrant:
        grant = self.consent.require(grantable)
        return GivenGrant(grant.grant_id, grantable.value, grant.until_s - _now_s())

    def _on_desk(self, desk: SessionDesk) -> None:
        built = self._device.build_capabilities(BuildFor(desk, self._audit, self._clock, self._admitted))
        self._capabilities.update(built)
        self._desk_bound.set_result(desk)

    def _mismatched(self) -> None:
        """Who talks to the person is not who is in this session, or somebody is between them."""
        self._audit.note(AuditKind.READBACK_COMPARED, {"outcome": "mismatched"}, actor="person")
        self.end(ErrorCode.E_READBACK_MISMATCH)
        self.consent.block(is_mismatch=True)  # which ends every other session of theirs

    def _blocked(self, block: Block) -> None:
        if self._device.welcome.is_meant(block, self._admitted.peer):
            self.end(block.code)

    async def _watch_desk(self) -> None:
        desk = await asyncio.shield(self._desk_bound)

        async def stopped() -> None:
            await desk.stopped.wait()
            self.consent.note_no()
            if desk.is_mismatch:
                self._mismatched()
            self.end(ErrorCode.E_SESSION_STOPPED)
            self._audit.note(AuditKind.SESSION_STOPPED, actor="person")

        async def lost() -> None:
            await desk.seat.lost.wait()
            self.end(ErrorCode.E_CONSENT_NOBODY)

        async def left() -> None:
            while True:
                await desk.seat.absence.departed()
                await self._end_grants(ErrorCode.E_CONSENT_AWAY)

        await first_of(stopped(), lost(), left())

    async def _tick(self) -> None:
        while True:
            await self._sleep()
            self._machine.heard(self._io.heard_at_s)
            for effect in self._machine.tick(_now_s()):
                match effect:
                    case SendHeartbeat(beat_no):
                        self._clock.asked(beat_no, _now_s() * 1000)
                        await self._tell(messages.Heartbeat(beat_no, _now_ms()))
                    case Ended(cause):
                        self.end(cause)
                        return
            for grant in self.consent.book.end_due(_now_s()) if self.consent.book else []:
                self.consent.note_ended(grant, ErrorCode.E_GRANT_ENDED)
                await self._grant_over(grant, ErrorCode.E_GRANT_ENDED)
            if self.consent.is_absent:
                await self._end_grants(ErrorCode.E_CONSENT_AWAY)

    async def _sleep(self) -> None:
        book = self.consent.book
        deadlines = [self._machine.deadline_s, book.deadline_s if book else None]
        self._grants_changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(
                min((each for each in deadlines if each is not None), default=None)
            ):
                await self._grants_changed.wait()

    async def _release(self, message: ReleaseGrant) -> None:
        book = self.consent.book
        grant = book.find(message.grant_id) if book else None
        if grant is not None and self.consent.end(grant, ErrorCode.E_GRANT_ENDED):
            await self._grant_over(grant, ErrorCode.E_GRANT_ENDED)

    def _standing_ended(self, ended: StandingConsent) -> None:
        grants = self.consent.resting_on(ended.standing_id)
        for grant in grants:  # now: what the channels still do is refused from here on
            self.consent.end(grant, ErrorCode.E_GRANT_ENDED)
        self._over_soon.put_nowait(grants)

    async def _end_taken_back(self) -> None:
        while True:
            for grant in await self._over_soon.get():
                await self._grant_over(grant, ErrorCode.E_GRANT_ENDED)

    async def _end_grants(self, code: ErrorCode) -> None:
        """Every grant is over, all of them before anything waits; the session goes on without."""
        live = self.consent.book.live if self.consent.book else []
        ended = [grant for grant in live if self.consent.end(grant, code)]
        for grant in ended:
            await self._grant_over(grant, code)

    async def _grant_over(self, grant: Grant, code: ErrorCode) -> None:
        await self._channels.end_for(grant.grantable, code)
        await self._tell(GrantEnded(grant.grant_id, grant.grantable.value, code))
        await self.consent.refresh_indicator()

    async def _tell(self, message: messages.FromAgent) -> None:
        try:
            async with asyncio.timeout(TELL_TIMEOUT_S):
                await self._io.control.send(messages.FROM_AGENT_CODEC.encode(message))
        except TimeoutError:
            raise Unreachable("the technician does not read", code=ErrorCode.E_PEER_SILENT) from None


async def say_goodbye(
    channels: ChannelIO,
    tunnel_io: TunnelIO,
    goodbye: messages.EndSession,
    *,
    is_pumping: bool = False,
    finish: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Tell the technician why, as far as the tunnel still carries anything, and close it.

    `finish` is what is left to be said after that.
    """
    pump = None if is_pumping else asyncio.create_task(channels.run())
    try:
        async with asyncio.timeout(GOODBYE_TIMEOUT_S):
            await channels.control.send(messages.FROM_AGENT_CODEC.encode(goodbye))
            await channels.drain()
        if finish is not None:
            await finish()
        async with asyncio.timeout(GOODBYE_TIMEOUT_S):
            await tunnel_io.close()
    except (SupportError, TimeoutError) as exc:
        log.debug("session.goodbye_unheard", detail=str(exc))
    finally:
        if pump is not None:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _now_ms() -> int:
    return int(time.monotonic() * 1000)
