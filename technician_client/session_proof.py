"""The technician's part of a session's proof: signs the receipt it agrees with, checks the device's log."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from protocol.aio.channel_io import ChannelStream
from protocol.aio.session_proof import OwnLog
from protocol.audit import AuditEvent, AuditKind
from protocol.certificates import Role
from protocol.errors import ErrorCode, SupportError
from protocol.ids import checked_session_id
from protocol.limits import RECEIPT_TIMEOUT_S
from protocol.messages import session as messages
from protocol.peer_log import PeerLog
from protocol.receipt import (
    Parties,
    Receipt,
    SessionTrail,
    differences,
    make_body,
    read_receipt,
    refused,
    sign,
)
from technician_client.session_audit import AuditSink, SessionAudit

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Proving:
    """What the sessions of this technician share: the log with its receipts, and where records go."""

    own: OwnLog
    sink: AuditSink


@dataclass(frozen=True, slots=True)
class ProofParts:
    """What one session's proof works with; `on_alarm` hears that the device's log is not the known one."""

    proving: Proving
    parties: Parties
    audit: SessionAudit
    tell: Callable[[messages.FromTechnician], Awaitable[None]]
    on_alarm: Callable[[], None]


class SessionProof:
    """One session's. `settle` leaves a receipt in any case."""

    def __init__(self, parts: ProofParts) -> None:
        self._parts = parts
        self._own = parts.proving.own
        self._device_id = parts.parties.device_id
        self._peer_log = PeerLog(self._own.book.known_head(self._device_id))
        self._is_settled = False
        self.did_end_it = False

    async def begin(self) -> None:
        """After Ready: ask about the device's log."""
        await self._parts.tell(self._peer_log.ask())

    async def take(self, message: messages.AskRecord | messages.TellRecord | messages.OfferReceipt) -> None:
        """One message of the agent."""
        match message:
            case messages.AskRecord():
                self._peer_log.count_question()
                await self._parts.tell(self._own.tell(message))
            case messages.TellRecord():
                self._judge_log(message)
            case messages.OfferReceipt():
                await self._parts.tell(self._answer(message))

    async def finish(self, control: ChannelStream) -> None:
        """After the agent's `session.end`: answer its receipt of this session.

        Raises:
            SupportError, TimeoutError: none came.
        """
        async with asyncio.timeout(RECEIPT_TIMEOUT_S):
            while not self._is_settled:
                message = messages.FROM_AGENT_CODEC.decode(await control.receive())
                if isinstance(message, messages.OfferReceipt):
                    await self._parts.tell(self._answer(message))
                    self._is_settled |= message.session_id == self._parts.parties.session_id

    def settle(self) -> None:
        """Without the agent's receipt ours is kept, with our signature alone, as truncated."""
        trail = self._parts.audit.trail
        if self._is_settled or trail.mark is None:
            return
        self._is_settled = True
        body = make_body(self._parts.parties, trail, is_truncated=True)
        try:
            self._keep(Receipt(body, [sign(body, trail.mark, self._own.identity)]))
        except SupportError as exc:
            log.error("receipt.not_kept", code=str(exc.code), detail=exc.detail)

    def _judge_log(self, message: messages.TellRecord) -> None:
        alarm = self._own.judge(self._device_id, self._peer_log, message)
        if alarm is not None:
            self._parts.audit.note(AuditKind.AUDIT_ALARM, succeeded=False, **alarm)
            self._parts.on_alarm()

    def _answer(self, offer: messages.OfferReceipt) -> messages.AnswerReceipt:
        try:
            receipt = self._signed(offer)
        except SupportError as exc:
            log.warning("receipt.refused", code=str(exc.code), detail=exc.detail)
            self._note_refused(exc)
            return messages.AnswerReceipt(offer.session_id, b"", exc.code)
        return messages.AnswerReceipt(offer.session_id, receipt.line, "")

    def _note_refused(self, exc: SupportError) -> None:
        try:
            self._parts.audit.note(
                AuditKind.RECEIPT_REFUSED, succeeded=False, code=exc.code.value, detail=exc.detail
            )
        except SupportError as fault:
            log.error("audit.failed", code=str(fault.code), detail=fault.detail)

    def _signed(self, offer: messages.OfferReceipt) -> Receipt:
        """The receipt with both signatures; it is kept, and written down, before it is told."""
        session_id = checked_session_id(offer.session_id)
        offered = read_receipt(offer.receipt)
        facts = offered.facts()
        parties = (facts.session_id, facts.device_id, facts.technician_id)
        if parties != (session_id, self._device_id, self._parts.parties.technician_id):
            raise refused("it is of other parties")
        self._own.check_half(offered, Role.DEVICE)
        known = self._own.book.newest(self._device_id).get(session_id)
        if known is not None and known.is_complete:
            return known
        trail, did_end_it = self._trail(session_id)
        mark, why = trail.mark, differences(facts, trail, did_end_it=did_end_it)
        if why or mark is None:
            raise refused(why or "our log does not hold the session")
        theirs = offered.half("device")
        assert theirs is not None
        receipt = Receipt(offered.body, [theirs, sign(offered.body, mark, self._own.identity)])
        self._keep(receipt)
        return receipt

    def _trail(self, session_id: str) -> tuple[SessionTrail, bool]:
        if session_id == self._parts.parties.session_id:
            return self._parts.audit.trail, self.did_end_it
        trail = self._own.trail(session_id)
        if trail.started_at_utc is not None and trail.ended is None:  # our own end was cut too
            cause = {"cause": ErrorCode.E_LINK_LOST.value}
            own_id = self._own.identity.subject_id
            event = AuditEvent(AuditKind.SESSION_ENDED, own_id, self._device_id, session_id, False, cause)
            self._parts.proving.sink.append(event)
            trail = self._own.trail(session_id)
        return trail, True

    def _keep(self, receipt: Receipt) -> None:
        self._parts.audit.note(
            AuditKind.RECEIPT_SIGNED, receipt_sha256=receipt.sha256, signed_by=" ".join(receipt.roles)
        )
        self._own.book.keep(self._device_id, receipt)
        self._own.learn(self._device_id, self._peer_log, receipt, Role.DEVICE)
