"""The audit log on disk. Every append is locked, chained and on the disk before it returns."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from protocol.audit import (
    NO_PREVIOUS,
    RECORD_LIMIT_BYTES,
    AuditEvent,
    AuditKind,
    AuditRecord,
    next_record,
    read_record,
)
from protocol.errors import DocumentRefused, EnvironmentFault, ErrorCode
from protocol.file_lock import try_lock
from protocol.private_files import sync_folder, write_private_file

LOCK_TIMEOUT_S: Final = 2.0
_LOCK_RETRY_S: Final = 0.01
_READ_BYTES: Final = 4 << 10  # most records are some hundred bytes
_TORN_LIMIT_BYTES: Final = 4 * RECORD_LIMIT_BYTES


def utc_now() -> datetime:
    """The time now, aware UTC."""
    return datetime.now(UTC)


class AuditLog:
    """Appends to one log, which several processes may share. Holds no file open between appends.

    An append takes as long as the disk needs to store it (a few milliseconds).
    """

    def __init__(self, path: Path, clock: Callable[[], datetime] = utc_now) -> None:
        self.path = path
        self._clock = clock

    def append(self, event: AuditEvent) -> AuditRecord:
        """Put the event on the disk. What it records must not happen before this returns.

        Raises:
            EnvironmentFault: E_AUDIT_WRITE, it cannot be written (the log is as it was before).
            DocumentRefused: E_AUDIT_CHAIN, the newest record was changed: nothing is added to it.
        """
        try:
            with self._opened() as descriptor:
                last = self._last_record(descriptor)
                record = self._next(last, event)
                _write_line(descriptor, record)
        except (OSError, EnvironmentFault) as exc:
            raise EnvironmentFault(f"{self.path}: {exc}", code=ErrorCode.E_AUDIT_WRITE) from exc
        return record

    @contextmanager
    def _opened(self) -> Iterator[int]:
        flags = (
            os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        )
        descriptor = os.open(self.path, flags, 0o600)
        try:
            _lock(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)  # which releases the lock too

    def _last_record(self, descriptor: int) -> AuditRecord | None:
        size = os.fstat(descriptor).st_size
        if size == 0:
            sync_folder(self.path.parent)
            return None
        *whole, cut = _tail(descriptor, size).split(b"\n")
        if not cut:
            return _read_last(whole)
        previous = _read_last(whole)
        if _completes(previous, cut):
            _write_all(descriptor, b"\n")
            return read_record(cut)
        return self._recover(descriptor, previous, cut, size)

    def _recover(self, descriptor: int, previous: AuditRecord | None, cut: bytes, size: int) -> AuditRecord:
        """A power cut left half a line: keep it aside, take it off, and record that."""
        keep = self.path.with_name(f"{self.path.name}.torn-{size}")
        write_private_file(keep, cut)
        os.ftruncate(descriptor, size - len(cut))
        facts: dict[str, str | int] = {
            "torn_bytes": len(cut),
            "torn_sha256": sha256(cut).hexdigest(),
            "kept_as": keep.name,
        }
        event = AuditEvent(AuditKind.AUDIT_RECOVERED, "agent", "", "", True, facts)
        record = self._next(previous, event)
        _write_line(descriptor, record)
        return record

    def _next(self, previous: AuditRecord | None, event: AuditEvent) -> AuditRecord:
        return next_record(previous, event, self._clock(), time.monotonic_ns() // 1_000_000)


def _lock(descriptor: int) -> None:
    give_up_s = time.monotonic() + LOCK_TIMEOUT_S
    while not try_lock(descriptor):
        if time.monotonic() > give_up_s:
            raise TimeoutError("another program holds the log's lock")
        time.sleep(_LOCK_RETRY_S)


def _tail(descriptor: int, size: int) -> bytes:
    """The end of the file from a line's start on: the last whole line and what comes after it."""
    length = min(size, _READ_BYTES)
    while True:
        tail = _read_at(descriptor, size - length, length)
        first = tail.find(b"\n") + 1
        if length == size:
            return tail
        if tail.count(b"\n") >= 2:
            return tail[first:]
        if length > _TORN_LIMIT_BYTES:
            raise DocumentRefused("no record at the end of the log", code=ErrorCode.E_AUDIT_CHAIN)
        length = min(size, length * 2)


def _read_at(descriptor: int, offset: int, length: int) -> bytes:
    os.lseek(descriptor, offset, os.SEEK_SET)
    pieces = []
    while length > 0:
        piece = os.read(descriptor, length)
        if not piece:
            break
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def _read_last(whole: list[bytes]) -> AuditRecord | None:
    return read_record(whole[-1]) if whole else None


def _completes(previous: AuditRecord | None, cut: bytes) -> bool:
    """Whether only the newline is missing after a record that belongs here."""
    try:
        record = read_record(cut)
    except DocumentRefused:
        return False
    follows = (previous.seq + 1, previous.sha256) if previous else (1, NO_PREVIOUS)
    return (record.seq, record.previous) == follows


def _write_line(descriptor: int, record: AuditRecord) -> None:
    before = os.fstat(descriptor).st_size
    try:
        _write_all(descriptor, record.line + b"\n")
        os.fsync(descriptor)
    except OSError:
        # half a line would look like a power cut; where this fails too, the next append recovers
        with suppress(OSError):
            os.ftruncate(descriptor, before)
        raise


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
