"""The agent's part of a session's proof: the receipt both ends sign, the check of the technician's log."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from agent.session_audit import SessionAudit
from protocol.aio.channel_io import ChannelStream
from protocol.aio.session_proof import OwnLog
from protocol.audit import AuditKind
from protocol.certificates import Role
from protocol.errors import PeerViolation, SupportError
from protocol.limits import RECEIPT_TIMEOUT_S, RECEIPTS_OFFERED_LIMIT
from protocol.messages import session as messages
from protocol.peer_log import PeerLog
from protocol.receipt import Parties, Receipt, make_body, read_receipt, sign

log = structlog.get_logger()

AGENT = "agent"


@dataclass(frozen=True, slots=True)
class ProofParts:
    """What a session's proof works with; `tell` sends to the technician while the session lives."""

    own: OwnLog
    parties: Parties
    audit: SessionAudit
    tell: Callable[[messages.FromAgent], Awaitable[None]]


class SessionProof:
    """One session's. `settle` leaves a receipt in any case, if the log could be written at all."""

    def __init__(self, parts: ProofParts) -> None:
        self._parts = parts
        self._own = parts.own
        self._peer_id = parts.parties.technician_id
        self._offered: dict[str, Receipt] = {}
        self._peer_log = PeerLog(self._own.book.known_head(self._peer_id))
        self._is_settled = False

    async def begin(self) -> None:
        """After Ready: ask about the technician's log, and offer what an earlier cut left unsigned."""
        await self._parts.tell(self._peer_log.ask())
        left = [each for each in self._own.book.newest(self._peer_id).values() if not each.is_complete]
        for receipt in left[-RECEIPTS_OFFERED_LIMIT:]:
            await self._offer(receipt)

    async def take(self, message: messages.AskRecord | messages.TellRecord | messages.AnswerReceipt) -> None:
        """One message of the technician's end."""
        match message:
            case messages.AskRecord():
                self._peer_log.count_question()
                await self._parts.tell(self._own.tell(message))
            case messages.TellRecord():
                self._judge_log(message)
            case messages.AnswerReceipt():
                self._take_answer(message)

    def _judge_log(self, message: messages.TellRecord) -> None:
        alarm = self._own.judge(self._peer_id, self._peer_log, message)
        if alarm is not None:
            log.warning("audit.alarm", technician=self._peer_id, known_seq=alarm["known_seq"])
            self._parts.audit.note(AuditKind.AUDIT_ALARM, alarm, succeeded=False)

    async def finish(self, control: ChannelStream) -> None:
        """After `session.end`: offer the receipt of this session and wait for the other signature.

        Raises:
            SupportError, TimeoutError: the technician's end is not there any more.
        """
        receipt = self._signed(is_truncated=False)
        if receipt is None:
            return
        async with asyncio.timeout(RECEIPT_TIMEOUT_S):
            await self._offer(receipt)
            while receipt.facts().session_id in self._offered:
                message = messages.FROM_TECHNICIAN_CODEC.decode(await control.receive())
                if isinstance(message, messages.AnswerReceipt):
                    self._take_answer(message)
        if not self._is_settled:
            self._keep(receipt)

    def settle(self) -> None:
        """Without an answer the receipt is kept with our signature alone, and says that it is truncated."""
        if not self._is_settled and (receipt := self._signed(is_truncated=True)) is not None:
            self._keep(receipt)

    def _signed(self, *, is_truncated: bool) -> Receipt | None:
        trail = self._parts.audit.trail
        if trail.mark is None:
            return None
        body = make_body(self._parts.parties, trail, is_truncated=is_truncated)
        return Receipt(body, [sign(body, trail.mark, self._own.identity)])

    async def _offer(self, receipt: Receipt) -> None:
        session_id = receipt.facts().session_id
        self._offered[session_id] = receipt
        await self._parts.tell(messages.OfferReceipt(session_id, receipt.line))

    def _take_answer(self, answer: messages.AnswerReceipt) -> None:
        offered = self._offered.pop(answer.session_id, None)
        if offered is None:
            raise PeerViolation("an answer to a receipt that was not offered")
        try:
            if answer.code:
                self._note_refused(offered, answer.code)
                return
            receipt = read_receipt(answer.receipt)
            self._own.check_complete(receipt, self._parts.parties.device_id, self._peer_id)
            if receipt.facts().session_id != answer.session_id:
                raise PeerViolation("the receipt of another session")
        except SupportError as exc:
            log.warning("receipt.refused", code=str(exc.code), detail=exc.detail)
            self._note_refused(offered, exc.code)
            return
        self._keep(receipt)

    def _note_refused(self, offered: Receipt, code: str) -> None:
        facts = {"receipt_sha256": offered.sha256, "code": code}
        self._parts.audit.note(AuditKind.RECEIPT_REFUSED, facts, succeeded=False)

    def _keep(self, receipt: Receipt) -> None:
        self._is_settled |= receipt.facts().session_id == self._parts.parties.session_id
        keep_receipt(self._own, self._parts.audit, self._peer_id, receipt)
        self._own.learn(self._peer_id, self._peer_log, receipt, Role.TECHNICIAN)


def keep_receipt(own: OwnLog, audit: SessionAudit, technician_id: str, receipt: Receipt) -> None:
    """Put it on the disk and write that down; the session is over, whether or not that works."""
    facts = {"receipt_sha256": receipt.sha256, "signed_by": " ".join(receipt.roles)}
    audit.note(AuditKind.RECEIPT_SIGNED, facts, actor=AGENT)
    try:
        own.book.keep(technician_id, receipt)
    except SupportError as exc:
        log.error("receipt.not_kept", code=str(exc.code), detail=exc.detail)
