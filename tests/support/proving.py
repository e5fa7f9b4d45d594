"""Both ends of a session with their audit logs and receipts on disk, as the real programs have them."""

import asyncio
from dataclasses import replace
from pathlib import Path

from protocol.aio.audit_log import AuditLog
from protocol.aio.receipt_book import ReceiptBook
from protocol.aio.session_proof import OwnLog
from protocol.audit import AuditRecord, read_record
from protocol.identity import Identity
from protocol.receipt import Receipt
from technician_client.opening import Wanted, establish
from technician_client.session_proof import Proving
from technician_client.sessions import TechnicianSession
from tests.support.device_end import DeviceEnd


def records_of(path: Path) -> list[AuditRecord]:
    """A log's records."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [read_record(line) for line in lines]


class ProvingTechnician:
    """A technician with a data folder."""

    def __init__(self, identity: Identity, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.identity = identity
        self.log_path = folder / "audit.jsonl"
        self.book = ReceiptBook(folder / "receipts")

    def proving(self) -> Proving:
        """What `technician_client.app` builds."""
        return Proving(OwnLog(self.identity, self.log_path, self.book), AuditLog(self.log_path))

    async def connect(self, device: DeviceEnd) -> TechnicianSession:
        """A session with this device."""
        session_id, wire = device.offer()
        proving = self.proving()
        wanted = Wanted(session_id, device.device_id, self.identity, proving.sink, proving=proving)
        return await establish(wire, wanted)

    def records(self) -> list[AuditRecord]:
        """This technician's log."""
        return records_of(self.log_path)

    def receipt(self, device: DeviceEnd, session_id: str) -> Receipt:
        """The newest receipt of this session."""
        return self.book.newest(device.device_id)[session_id]


def prove(device: DeviceEnd) -> ReceiptBook:
    """Give this device a book of receipts, as `agent.app` does."""
    book = ReceiptBook(device.audit_path.with_name("receipts"))
    device.side = replace(device.side, own_log=OwnLog(device.identity, device.audit_path, book))
    return book


async def ended(session: TechnicianSession, device: DeviceEnd, cause: str = "technician_left") -> None:
    """Both ends are done with it."""
    await session.end(cause)
    await device.over()


async def lose_link(session: TechnicianSession) -> None:
    """The session's wire is gone, without a goodbye of anybody."""
    await session._tunnel._wire.close()
    assert session._task is not None
    await asyncio.wait({session._task}, timeout=5)
