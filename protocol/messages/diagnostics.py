"""Channel `diagnostics`: one typed snapshot of the device. A source that fails says so, the others stand."""

from typing import Annotated, TypeAlias

from msgspec import Meta

from protocol.codec import Codec, Finite, Message
from protocol.limits import CHANNEL_MESSAGE_LIMIT_BYTES, DIAGNOSTICS_ITEMS_LIMIT, DIAGNOSTICS_PROCESSES_LIMIT

Text = Annotated[str, Meta(max_length=256)]


class System(Message, frozen=True, tag="diagnostics.system"):
    """Operating system, machine and clock."""

    hostname: Text
    os_name: Text
    os_version: Text
    kernel: Text
    architecture: Text
    booted_at_utc: Text
    uptime_s: Finite
    at_utc: Text


class Cpu(Message, frozen=True, tag="diagnostics.cpu"):
    """Processor; loads are fractions of one core over 1, 5 and 15 minutes; `busy_percent` of all cores."""

    model: Text
    physical_cores: int
    logical_cores: int
    busy_percent: Finite
    load_1m: Finite
    load_5m: Finite
    load_15m: Finite


class Memory(Message, frozen=True, tag="diagnostics.memory"):
    """Bytes."""

    total_bytes: int
    available_bytes: int
    swap_total_bytes: int
    swap_used_bytes: int


class Disk(Message, frozen=True, tag="diagnostics.disk"):
    """One mounted file system."""

    mount_point: Text
    device: Text
    file_system: Text
    total_bytes: int
    free_bytes: int


class NetworkInterface(Message, frozen=True, tag="diagnostics.interface"):
    """One interface; `speed_mbit` 0 when unknown."""

    name: Text
    is_up: bool
    speed_mbit: int
    addresses: Annotated[list[Text], Meta(max_length=DIAGNOSTICS_ITEMS_LIMIT)]
    sent_bytes: int
    received_bytes: int


class Process(Message, frozen=True, tag="diagnostics.process"):
    """One of the busiest or largest processes. Never its arguments: they may hold secrets."""

    pid: int
    name: Text
    user: Text
    cpu_percent: Finite
    resident_bytes: int


class LogIn(Message, frozen=True, tag="diagnostics.login"):
    """One logged-in OS session."""

    user: Text
    terminal: Text
    host: Text
    started_at_utc: Text


class Display(Message, frozen=True, tag="diagnostics.display"):
    """One display of the person's desktop, physical pixels."""

    name: Text
    x: int
    y: int
    width: int
    height: int


class SourceFailed(Message, frozen=True, tag="diagnostics.failed"):
    """This part could not be read; `reason` is plain text."""

    source: Text
    reason: Text


class ReadSnapshot(Message, frozen=True, tag="diagnostics.read_snapshot"):
    """Technician: one snapshot, please."""

    request_no: int


class Snapshot(Message, frozen=True, tag="diagnostics.snapshot"):
    """Agent: what could be read. A missing part is None or empty, and named in `failures`."""

    request_no: int
    took_s: Finite
    system: System | None
    cpu: Cpu | None
    memory: Memory | None
    disks: Annotated[list[Disk], Meta(max_length=DIAGNOSTICS_ITEMS_LIMIT)]
    interfaces: Annotated[list[NetworkInterface], Meta(max_length=DIAGNOSTICS_ITEMS_LIMIT)]
    processes: Annotated[list[Process], Meta(max_length=DIAGNOSTICS_PROCESSES_LIMIT * 2)]
    logins: Annotated[list[LogIn], Meta(max_length=DIAGNOSTICS_ITEMS_LIMIT)]
    displays: Annotated[list[Display], Meta(max_length=DIAGNOSTICS_ITEMS_LIMIT)]
    failures: Annotated[list[SourceFailed], Meta(max_length=DIAGNOSTICS_ITEMS_LIMIT)]


FromTechnician: TypeAlias = ReadSnapshot
FromAgent: TypeAlias = Snapshot
FROM_TECHNICIAN_CODEC: Codec[FromTechnician] = Codec(FromTechnician, 1024)
FROM_AGENT_CODEC: Codec[FromAgent] = Codec(FromAgent, CHANNEL_MESSAGE_LIMIT_BYTES)
