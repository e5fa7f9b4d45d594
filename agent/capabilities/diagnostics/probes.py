"""One function for each source. Each may block, and raises whatever its source raises.

Texts are cut so that the largest snapshot fits one message.
"""

import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil

from protocol.limits import DIAGNOSTICS_ITEMS_LIMIT, DIAGNOSTICS_PROCESSES_LIMIT
from protocol.messages.diagnostics import (
    Cpu,
    Disk,
    LogIn,
    Memory,
    NetworkInterface,
    Process,
    SourceFailed,
    System,
)
from protocol.names import shown_text

SAMPLE_S = 0.3
NAME_LIMIT_CHARS = 64
PATH_LIMIT_CHARS = 120
INTERFACES_LIMIT = 32
ADDRESSES_LIMIT = 16
CPU_FILE = Path("/proc/cpuinfo")
PROC = Path("/proc")


def _name(text: object) -> str:
    return shown_text(str(text), NAME_LIMIT_CHARS)


def shown_path(text: object) -> str:
    """A path or a reason as it goes into a snapshot."""
    return shown_text(str(text), PATH_LIMIT_CHARS)


def _utc_text(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_system() -> System:
    """Operating system (os-release(5) where there is one), machine and clock."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {"NAME": platform.system(), "VERSION": platform.version()}
    booted_s, now_s = psutil.boot_time(), time.time()
    return System(
        hostname=_name(platform.node()),
        os_name=_name(release.get("NAME", "")),
        os_version=_name(release.get("VERSION") or release.get("VERSION_ID", "")),
        kernel=_name(platform.release()),
        architecture=_name(platform.machine()),
        booted_at_utc=_utc_text(booted_s),
        uptime_s=max(0.0, now_s - booted_s),
        at_utc=_utc_text(now_s),
    )


def read_cpu() -> Cpu:
    """Processor and load; takes `SAMPLE_S`."""
    load_1m, load_5m, load_15m = psutil.getloadavg()
    return Cpu(
        model=_name(_cpu_model()),
        physical_cores=psutil.cpu_count(logical=False) or 0,
        logical_cores=psutil.cpu_count() or 0,
        busy_percent=psutil.cpu_percent(interval=SAMPLE_S),
        load_1m=load_1m,
        load_5m=load_5m,
        load_15m=load_15m,
    )


def _cpu_model() -> str:
    try:
        lines = CPU_FILE.read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def read_memory() -> Memory:
    """Memory and swap."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return Memory(memory.total, memory.available, swap.total, swap.used)


def read_disks() -> tuple[list[Disk], list[SourceFailed]]:
    """Mounted file systems that hold data; one that cannot be asked is named beside the others."""
    disks: list[Disk] = []
    failures: list[SourceFailed] = []
    for partition in _data_partitions():
        try:
            usage = psutil.disk_usage(partition.mountpoint)
        except OSError as exc:
            failures.append(SourceFailed(f"disk {shown_path(partition.mountpoint)}", plain_reason(exc)))
            continue
        disks.append(
            Disk(
                mount_point=shown_path(partition.mountpoint),
                device=shown_path(partition.device),
                file_system=_name(partition.fstype),
                total_bytes=usage.total,
                free_bytes=usage.free,
            )
        )
    return disks[:DIAGNOSTICS_ITEMS_LIMIT], failures[: DIAGNOSTICS_ITEMS_LIMIT // 4]


def _data_partitions() -> list[psutil._ntuples.sdiskpart]:
    """Physical ones, and the root even when it is none (a container's); bound single files are left out."""
    found = {each.mountpoint: each for each in psutil.disk_partitions(all=False)}
    root = [each for each in psutil.disk_partitions(all=True) if each.mountpoint == "/"]
    found.update({each.mountpoint: each for each in root})
    in_order = sorted(found.values(), key=lambda each: str(each.mountpoint))
    return [each for each in in_order if not Path(each.mountpoint).is_file()][:DIAGNOSTICS_ITEMS_LIMIT]


def read_interfaces() -> list[NetworkInterface]:
    """Network interfaces with their addresses and counters."""
    addresses, states = psutil.net_if_addrs(), psutil.net_if_stats()
    counters = psutil.net_io_counters(pernic=True)
    interfaces = []
    for name in sorted(addresses.keys() | states.keys())[:INTERFACES_LIMIT]:
        state, counter = states.get(name), counters.get(name)
        interfaces.append(
            NetworkInterface(
                name=_name(name),
                is_up=bool(state and state.isup),
                speed_mbit=state.speed if state else 0,
                addresses=[_name(each.address) for each in addresses.get(name, [])[:ADDRESSES_LIMIT]],
                sent_bytes=counter.bytes_sent if counter else 0,
                received_bytes=counter.bytes_recv if counter else 0,
            )
        )
    return interfaces


def read_processes() -> list[Process]:
    """The busiest and the largest processes, busiest first; takes `SAMPLE_S`. Never their arguments."""
    running = list(psutil.process_iter())
    for each in running:
        _cpu_percent(each)
    time.sleep(SAMPLE_S)
    measured = [found for each in running if (found := _measured(each)) is not None]
    by_cpu = sorted(measured, key=lambda each: each.cpu_percent, reverse=True)
    by_memory = sorted(measured, key=lambda each: each.resident_bytes, reverse=True)
    chosen = {
        each.pid: each
        for each in by_cpu[:DIAGNOSTICS_PROCESSES_LIMIT] + by_memory[:DIAGNOSTICS_PROCESSES_LIMIT]
    }
    return sorted(chosen.values(), key=lambda each: (-each.cpu_percent, -each.resident_bytes))


def _cpu_percent(process: psutil.Process) -> float:
    try:
        return float(process.cpu_percent())
    except psutil.Error:
        return 0.0


def _measured(process: psutil.Process) -> Process | None:
    try:
        with process.oneshot():
            resident_bytes = process.memory_info().rss
            return Process(
                process.pid, _program(process), _user(process), _cpu_percent(process), resident_bytes
            )
    except psutil.Error:  # ended meanwhile, or not ours to read
        return None


def _program(process: psutil.Process) -> str:
    # psutil completes a long name from the arguments, which may hold secrets: the kernel's is enough
    try:
        return _name((PROC / str(process.pid) / "comm").read_bytes().decode(errors="replace"))
    except OSError:
        return _name(process.name())


def _user(process: psutil.Process) -> str:
    try:
        return _name(process.username())
    except (psutil.Error, KeyError):
        return ""


def read_logins() -> list[LogIn]:
    """Logged-in sessions of the operating system."""
    return [
        LogIn(_name(each.name), _name(each.terminal or ""), _name(each.host or ""), _utc_text(each.started))
        for each in psutil.users()[:DIAGNOSTICS_ITEMS_LIMIT]
    ]


def plain_reason(exc: Exception) -> str:
    """Why a source failed, in plain words, without paths or addresses of memory."""
    if isinstance(exc, PermissionError | psutil.AccessDenied):
        return "not allowed to read it"
    if isinstance(exc, FileNotFoundError):
        return "not present on this system"
    if isinstance(exc, OSError):
        return shown_path(exc.strerror or "could not be read")
    return "could not be read"
