"""A diagnostics snapshot as a person reads it."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from protocol.messages.diagnostics import Cpu, Memory, Snapshot, System
from technician_client.cli.tables import bytes_text, length_text, pairs, table


def snapshot_tables(snapshot: Snapshot) -> Iterator[RenderableType]:
    """Each part that could be read, then what could not."""
    for part in _parts(snapshot):
        yield part
        yield Text("")
    if snapshot.failures:
        rows = [(failure.source, failure.reason) for failure in snapshot.failures]
        yield table(("COULD NOT BE READ", "WHY"), rows)


def _parts(snapshot: Snapshot) -> Iterator[Table]:
    if snapshot.system is not None:
        yield _system(snapshot.system)
    if snapshot.cpu is not None:
        yield _cpu(snapshot.cpu)
    if snapshot.memory is not None:
        yield _memory(snapshot.memory)
    if snapshot.disks:
        yield _disks(snapshot)
    if snapshot.interfaces:
        yield _interfaces(snapshot)
    if snapshot.processes:
        yield _processes(snapshot)
    if snapshot.logins:
        rows = [(login.user, login.terminal, login.host, login.started_at_utc) for login in snapshot.logins]
        yield table(("LOGGED IN", "TERMINAL", "FROM", "SINCE (UTC)"), rows)
    if snapshot.displays:
        shown = [(display.name, f"{display.width}x{display.height}") for display in snapshot.displays]
        yield table(("DISPLAY", "PIXELS"), shown)


def _system(system: System) -> Table:
    return pairs(
        [
            ("Computer", system.hostname),
            ("System", f"{system.os_name} {system.os_version}"),
            ("Kernel", f"{system.kernel} ({system.architecture})"),
            ("Up for", f"{length_text(system.uptime_s)} (since {system.booted_at_utc})"),
            ("Its clock", system.at_utc),
        ]
    )


def _cpu(cpu: Cpu) -> Table:
    cores = f"{cpu.physical_cores} cores, {cpu.logical_cores} threads"
    load = f"{cpu.load_1m:.2f}  {cpu.load_5m:.2f}  {cpu.load_15m:.2f} (1, 5, 15 minutes)"
    return pairs(
        [("Processor", f"{cpu.model} ({cores})"), ("Busy", f"{cpu.busy_percent:.0f} %"), ("Load", load)]
    )


def _memory(memory: Memory) -> Table:
    free = f"{bytes_text(memory.available_bytes)} of {bytes_text(memory.total_bytes)} available"
    swap = f"{bytes_text(memory.swap_used_bytes)} of {bytes_text(memory.swap_total_bytes)} used"
    return pairs([("Memory", free), ("Swap", swap)])


def _disks(snapshot: Snapshot) -> Table:
    rows = [
        (disk.mount_point, disk.file_system, bytes_text(disk.free_bytes), bytes_text(disk.total_bytes))
        for disk in snapshot.disks
    ]
    return table(("DISK", "KIND", "FREE", "SIZE"), rows)


def _interfaces(snapshot: Snapshot) -> Table:
    rows = [
        (
            interface.name,
            "up" if interface.is_up else "down",
            f"{interface.speed_mbit} Mbit/s" if interface.speed_mbit else "",
            ", ".join(interface.addresses),
        )
        for interface in snapshot.interfaces
    ]
    return table(("NETWORK", "STATE", "SPEED", "ADDRESSES"), rows)


def _processes(snapshot: Snapshot) -> Table:
    rows = [
        (
            process.name,
            process.pid,
            process.user,
            round(process.cpu_percent, 1),
            bytes_text(process.resident_bytes),
        )
        for process in snapshot.processes
    ]
    return table(("PROGRAM", "PID", "USER", "CPU %", "MEMORY"), rows)
