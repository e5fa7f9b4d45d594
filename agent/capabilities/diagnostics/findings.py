"""What a snapshot says about the health of a computer: rules that turn facts into findings (pure).

A finding is a name, how bad it is, and its facts; the words for a person are where the person reads them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from protocol.messages.diagnostics import Disk, Snapshot

DISK_LOW, DISK_VERY_LOW = 0.10, 0.04
DISK_ENOUGH_BYTES = 20 << 30  # a tenth of a large disk is a lot
MEMORY_LOW, MEMORY_VERY_LOW = 0.10, 0.04
BUSY_PERCENT = 90.0
LONG_UP_S = 30 * 86400.0
GIB = 1 << 30


class Severity(StrEnum):
    """How bad it is, the worst first."""

    BAD = "bad"
    WARN = "warn"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """`name` is permanent: PROTOCOL.md lists them."""

    name: str
    severity: Severity
    facts: dict[str, str] = field(default_factory=dict)


def judge(snapshot: Snapshot) -> list[Finding]:
    """Every finding, the worst first; a part that could not be read is said to be so, never to be well."""
    found = [
        *_disks(snapshot.disks),
        *_memory(snapshot),
        *_processor(snapshot),
        *_network(snapshot),
        *_uptime(snapshot),
    ]
    if snapshot.failures:
        parts = ", ".join(dict.fromkeys(failed.source for failed in snapshot.failures))
        found.append(Finding("not_checked", Severity.WARN, {"parts": parts}))
    return worst_first(found)


def worst_first(findings: list[Finding]) -> list[Finding]:
    """The same, in the order in which people should read them."""
    order = list(Severity)
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def _disks(disks: list[Disk]) -> Iterator[Finding]:
    writable = [disk for disk in disks if disk.total_bytes > 0 and disk.file_system not in _FULL_BY_NATURE]
    low = [disk for disk in writable if _severity(disk) is not Severity.OK]
    for disk in low:
        facts = {"place": disk.mount_point, "free": _gib(disk.free_bytes), "total": _gib(disk.total_bytes)}
        yield Finding("disk_low", _severity(disk), facts)
    if writable and not low:
        yield Finding("disks_fine", Severity.OK)


_FULL_BY_NATURE = frozenset({"squashfs", "iso9660", "udf", "erofs", "cramfs"})


def _severity(disk: Disk) -> Severity:
    share = disk.free_bytes / disk.total_bytes
    if disk.free_bytes >= DISK_ENOUGH_BYTES or share >= DISK_LOW:
        return Severity.OK
    return Severity.BAD if share < DISK_VERY_LOW else Severity.WARN


def _memory(snapshot: Snapshot) -> Iterator[Finding]:
    memory = snapshot.memory
    if memory is None or memory.total_bytes <= 0:
        return
    share = memory.available_bytes / memory.total_bytes
    if share >= MEMORY_LOW:
        yield Finding("memory_fine", Severity.OK)
        return
    severity = Severity.BAD if share < MEMORY_VERY_LOW else Severity.WARN
    largest = max(snapshot.processes, key=lambda process: process.resident_bytes, default=None)
    yield Finding("memory_low", severity, {"program": largest.name if largest else "?"})


def _processor(snapshot: Snapshot) -> Iterator[Finding]:
    if snapshot.cpu is None:
        return
    if snapshot.cpu.busy_percent < BUSY_PERCENT:
        yield Finding("processor_fine", Severity.OK)
        return
    busiest = max(snapshot.processes, key=lambda process: process.cpu_percent, default=None)
    yield Finding("processor_busy", Severity.WARN, {"program": busiest.name if busiest else "?"})


def _network(snapshot: Snapshot) -> Iterator[Finding]:
    if any(failed.source == "network" for failed in snapshot.failures):
        return
    is_there = any(
        interface.is_up and any(not _is_own(address) for address in interface.addresses)
        for interface in snapshot.interfaces
    )
    yield Finding("network_fine", Severity.OK) if is_there else Finding("network_none", Severity.BAD)


def _is_own(address: str) -> bool:
    return address.startswith(("127.", "::1", "fe80:", "169.254."))


def _uptime(snapshot: Snapshot) -> Iterator[Finding]:
    if snapshot.system is not None and snapshot.system.uptime_s > LONG_UP_S:
        yield Finding("long_up", Severity.WARN, {"days": str(int(snapshot.system.uptime_s // 86400))})


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.1f}"
