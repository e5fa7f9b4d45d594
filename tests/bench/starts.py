"""Does anything stay behind when the screen is shown and ended a thousand times?

    python -m tests.bench.starts --starts 1000 --json

The service's half (socket, tickets, desktop link, screen capability) runs in this process; desktop process,
screen workers and X server are real ones. Each start ends by a cancelled channel, as a revoke does, after the
first picture. Counted after the first starts and after the last: memory that is a process's own, descriptors,
threads and children of service, desktop process and X server, shared segments, and workers that are left. The
exit status is 1 if more is there than before.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from agent.capabilities.screen.capability import ScreenCapability
from agent.desktop.ipc_messages import DesktopHello, WorkerHello
from agent.desktop_link import DesktopLink, SessionDesk
from agent.local_server import LocalServer
from agent.private_windows import PrivateLists
from agent.worker_desk import SessionWorker, WorkerDesk
from protocol.grantables import Grantable
from protocol.messages.screen import FROM_AGENT_CODEC, PicturePart
from tests.support.capability_channel import MemoryAudit, MemoryChannel
from tests.support.desktop_service import an_indicator
from tests.support.xvfb import Xvfb, start_xvfb

READY_TIMEOUT_S = 20.0
GONE_TIMEOUT_S = 2.0
LOOK_EVERY_S = 0.005
SETTLE_S = 1.0  # the X server closes a dead client's descriptors when it next looks
WARM_UP_STARTS = 10
GROWTH_LIMIT_MIB = 4.0
"""Of one process over all starts: its allocator's pools still fill up at first."""
SEGMENTS = Path("/proc/sysvipc/shm")


@dataclass(frozen=True, slots=True)
class Held:
    """Of one process. `own_mib`: what it wrote and no other shares (a library's pages are its own, or not,
    with what else runs on the machine: they are left out)."""

    own_mib: float
    descriptors: int
    threads: int
    children: int


@dataclass(frozen=True, slots=True)
class Counted:
    """By role; segments of shared memory are those of our user."""

    processes: dict[str, Held]
    segments: int


@dataclass(frozen=True, slots=True)
class Result:
    """What was there after the warm-up and after the last start, and what is too much of it."""

    starts: int
    first: Counted
    last: Counted
    left_workers: list[int]
    complaints: list[str]


class Rig:
    """A service without a network; `pids` by role, service, desktop and X server."""

    def __init__(self, tickets: WorkerDesk, desk: SessionDesk, pids: dict[str, int]) -> None:
        self._tickets, self._desk, self.pids = tickets, desk, pids
        self.workers: set[int] = set()

    async def show_and_end(self) -> None:
        """One start: until a whole picture is there, and then until its worker is gone."""
        channel = MemoryChannel(Grantable.SCREEN_VIEW)
        worker = SessionWorker(self._tickets, self._desk, "xcffib", PrivateLists)
        capability = ScreenCapability(worker, MemoryAudit())
        serving = asyncio.create_task(capability.serve(channel))
        try:
            while not _ends_picture(await channel.answer()):
                pass
            started = {child.pid for child in psutil.Process(self.pids["desktop"]).children()}
            assert len(started) == 1, started
            self.workers |= started
        finally:
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving
        for _ in range(int(GONE_TIMEOUT_S / LOOK_EVERY_S)):
            if not any(psutil.pid_exists(pid) for pid in started):
                return
            await asyncio.sleep(LOOK_EVERY_S)
        raise AssertionError(f"{started} did not end")

    def count(self) -> Counted:
        """Now."""
        uid = str(os.geteuid())
        rows = [row.split() for row in SEGMENTS.read_text("ascii").splitlines()[1:]]
        segments = sum(row[7] == uid and int(row[4]) in self.workers for row in rows)
        return Counted({role: _held(pid) for role, pid in self.pids.items()}, segments)


def _ends_picture(message: bytes) -> bool:
    said = FROM_AGENT_CODEC.decode(message)
    return isinstance(said, PicturePart) and said.is_last


def _held(pid: int) -> Held:
    one = psutil.Process(pid)
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    own_kib = next(int(line.split()[1]) for line in rollup if line.startswith("Private_Dirty:"))
    return Held(round(own_kib / 1024, 2), one.num_fds(), one.num_threads(), len(one.children(recursive=True)))


@asynccontextmanager
async def rig(folder: Path, server: Xvfb) -> AsyncIterator[Rig]:
    """The service's half with a real desktop process on this display, and an indicator that stands."""
    tickets, link = WorkerDesk(), DesktopLink()
    handlers = {DesktopHello: link.handle, WorkerHello: tickets.handle}
    local = LocalServer(folder / "run" / "agent.sock", handlers, allowed_uids=frozenset({os.geteuid()}))
    await local.open()
    words = [
        "-m",
        "agent.desktop",
        "--no-tray",
        "--socket",
        str(local.socket_path),
        "--display",
        server.display,
    ]
    desktop = await asyncio.create_subprocess_exec(sys.executable, *words, env=server.environment)
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            await link.attached.wait()
        assert link.seat is not None
        async with link.seat.session("s1") as desk:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await desk.show_indicator(an_indicator())
            yield Rig(tickets, desk, {"service": os.getpid(), "desktop": desktop.pid, "X server": server.pid})
    finally:
        await local.close()
        await desktop.wait()


async def measure(starts: int, size: tuple[int, int]) -> Result:
    """Start and end it so often, after the warm-up."""
    with tempfile.TemporaryDirectory() as folder, start_xvfb(size, has_openbox=True) as server:
        async with rig(Path(folder), server) as running:
            for _ in range(WARM_UP_STARTS):
                await running.show_and_end()
            await asyncio.sleep(SETTLE_S)
            first = running.count()
            for _ in range(starts):
                await running.show_and_end()
            await asyncio.sleep(SETTLE_S)
            last = running.count()
            left = sorted(pid for pid in running.workers if psutil.pid_exists(pid))
    return Result(starts, first, last, left, complaints(first, last, left))


def complaints(first: Counted, last: Counted, left_workers: list[int]) -> list[str]:
    """What is there that was not there before, in words."""
    said = [f"{len(left_workers)} workers are left"] if left_workers else []
    if last.segments:
        said.append(f"{last.segments} shared segments are left")
    for role, now in last.processes.items():
        before = first.processes[role]
        if now.own_mib - before.own_mib > GROWTH_LIMIT_MIB:
            said.append(f"{role}: {before.own_mib} MiB became {now.own_mib} MiB")
        for what in ("descriptors", "threads", "children"):
            if getattr(now, what) > getattr(before, what):
                said.append(f"{role}: {getattr(before, what)} {what} became {getattr(now, what)}")
    return said


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.starts", description=__doc__)
    parser.add_argument("--starts", type=int, default=1000)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--json", action="store_true", help="the result as JSON on standard output")
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    result = asyncio.run(measure(given.starts, (width, height)))
    for role, before in result.first.processes.items():
        print(f"{role}: {before} -> {result.last.processes[role]}", file=sys.stderr)
    for complaint in result.complaints:
        print(f"left behind: {complaint}", file=sys.stderr)
    if given.json:
        print(json.dumps(asdict(result)))
    return 1 if result.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
