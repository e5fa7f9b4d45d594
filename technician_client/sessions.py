"""A live session at the technician's end: its control channel, its grants, its channels, its end."""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar

import structlog

from protocol.aio.channel_io import ChannelIO, ChannelStream
from protocol.aio.tunnel_io import TunnelIO
from protocol.audit import AuditKind
from protocol.certificates import VerifiedPeer
from protocol.channels import CHANNEL_TERMS
from protocol.errors import (
    ErrorCode,
    NotGranted,
    PeerViolation,
    SupportError,
    Unreachable,
    WrongState,
)
from protocol.grantables import Grantable
from protocol.ids import DeviceId, SessionId, checked_session_id
from protocol.limits import (
    CONSENT_EXTENSIONS_LIMIT,
    CONSENT_TIMEOUT_S,
    RATINGS_OFFERED_LIMIT,
    RECEIPT_TIMEOUT_S,
    SESSION_LENGTH_DEFAULT_S,
)
from protocol.messages import session as wire_messages
from protocol.messages.channel import ChannelClosed, ChannelOpened, ChannelRefused, OpenChannel
from protocol.messages.consent import Ask, AskAnswer, AskPending, GivenGrant, GrantEnded
from protocol.messages.session import (
    AskRecord,
    EndSession,
    Heartbeat,
    HeartbeatAnswer,
    OfferRating,
    OfferReceipt,
    Ready,
    TakeRating,
    TellRecord,
)
from protocol.names import shown_name
from protocol.pairing import TechnicianPairing
from protocol.peer_clock import PeerClock
from protocol.receipt import Parties
from protocol.session import Ended, SendHeartbeat, SessionMachine, State
from protocol.version import PROTOCOL_VERSION
from technician_client.held_grants import HeldGrants
from technician_client.notices import PeerAlarm, SessionNotice, SessionOver
from technician_client.pairing import pair_as_technician
from technician_client.refusals import goodbye_detail, refusal
from technician_client.session_audit import SessionAudit
from technician_client.session_proof import ProofParts, Proving, SessionProof

T = TypeVar("T")
CHANNEL_OPEN_TIMEOUT_S = 15.0
ANSWER_MARGIN_S = 15.0  # the agent's own timeout comes first
LONGEST_ANSWER_S = CONSENT_TIMEOUT_S * (1 + CONSENT_EXTENSIONS_LIMIT) + ANSWER_MARGIN_S
GOODBYE_LIMIT_S = 1.0
NOTICES_LIMIT = 256
ANSWER_USUAL_S = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a session is built on: a tunnel whose other end is proved to be this device.

    With `pairing` it is not proved yet that the device holds the code that was typed here.
    """

    session_id: SessionId
    device: VerifiedPeer
    group_name: str
    tunnel: TunnelIO
    machine: SessionMachine
    audit: SessionAudit
    readback: str
    pairing: TechnicianPairing | None = None
    proving: Proving | None = None


class TechnicianSession:
    """One live session. Made by `opening.establish`; `end` it, or leave its `async with`.

    `notices` tells what happens unasked; a reader that is slow loses the oldest. `clock_offset_ms` is the
    agent's monotonic clock minus ours; both figures are None before the first answered heartbeat.
    """

    ready: Ready

    def __init__(self, verified: Verified) -> None:
        self.session_id = verified.session_id
        self.device = verified.device
        self.device_id = DeviceId(verified.device.subject_id)
        self.group_name = verified.group_name
        self.readback = verified.readback
        self.audit = verified.audit
        self.notices: asyncio.Queue[SessionNotice] = asyncio.Queue(NOTICES_LIMIT)
        self._pairing = verified.pairing
        self.alarm = ""  # E_AUDIT_PEER: the device's audit log is not the one that was known
        self._tunnel = verified.tunnel
        self._machine = verified.machine
        self._io = ChannelIO(verified.tunnel)
        self._clock = PeerClock()
        self._task: asyncio.Task[None] | None = None
        self._is_ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self._deadline_moved = asyncio.Event()
        self._ask_numbers = itertools.count(1)
        self._channel_numbers = itertools.count(1)
        self._asks: dict[int, tuple[frozenset[Grantable], asyncio.Future[AskAnswer]]] = {}
        self._opening: dict[int, asyncio.Future[None]] = {}
        self._streams: dict[int, tuple[Grantable, ChannelStream]] = {}
        self._grants = HeldGrants()
        self._on_over: list[Callable[[], None]] = []
        self._proof = self._make_proof(verified)
        self._is_over = False
        self._ratings = 0
        self.why_over = ""  # what the agent said beside the cause

    def _make_proof(self, verified: Verified) -> SessionProof | None:
        if verified.proving is None or verified.device.is_visitor:  # no organisation vouches for either
            return None
        own = verified.proving.own.identity
        parties = Parties(
            organisation_id=own.organisation_id,
            session_id=self.session_id,
            device_id=self.device_id,
            device_name=verified.device.name,
            technician_id=own.subject_id,
            technician_name=own.name,
        )
        return SessionProof(ProofParts(verified.proving, parties, self.audit, self._send, self._raise_alarm))

    def _raise_alarm(self) -> None:
        self.alarm = ErrorCode.E_AUDIT_PEER
        self._notice(PeerAlarm(self.alarm))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end()

    async def start(self) -> None:
        """For `opening.establish`: run, and wait for the agent's Ready; nothing is sent before it came."""
        self._task = asyncio.create_task(self._live(), name=f"session {self.session_id}")
        try:
            self.ready = await self._is_ready
        except BaseException:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            raise

    @property
    def is_verified(self) -> bool:
        """Whether an organisation's certificate says which device this is; else a code alone does."""
        return not self.device.is_visitor

    @property
    def shown_device(self) -> str:
        """How the device may be called: by its certificate, else by its own word, marked as such."""
        if self.device.is_visitor:
            return f"{shown_name(self.ready.device_name)} (not verified)"
        return self.device.name

    # -- what is known of the other end ------------------------------------------------------------

    @property
    def clock_offset_ms(self) -> float | None:
        """The agent's monotonic clock minus ours."""
        return self._clock.offset_ms

    @property
    def round_trip_ms(self) -> float | None:
        """Of the newest heartbeat that was answered."""
        return self._clock.round_trip_ms

    def silence_s(self) -> float:
        """For how long nothing came, if a heartbeat waits unusually long for its answer; else 0."""
        now_s = _now_s()
        if self._clock.waiting_ms(now_s * 1000) <= ANSWER_USUAL_S * 1000:
            return 0.0
        return now_s - self._io.heard_at_s

    def stir(self) -> None:
        """Something goes on: for a while silence is to be noticed sooner."""
        if self._machine.stirred(_now_s()):
            self._deadline_moved.set()

    # -- what the technician does ------------------------------------------------------------------

    async def ask(
        self,
        grantables: Iterable[Grantable],
        *,
        reason: str = "",
        ticket_number: str = "",
        length_s: int = SESSION_LENGTH_DEFAULT_S,
    ) -> AskAnswer:
        """Ask for permissions; returns when the person, or the policy, has answered.

        Raises:
            SupportError: the session ended meanwhile, with its code; E_PEER_SILENT.
        """
        wished = frozenset(grantables)
        number = next(self._ask_numbers)
        future: asyncio.Future[AskAnswer] = asyncio.get_running_loop().create_future()
        self._asks[number] = (wished, future)
        words = sorted(wished)
        self.audit.note(AuditKind.CONSENT_ASKED, grantables=" ".join(words))
        try:
            async with asyncio.timeout(LONGEST_ANSWER_S):
                await self._send(Ask(number, list[str](words), reason, ticket_number, length_s))
                return await future
        except TimeoutError:
            raise Unreachable("no answer to an ask", code=ErrorCode.E_PEER_SILENT) from None

    async def open_channel(self, grantable: Grantable) -> ChannelStream:
        """Open the channel of a permission that is held.

        Raises:
            NotGranted: it is not held. SupportError: the agent's refusal, or the session's end.
        """
        given = self.held().get(grantable)
        if given is None:
            raise NotGranted(grantable)
        number = next(self._channel_numbers)
        stream = self._io.open(number, CHANNEL_TERMS[grantable.capability])
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._opening[number] = future
        self._streams[number] = (grantable, stream)
        try:
            async with asyncio.timeout(CHANNEL_OPEN_TIMEOUT_S):
                await self._send(OpenChannel(number, grantable.capability, given.grant_id))
                await future
        except BaseException as exc:
            self._drop(number)
            if isinstance(exc, TimeoutError):
                raise Unreachable("the channel was not opened", code=ErrorCode.E_PEER_SILENT) from None
            raise
        finally:
            self._opening.pop(number, None)
        return stream

    def held(self) -> Mapping[Grantable, GivenGrant]:
        """The permissions that are live now, each with the time it has left."""
        return self._grants.live(now_s=_now_s())

    async def end(self, cause: str = "technician_left") -> None:
        """Say goodbye and end. Returns when nothing of the session is left; may be called twice."""
        task, self._task = self._task, None
        if task is None:
            return
        if self._machine.end(cause):
            try:
                async with asyncio.timeout(GOODBYE_LIMIT_S):
                    await self._send(EndSession(cause))
                    await self._io.drain()
            except (SupportError, TimeoutError):
                pass  # the other end is gone, which is what was wanted
        if self._proof is not None:
            # the receipt is signed on the way out; so long may the agent take for its goodbye and the offer
            await asyncio.wait({task}, timeout=GOODBYE_LIMIT_S + RECEIPT_TIMEOUT_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def refuse(self, code: str) -> None:
        """End it for this code, which is ours: the device is not to be believed any more."""
        self._machine.end(code)
        self._deadline_moved.set()

    def when_over(self, call: Callable[[], None]) -> None:
        """Call this once the session is over; at once if it is."""
        if self._machine.state is State.ENDED:
            call()
        else:
            self._on_over.append(call)

    # -- the background task -----------------------------------------------------------------------

    async def _live(self) -> None:
        parts = [asyncio.create_task(part) for part in (self._io.run(), self._listen(), self._keep_time())]
        code: str = ErrorCode.E_LINK_LOST
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            code = _end_code([part.exception() for part in parts if part.done()])
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            self._machine.end(code)
            self._over(self._machine.cause)
            if self._proof is not None:
                self._proof.settle()
            await self._tunnel.close()

    async def _listen(self) -> None:
        if self._pairing is not None:
            await pair_as_technician(self._io.control, self._pairing)
        while True:
            message = wire_messages.FROM_AGENT_CODEC.decode(await self._io.control.receive())
            self._machine.heard(_now_s())
            if not self._is_ready.done() and not isinstance(message, Ready | EndSession):
                raise PeerViolation(f"{type(message).__name__} before Ready")
            match message:
                case Ready():
                    await self._accept(message)
                case Heartbeat(beat_no, sent_at_ms):
                    await self._send(HeartbeatAnswer(beat_no, sent_at_ms, _now_ms()))
                case HeartbeatAnswer():
                    self._machine.answered(message.beat_no)
                    self._clock.answered(message.beat_no, message.answered_at_ms, _now_s() * 1000)
                case AskRecord() | TellRecord() | OfferReceipt():
                    if self._proof is not None:
                        await self._proof.take(message)
                case EndSession(cause=cause):
                    self.why_over = goodbye_detail(message)
                    await self._say_last(is_first=bool(self._machine.end(cause)))
                    return
                case _:
                    self._take(message)

    async def _say_last(self, *, is_first: bool) -> None:
        """The agent ended it, or answers our end; its receipt comes next."""
        self._over(self._machine.cause)
        if self._proof is None or not self._is_ready.done() or self._is_ready.exception() is not None:
            return
        self._proof.did_end_it = not is_first
        with suppress(SupportError, TimeoutError):  # then `settle` leaves one of our own
            await self._proof.finish(self._io.control)
            await self._io.drain()

    async def _keep_time(self) -> None:
        loop = asyncio.get_running_loop()
        while (deadline_s := self._machine.deadline_s) is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline_s):
                    await self._deadline_moved.wait()
            self._deadline_moved.clear()
            self._machine.heard(self._io.heard_at_s)
            for effect in self._machine.tick(loop.time()):
                match effect:
                    case SendHeartbeat(beat_no):
                        self._clock.asked(beat_no, _now_s() * 1000)
                        await self._send(Heartbeat(beat_no, _now_ms()))
                    case Ended():
                        return

    async def _accept(self, ready: Ready) -> None:
        if self._is_ready.done():
            raise PeerViolation("a second Ready")
        if ready.version != PROTOCOL_VERSION:
            raise PeerViolation(f"agent speaks version {ready.version}", code=ErrorCode.E_VERSION)
        if ready.session_id != self.session_id:
            raise PeerViolation(f"Ready of session {ready.session_id}")
        ends_in_s = (self.device.not_after - datetime.now(UTC)).total_seconds()
        self._machine.accepted(_now_s(), _now_s() + ends_in_s)
        self._deadline_moved.set()
        self.audit.note(AuditKind.SESSION_READY, group_name=self.group_name, consent=ready.consent)
        self._is_ready.set_result(ready)
        if self._proof is not None:
            await self._proof.begin()

    def _take(self, message: wire_messages.FromAgent) -> None:
        match message:
            case AskPending():
                self._notice(message)
            case OfferRating():
                self._offered_rating(message)
            case AskAnswer():
                self._answered(message)
            case GrantEnded():
                self._grant_ended(message)
            case ChannelOpened(number):
                self._opened(number, None)
            case ChannelRefused(number, code):
                self.audit.note(AuditKind.CHANNEL_REFUSED, succeeded=False, code=code)
                self._opened(number, refusal(code))
            case ChannelClosed(number, code):
                self._drop(number, code)
                self._notice(message)

    def _offered_rating(self, rating: OfferRating) -> None:
        self._ratings += 1
        if self._ratings > RATINGS_OFFERED_LIMIT or not self.is_verified:
            raise PeerViolation("a rating that must not come")
        self.audit.note(
            AuditKind.RATING_RECEIVED,
            rated_session=checked_session_id(rating.session_id),
            is_good=int(rating.is_good),
        )
        self._notice(rating)

    async def take_rating(self, session_id: str) -> None:
        """The technician has seen it; the device deletes it. Raises SupportError: the session is over."""
        await self._send(TakeRating(session_id))

    def _answered(self, answer: AskAnswer) -> None:
        wished, future = self._asks.get(answer.ask_no, (frozenset[Grantable](), None))
        if future is None:
            raise PeerViolation(f"answer to ask {answer.ask_no}, which is not open")
        if not {grant.grantable for grant in answer.granted} <= wished:
            raise PeerViolation("a grant that nobody asked for")
        del self._asks[answer.ask_no]
        self.audit.answered(answer)
        self._grants.add(answer.granted, now_s=_now_s())
        if not future.done():
            future.set_result(answer)

    def _grant_ended(self, ended: GrantEnded) -> None:
        for grantable in self._grants.end(ended.grant_id):
            self.audit.note(AuditKind.GRANT_ENDED, grant_id=ended.grant_id, code=ended.code)
            for number in [no for no, (kind, _) in self._streams.items() if kind is grantable]:
                self._drop(number, ended.code)
        self._notice(ended)

    def _opened(self, number: int, failure: SupportError | None) -> None:
        future = self._opening.get(number)
        if future is None or future.done():
            return  # it was given up on
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)

    def _drop(self, number: int, code: str = ErrorCode.E_GRANT_ENDED) -> None:
        _, stream = self._streams.pop(number, (None, None))
        if stream is not None:
            stream.close(refusal(code).code if code != "finished" else ErrorCode.E_LINK_LOST)

    def _over(self, cause: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        try:
            self.audit.note(AuditKind.SESSION_ENDED, cause=cause)
        except SupportError as exc:
            log.error("audit.failed", code=str(exc.code), detail=exc.detail)
        self._grants.clear()
        for call in self._on_over:
            call()
        failure = _over_error(cause, self.why_over)
        _fail([self._is_ready], failure)
        _fail(self._opening.values(), failure)
        _fail((future for _, future in self._asks.values()), failure)
        self._notice(SessionOver(cause))

    def _notice(self, notice: SessionNotice) -> None:
        if self.notices.full():
            self.notices.get_nowait()
        self.notices.put_nowait(notice)

    async def _send(self, message: wire_messages.FromTechnician) -> None:
        await self._io.control.send(wire_messages.FROM_TECHNICIAN_CODEC.encode(message))


def _fail(futures: Iterable[asyncio.Future[T]], failure: SupportError) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(failure)


def _end_code(failures: list[BaseException | None]) -> str:
    for failure in failures:
        if isinstance(failure, SupportError):
            log.info("session.failed", code=str(failure.code), detail=failure.detail)
            return failure.code
        if failure is not None:
            log.error("session.failed", exc_info=failure)
            return ErrorCode.E_INTERNAL
    return ErrorCode.E_PEER_SILENT


def _over_error(cause: str, detail: str) -> SupportError:
    if cause in ("technician_left", "finished"):
        return WrongState("the session has ended")
    return refusal(cause, detail)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _now_ms() -> int:
    return int(_now_s() * 1000)
