"""What both ends share of a session's proof: the own log, and what is told and checked from it."""

from pathlib import Path

from protocol.aio.audit_reading import newest_first, newest_record, record_at
from protocol.aio.receipt_book import ReceiptBook
from protocol.audit import AuditKind, AuditRecord
from protocol.certificates import Role
from protocol.identity import Identity
from protocol.messages.session import AskRecord, TellRecord
from protocol.receipt import Receipt, SessionTrail, check_half, refused, trail_of


class OwnLog:
    """This end's audit log, its receipts, and the key that signs for it."""

    def __init__(self, identity: Identity, log_path: Path, book: ReceiptBook) -> None:
        self.identity = identity
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

    def check_complete(self, receipt: Receipt, device_id: str, technician_id: str) -> None:
        """Let a receipt pass that both of these signed.

        Raises:
            DocumentRefused: E_RECEIPT. CertificateRefused: a signer's chain.
        """
        facts = receipt.facts()
        if (facts.device_id, facts.technician_id) != (device_id, technician_id):
            raise refused(f"a receipt of {facts.device_id[:40]} and {facts.technician_id[:40]}")
        for role in (Role.DEVICE, Role.TECHNICIAN):
            check_half(receipt, role, self.identity.root_der)
