"""What both ends share of a session's proof: the own log, and what is told and checked from it."""

from pathlib import Path

from protocol.aio.audit_reading import newest_first, newest_record, record_at
from protocol.aio.receipt_book import ReceiptBook
from protocol.audit import AuditKind, AuditRecord
from protocol.certificates import Role
from protocol.errors import ErrorCode
from protocol.identity import Identity
from protocol.messages.session import AskRecord, TellRecord
from protocol.peer_log import PeerLog
from protocol.receipt import Receipt, SessionTrail, check_half, refused, trail_of
from protocol.succession import RootLine


class OwnLog:
    """This end's audit log, its receipts, and the key that signs for it."""

    def __init__(
        self, identity: Identity, log_path: Path, book: ReceiptBook, roots: RootLine | None = None
    ) -> None:
        """`roots` is whom this program believes, shared; without it, the identity's own root."""
        self.identity = identity
        self._roots = roots or RootLine(identity.root_der)
        self.log_path = log_path
        self.book = book

    def tell(self, question: AskRecord) -> TellRecord:
        """The answer to the other end's question; raises EnvironmentFault."""
        head = newest_record(self.log_path)
        asked = record_at(self.log_path, question.seq) if question.seq else None
        return TellRecord(
            question.seq,
            (asked.sha256 or "") if asked else "",
            head.seq if head else 0,
            (head.sha256 or "") if head else "",
        )

    def trail(self, session_id: str) -> SessionTrail:
        """What the log on disk holds of this session; raises EnvironmentFault."""
        found: list[AuditRecord] = []
        for record in newest_first(self.log_path):
            if record.session_id == session_id:
                found.append(record)
                if record.kind == AuditKind.SESSION_READY:
                    break
        return trail_of(found[::-1], session_id)

    def judge(self, peer_id: str, peer_log: PeerLog, answer: TellRecord) -> dict[str, str | int] | None:
        """Take the other end's answer about its log, and remember it; the facts of the alarm if it is one.

        Raises:
            PeerViolation: nothing was asked, or another record. EnvironmentFault: it cannot be kept.
        """
        standing = peer_log.told(answer)
        if standing.known is not None:
            self.book.note_head(peer_id, standing.known)
        known = peer_log.known
        if not standing.is_alarm or known is None:
            return None
        return {
            "code": ErrorCode.E_AUDIT_PEER.value,
            "known_seq": known.seq,
            "known_sha256": known.sha256,
            "told_sha256": standing.told_sha256,
        }

    def learn(self, peer_id: str, peer_log: PeerLog, receipt: Receipt, role: Role) -> None:
        """Remember the record that the other end, of this role, has signed for; raises EnvironmentFault."""
        theirs = receipt.half(role.value)
        if theirs is not None:
            known = self.book.known_head(peer_id)
            newer = peer_log.worth_knowing(theirs.log.seq, theirs.log.sha256, known)
            if newer is not None:
                self.book.note_head(peer_id, newer)

    def check_complete(self, receipt: Receipt, device_id: str, technician_id: str) -> None:
        """Let a receipt pass that both of these signed.

        Raises:
            DocumentRefused: E_RECEIPT. CertificateRefused: a signer's chain.
        """
        facts = receipt.facts()
        if (facts.device_id, facts.technician_id) != (device_id, technician_id):
            raise refused(f"a receipt of {facts.device_id[:40]} and {facts.technician_id[:40]}")
        for role in (Role.DEVICE, Role.TECHNICIAN):
            self.check_half(receipt, role)

    def check_half(self, receipt: Receipt, role: Role) -> None:
        """Let a receipt pass that this role signed, under any of our roots; raises as `check_complete`."""
        check_half(receipt, role, self._roots.all)
