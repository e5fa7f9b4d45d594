"""Diagnostics from a real machine, through a real tunnel."""

import os
import subprocess
import sys
import time

import pytest

from agent.capabilities.diagnostics.capability import DiagnosticsCapability
from protocol.errors import NotGranted
from protocol.messages.diagnostics import (
    FROM_AGENT_CODEC,
    FROM_TECHNICIAN_CODEC,
    Display,
    ReadSnapshot,
    Snapshot,
)
from tests.support.capability_channel import MemoryAudit, MemoryChannel
from tests.support.organisation import acme
from tests.support.tunnelled import served

pytestmark = pytest.mark.real

DISPLAY = Display("Virtual-1", 0, 0, 1920, 1080)


async def one_display() -> tuple[list[Display], str]:
    return [DISPLAY], ""


async def snapshots(count: int) -> list[Snapshot]:
    read = []
    async with served(
        DiagnosticsCapability(one_display, MemoryAudit()), acme().device(), acme().technician()
    ) as (
        channel,
        _,
    ):
        for number in range(count):
            await channel.send(FROM_TECHNICIAN_CODEC.encode(ReadSnapshot(number)))
        for _ in range(count):
            read.append(FROM_AGENT_CODEC.decode(await channel.receive()))
    return read


async def test_a_snapshot_tells_how_this_machine_is_doing() -> None:
    (snapshot,) = await snapshots(1)
    assert snapshot.failures == []
    assert snapshot.system is not None
    assert snapshot.system.kernel == os.uname().release
    assert snapshot.system.uptime_s > 0
    assert snapshot.cpu is not None
    assert 0 <= snapshot.cpu.busy_percent <= 100
    assert snapshot.cpu.logical_cores == os.cpu_count()
    assert snapshot.memory is not None
    assert 0 < snapshot.memory.available_bytes <= snapshot.memory.total_bytes
    assert "/" in [disk.mount_point for disk in snapshot.disks]
    assert "127.0.0.1" in [address for each in snapshot.interfaces for address in each.addresses]
    assert snapshot.processes
    assert snapshot.displays == [DISPLAY]


async def test_a_snapshot_takes_about_as_long_as_its_slowest_source() -> None:
    started_s = time.monotonic()
    (snapshot,) = await snapshots(1)
    assert snapshot.took_s < 3
    assert time.monotonic() - started_s < 5


def test_a_service_that_nobody_asks_holds_neither_psutil_nor_a_catalogue_worker() -> None:
    check = (
        "import sys, agent.capabilities.diagnostics.capability, agent.capabilities.commands.capability, "
        "agent.exec.start; sys.exit(bool({'psutil', 'agent.exec.running'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-I", "-c", check], check=False).returncode == 0


async def test_requests_are_answered_in_order() -> None:
    assert [snapshot.request_no for snapshot in await snapshots(2)] == [0, 1]


async def test_without_the_grant_nothing_is_read() -> None:
    channel = MemoryChannel()
    channel.feed(FROM_TECHNICIAN_CODEC.encode(ReadSnapshot(1)))
    with pytest.raises(NotGranted):
        await DiagnosticsCapability(one_display, MemoryAudit()).serve(channel)
    assert not channel.has_answers
