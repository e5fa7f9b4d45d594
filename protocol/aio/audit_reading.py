"""Looks things up in an audit log on the disk, without reading all of it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from protocol.audit import AuditRecord, read_record
from protocol.errors import DocumentRefused, EnvironmentFault

_CHUNK_BYTES: Final = 64 << 10


def newest_record(path: Path) -> AuditRecord | None:
    """The log's head; None when there is none. Raises as `newest_first`."""
    return next(newest_first(path), None)


def newest_first(path: Path) -> Iterator[AuditRecord]:
    """The records of a log from the newest back; it ends before one that does not hold.

    Raises:
        EnvironmentFault: E_DATA_DISK, the log cannot be read.
    """
    for line in _lines_backwards(path):
        try:
            yield read_record(line)
        except DocumentRefused:
            return


def record_at(path: Path, seq: int) -> AuditRecord | None:
    """The record with this number, by bisection; None when there is none, or what is there does not hold.

    Raises:
        EnvironmentFault: E_DATA_DISK, the log cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            return _bisect(lambda offset: _record_after(file, offset), size, seq)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise EnvironmentFault(f"{path}: {exc}") from None
    except DocumentRefused:
        return None


def _bisect(record_after: Callable[[int], AuditRecord | None], size: int, seq: int) -> AuditRecord | None:
    """`record_after` gives the first record whose line begins at or after an offset."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        found = record_after(middle)
        if found is not None and found.seq == seq:
            return found
        if found is None or found.seq > seq:
            high = middle
        else:
            low = middle + 1
    found = record_after(low)
    return found if found is not None and found.seq == seq else None


def _record_after(file: BinaryIO, offset: int) -> AuditRecord | None:
    file.seek(max(0, offset - 1))  # from one byte before, so that a line that begins right here is taken
    if offset > 0:
        file.readline()
    line = file.readline()
    return read_record(line.removesuffix(b"\n")) if line.endswith(b"\n") else None


def _lines_backwards(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            rest, at = b"", file.seek(0, os.SEEK_END)
            while at > 0:
                length = min(_CHUNK_BYTES, at)
                at -= length
                file.seek(at)
                rest, *lines = (file.read(length) + rest).split(b"\n")
                yield from (line for line in reversed(lines) if line)
            if rest:
                yield rest
    except FileNotFoundError:
        return
    except OSError as exc:
        raise EnvironmentFault(f"{path}: {exc}") from None
