"""What a session costs in which nothing happens: wake-ups by the kernel's count, and bytes."""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from tests.bench.usage import family, read_sockets
from tests.e2e.steps import connect, until_live
from tests.support.person import Person
from tests.support.system import WholeSystem

pytestmark = pytest.mark.real

SETTLED_AFTER_MS = 12_000  # first heartbeats, busy heartbeats after the last key, proofs of every row
COUNTED_MS = 10_000
WAKE_UPS_PER_S_LIMIT = {"service": 1.3, "desktop": 7.0, "worker": 1.0}
KBIT_S_LIMIT = 2.0


def agent_processes(system: WholeSystem) -> Mapping[str, int]:
    """The three processes that a session takes at the device."""
    service, *below = family(system.pids["agent"])
    [worker] = system.screen_workers()
    [desktop] = [pid for pid in below if "agent.desktop" in psutil.Process(pid).cmdline()]
    return {"service": service, "desktop": desktop, "worker": worker}


def wake_ups(pid: int) -> int:
    """How often a thread of this process had waited and went on (proc_pid_status(5))."""
    told = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    lines = [line for each in told for line in each.splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:"))


def carried_bytes(pid: int) -> int:
    """All that this process sent and received over TCP, on the connections that it has now."""
    listing = subprocess.run(
        ["ss", "-tinpH", "state", "established"], capture_output=True, text=True, check=True
    ).stdout
    return sum(sum(counts) for counts in read_sockets(listing, pid=pid).values())


async def test_a_session_in_which_nothing_happens_wakes_and_sends_next_to_nothing(system, page, stages):
    """Who looks at a file or a window every second, or tells seconds on the screen, is found here."""
    person = Person(system.screen)
    await connect(page, system)
    person.wait_for_prompt()
    person.allow()
    await until_live(page)
    await page.wait_for_timeout(SETTLED_AFTER_MS)
    pids = agent_processes(system)
    woken = {role: wake_ups(pid) for role, pid in pids.items()}
    carried, at_s = carried_bytes(pids["service"]), time.monotonic()
    await page.wait_for_timeout(COUNTED_MS)
    took_s = time.monotonic() - at_s
    each_s = {role: (wake_ups(pid) - woken[role]) / took_s for role, pid in pids.items()}
    kbit_s = (carried_bytes(pids["service"]) - carried) * 8 / 1000 / took_s
    told = {role: round(one, 1) for role, one in each_s.items()}
    stages.note(f"wake-ups a second {told}, {kbit_s:.2f} kbit/s")
    assert agent_processes(system) == pids
    assert 0 < kbit_s < KBIT_S_LIMIT
    assert {role: one for role, one in each_s.items() if one > WAKE_UPS_PER_S_LIMIT[role]} == {}
