"""What programs used: processor time and memory by role, and the bytes on one TCP port by the kernel."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import psutil

COUNTERS = ("bytes_sent", "bytes_received")
PACKETS = ("segs_out", "segs_in")

Roles = Callable[[], Mapping[str, list[int]]]  # who plays which part at this moment


@dataclass(frozen=True, slots=True)
class TcpPort:
    """The end whose kernel counters are read.

    With `is_listener` the counters of the listening end (its port is `port`); otherwise those of the
    connecting end (it connects to `port`). `pid` 0 takes any process. `sends_pictures` says whether
    that end is the side of the device.
    """

    port: int
    is_listener: bool
    sends_pictures: bool = True
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that is counted, at one moment."""

    at_s: float
    sockets: Mapping[str, tuple[int, int]]  # addresses → bytes sent, received
    cpu_s: Mapping[str, Mapping[int, float]]  # role → pid → seconds
    resident_bytes: Mapping[str, int]
    busy_s: float = 0.0  # of all cores
    own_s: float = 0.0  # of the benchmark and everything it started


@dataclass(frozen=True, slots=True)
class Used:
    """Between two snapshots. Percent of one core; a process that ended in between counts up to then."""

    kbit_s_to_viewer: float
    kbit_s_to_device: float
    cpu_percent: Mapping[str, float]
    resident_mib: Mapping[str, float]
    others_cpu_percent: float  # what the rest of the machine did meanwhile


def read_sockets(
    listing: str, *, pid: int = 0, counters: tuple[str, str] = COUNTERS
) -> dict[str, tuple[int, int]]:
    """From `ss -tinpH state established`: two lines a socket; counters that are 0 are left out there."""
    found = {}
    lines = listing.splitlines()
    for head, facts in pairwise(lines):
        if head[:1].isspace() or not facts[:1].isspace():
            continue
        words = head.split()
        if pid and f"pid={pid}," not in head:
            continue
        counts = [int(m[1]) if (m := re.search(rf"\b{name}:(\d+)", facts)) else 0 for name in counters]
        found[f"{words[2]} {words[3]}"] = (counts[0], counts[1])
    return found


def look(tcp: TcpPort | None, roles: Roles) -> Snapshot:
    """Count now."""
    cpu: dict[str, dict[int, float]] = {}
    resident: dict[str, int] = {}
    for role, pids in roles().items():
        cpu[role] = {}
        for pid in pids:
            with suppress(psutil.NoSuchProcess):
                one = psutil.Process(pid)
                times = one.cpu_times()
                cpu[role][pid] = times.user + times.system
                resident[role] = resident.get(role, 0) + one.memory_info().rss
    sockets = look_at_sockets(tcp) if tcp else {}
    return Snapshot(time.monotonic(), sockets, cpu, resident, _busy_s(), _own_s())


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def _own_s() -> float:
    total = 0.0
    for pid in family(os.getpid()):
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total


def used_between(first: Snapshot, last: Snapshot, *, sends_pictures: bool = True) -> Used:
    """The difference as rates."""
    seconds = last.at_s - first.at_s
    sent, received = (
        sum(counts[way] - first.sockets.get(name, (0, 0))[way] for name, counts in last.sockets.items())
        for way in (0, 1)
    )
    down, up = (sent, received) if sends_pictures else (received, sent)
    percent = {
        role: round(
            100
            * sum(spent - first.cpu_s.get(role, {}).get(pid, 0.0) for pid, spent in pids.items())
            / seconds,
            1,
        )
        for role, pids in last.cpu_s.items()
    }
    return Used(
        round(down * 8 / 1000 / seconds, 1),
        round(up * 8 / 1000 / seconds, 1),
        percent,
        {role: round(size / 2**20, 1) for role, size in last.resident_bytes.items()},
        round(max(0.0, 100 * (last.busy_s - first.busy_s - last.own_s + first.own_s) / seconds), 1),
    )


def family(pid: int) -> list[int]:
    """A process and everything below it."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        return [pid, *(child.pid for child in parent.children(recursive=True))]
    return []


def look_at_sockets(tcp: TcpPort, counters: tuple[str, str] = COUNTERS) -> dict[str, tuple[int, int]]:
    """Both counters of every connection that this end has now, by its addresses."""
    side = "sport" if tcp.is_listener else "dport"
    words = ["ss", "-tinpH", "state", "established", f"( {side} = :{tcp.port} )"]
    listing = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return read_sockets(listing, pid=tcp.pid, counters=counters)
