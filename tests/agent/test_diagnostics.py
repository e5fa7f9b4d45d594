"""One snapshot: typed, bounded, and a source that fails spoils nothing else."""

import platform
import threading
from collections.abc import Iterator

import psutil
import pytest

from agent.capabilities.diagnostics import probes
from agent.capabilities.diagnostics.bounded import BoundedSources, SourceStuck
from agent.capabilities.diagnostics.snapshot import SnapshotReader
from protocol.errors import Unreachable
from protocol.limits import DIAGNOSTICS_ITEMS_LIMIT, DIAGNOSTICS_PROCESSES_LIMIT, DISPLAY_LIMIT
from protocol.messages.diagnostics import (
    FROM_AGENT_CODEC,
    Cpu,
    Disk,
    Display,
    LogIn,
    Memory,
    NetworkInterface,
    Process,
    Snapshot,
    SourceFailed,
    System,
)

WIDE = "\U00020000"  # four bytes of UTF-8 a character
NAME = WIDE * probes.NAME_LIMIT_CHARS
PATH = WIDE * probes.PATH_LIMIT_CHARS
LARGE = 2**62


async def no_displays() -> tuple[list[Display], str]:
    return [], "nobody is logged in at a screen"


@pytest.fixture
def quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "SAMPLE_S", 0.0)
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval=None: 12.5)


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_the_largest_snapshot_fits_one_message() -> None:
    interface = NetworkInterface(
        NAME, True, LARGE, ["f" * probes.NAME_LIMIT_CHARS] * probes.ADDRESSES_LIMIT, LARGE, LARGE
    )
    snapshot = Snapshot(
        request_no=LARGE,
        took_s=3.0,
        system=System(NAME, NAME, NAME, NAME, NAME, NAME, 1.5, NAME),
        cpu=Cpu(NAME, 8, 8, 99.5, 1.5, 1.5, 1.5),
        memory=Memory(LARGE, LARGE, LARGE, LARGE),
        disks=[Disk(PATH, PATH, NAME, LARGE, LARGE)] * DIAGNOSTICS_ITEMS_LIMIT,
        interfaces=[interface] * probes.INTERFACES_LIMIT,
        processes=[Process(LARGE, NAME, NAME, 99.5, LARGE)] * (2 * DIAGNOSTICS_PROCESSES_LIMIT),
        logins=[LogIn(NAME, NAME, NAME, NAME)] * DIAGNOSTICS_ITEMS_LIMIT,
        displays=[Display(NAME, LARGE, LARGE, LARGE, LARGE)] * DISPLAY_LIMIT,
        failures=[SourceFailed(PATH, PATH)] * (DIAGNOSTICS_ITEMS_LIMIT // 4 + 8),
    )
    assert FROM_AGENT_CODEC.decode(FROM_AGENT_CODEC.encode(snapshot)) == snapshot


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("read_system", "system"),
        ("read_cpu", "cpu"),
        ("read_memory", "memory"),
        ("read_disks", "disks"),
        ("read_interfaces", "interfaces"),
        ("read_processes", "processes"),
        ("read_logins", "logins"),
    ],
)
@pytest.mark.usefixtures("quick_probes")
async def test_a_source_that_fails_is_named_and_the_others_stand(
    monkeypatch: pytest.MonkeyPatch, source: str, part: str
) -> None:
    def fail() -> None:
        raise PermissionError("/secret/path")

    monkeypatch.setattr(probes, source, fail)
    snapshot = await SnapshotReader(no_displays).read(7)
    assert not getattr(snapshot, part)
    assert len([failed for failed in snapshot.failures if failed.reason == "not allowed to read it"]) == 1
    others = {"system", "cpu", "memory", "processes"} - {part}
    assert all(getattr(snapshot, other) for other in others)
    assert "/secret/path" not in repr(snapshot)


async def test_a_source_that_hangs_is_given_up_and_not_asked_again_until_it_returns(
    stuck: threading.Event,
) -> None:
    sources = BoundedSources(timeout_s=0.05, at_once_limit=1)

    def hang() -> bool:
        return stuck.wait(60)

    with pytest.raises(SourceStuck, match="within"):
        await sources.ask("disks", hang)
    with pytest.raises(SourceStuck, match="still"):
        await sources.ask("disks", hang)
    assert await sources.ask("memory", lambda: 1) == 1
    assert await sources.ask("memory", lambda: 2) == 2


async def test_a_timeout_that_a_source_raises_is_its_own() -> None:
    def fail() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        await BoundedSources(timeout_s=5, at_once_limit=1).ask("network", fail)


@pytest.mark.usefixtures("quick_probes")
async def test_a_desktop_that_is_gone_spoils_nothing_else() -> None:
    async def gone() -> tuple[list[Display], str]:
        raise Unreachable

    snapshot = await SnapshotReader(gone).read(1)
    assert [failed.source for failed in snapshot.failures] == ["displays"]
    assert snapshot.system is not None


@pytest.mark.usefixtures("quick_probes")
async def test_displays_come_from_the_desktop_and_their_absence_has_its_reason() -> None:
    async def one_display() -> tuple[list[Display], str]:
        return [Display("Virtual-1", 0, 0, 1280, 720)], ""

    with_display = await SnapshotReader(one_display).read(1)
    without = await SnapshotReader(no_displays).read(2)
    assert [display.width for display in with_display.displays] == [1280]
    assert SourceFailed("displays", "nobody is logged in at a screen") in without.failures


def test_a_process_is_named_by_the_kernel_and_not_by_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    me = psutil.Process()
    monkeypatch.setattr(me, "name", lambda: "backup --password=hunter2")
    monkeypatch.setattr(probes, "SAMPLE_S", 0.0)
    monkeypatch.setattr(psutil, "process_iter", lambda: [me])
    (only,) = probes.read_processes()
    assert only.pid == me.pid
    assert only.name == probes.PROC.joinpath("self", "comm").read_text().strip()
    assert only.resident_bytes > 0


def test_at_most_thirty_processes_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "SAMPLE_S", 0.0)
    processes = probes.read_processes()
    assert 0 < len(processes) <= 2 * DIAGNOSTICS_PROCESSES_LIMIT


def test_texts_of_the_system_are_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: "pc\x1b[31m\u202etxt" + "x" * 500)
    hostname = probes.read_system().hostname
    assert "\x1b" not in hostname
    assert "\u202e" not in hostname
    assert len(hostname) == probes.NAME_LIMIT_CHARS
