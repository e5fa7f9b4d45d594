"""The receipts that this end keeps, one file for each other end; the newest line of a session counts."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from protocol.errors import DocumentRefused, EnvironmentFault
from protocol.ids import is_subject_id
from protocol.peer_log import KnownHead
from protocol.private_files import sync_folder, write_private_file
from protocol.receipt import Receipt, read_receipt, refused

FOLDER_NAME: Final = "receipts"


class ReceiptBook:
    """Below `folder`: PEER.jsonl with receipts, PEER.head with the newest known head of that peer's log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, peer_id: str, receipt: Receipt) -> None:
        """Append a receipt; it is on the disk when this returns.

        Raises:
            EnvironmentFault: E_DATA_DISK.
        """
        path = self._path(peer_id, "jsonl")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_new = not path.exists()
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, _line_end(descriptor) + receipt.line + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if is_new:
                sync_folder(self.folder)
        except OSError as exc:
            raise EnvironmentFault(f"{path}: {exc}") from exc

    def newest(self, peer_id: str) -> dict[str, Receipt]:
        """The receipt of each session with this peer, oldest first."""
        found: dict[str, Receipt] = {}
        for receipt in _receipts(self._path(peer_id, "jsonl")):
            found[receipt.facts().session_id] = receipt
        return found

    def everything(self) -> list[Receipt]:
        """The newest receipt of every session with anybody, oldest first."""
        paths = sorted(self.folder.glob("*.jsonl")) if self.folder.is_dir() else []
        found = [receipt for path in paths for receipt in self.newest(path.stem).values()]
        return sorted(found, key=lambda receipt: receipt.facts().ended_at_utc)

    def known_head(self, peer_id: str) -> KnownHead | None:
        """The newest record of the peer's log that this end knows of."""
        try:
            return msgspec.json.decode(self._path(peer_id, "head").read_bytes(), type=KnownHead)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as exc:
            raise EnvironmentFault(f"{self._path(peer_id, 'head')}: {exc}") from None

    def note_head(self, peer_id: str, head: KnownHead) -> None:
        """Remember it for the next session. Raises EnvironmentFault."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise EnvironmentFault(f"{self.folder}: {exc}") from exc
        write_private_file(self._path(peer_id, "head"), msgspec.json.encode(head))

    def forget_head(self, peer_id: str) -> None:
        """Whatever log that peer shows next is taken for its own."""
        self._path(peer_id, "head").unlink(missing_ok=True)

    def _path(self, peer_id: str, suffix: str) -> Path:
        if not is_subject_id(peer_id):
            raise refused(f"no file for {peer_id[:40]!r}")
        return self.folder / f"{peer_id}.{suffix}"


def _line_end(descriptor: int) -> bytes:
    """What ends a line that a crash cut; it is skipped by every reader."""
    if os.lseek(descriptor, 0, os.SEEK_END) == 0:
        return b""
    os.lseek(descriptor, -1, os.SEEK_END)
    return b"" if os.read(descriptor, 1) == b"\n" else b"\n"


def _receipts(path: Path) -> Iterator[Receipt]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    except OSError as exc:
        raise EnvironmentFault(f"{path}: {exc}") from None
    for line in lines:
        try:
            receipt = read_receipt(line)
            receipt.facts()
        except DocumentRefused:
            continue  # `alongside audit verify` names it
        yield receipt
