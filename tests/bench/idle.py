"""What the agent costs while nothing happens: memory, processor time, traffic and disk writes.

    python -m tests.bench.idle --seconds 300 --json

A relay that speaks TLS, the agent's service and its desktop process with the tray, all real, on an X server
without a screen. Memory is counted at the end; the rest is what was added meanwhile, by the kernel's count.
Traffic is scaled to a day, with and without what the network adds to each packet. The exit status is 1 when a
limit is passed.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from protocol.aio.log_in import claim, connect_control
from protocol.identity import save_identity
from tests.bench.usage import PACKETS, TcpPort, look_at_sockets
from tests.support.agent_commands import running_agent
from tests.support.organisation import acme
from tests.support.relay_process import RelayProcess, running_relay
from tests.support.tls_server import server_files
from tests.support.xvfb import start_xvfb

SETTLE_S = 15.0  # log-in, policy, the tray's first answers
DAY_S = 86_400
PACKET_OVERHEAD_BYTES = 52
"""IPv4 and TCP with time stamps."""

RESIDENT_LIMIT_MIB = 90.0
PROCESSOR_LIMIT_PERCENT = 0.2
TRAFFIC_LIMIT_MB_A_DAY = 2.0


@dataclass(frozen=True, slots=True)
class Memory:
    """In MiB. `resident`: with every page that is shared; `proportional`: a part of those; `own`: none."""

    resident: float
    proportional: float
    own: float


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one process, since it began."""

    processor_ns: int
    wake_ups: int
    written_bytes: int


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything that is counted, at once. `files`: what tells whether one was written or replaced."""

    at_s: float
    counts: Mapping[str, Counts]
    carried_bytes: int
    packets: int
    files: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Result:
    """What `--json` prints; `complaints` names every limit that was passed."""

    seconds: float
    memory_mib: Mapping[str, Memory]
    resident_together_mib: float
    processor_percent: Mapping[str, float]
    wake_ups_a_minute: Mapping[str, float]
    traffic_mb_a_day: float
    traffic_with_headers_mb_a_day: float
    written_bytes: Mapping[str, int]
    changed_files: list[str]
    complaints: list[str]


@dataclass(frozen=True, slots=True)
class Idle:
    """An agent that is connected, and nobody does anything."""

    pids: Mapping[str, int]
    relay_port: int
    data: Path

    def look(self) -> Moment:
        """Count now."""
        ours = TcpPort(self.relay_port, is_listener=False, pid=self.pids["service"])
        return Moment(
            time.monotonic(),
            {role: counts_of(pid) for role, pid in self.pids.items()},
            sum(map(sum, look_at_sockets(ours).values())),
            sum(map(sum, look_at_sockets(ours, PACKETS).values())),
            {str(path.relative_to(self.data)): _marks(path) for path in self.data.rglob("*")},
        )


def counts_of(pid: int) -> Counts:
    """Of all threads of this process (proc_pid_status(5); schedstat begins with ns on a processor)."""
    tasks = list(Path(f"/proc/{pid}/task").iterdir())
    lines = [line.split() for task in tasks for line in (task / "status").read_text("ascii").splitlines()]
    return Counts(
        processor_ns=sum(int((task / "schedstat").read_text("ascii").split()[0]) for task in tasks),
        wake_ups=sum(int(words[1]) for words in lines if words and words[0] == "voluntary_ctxt_switches:"),
        written_bytes=psutil.Process(pid).io_counters().write_bytes,
    )


def memory_of(pid: int) -> Memory:
    """Now."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()[1:]
    kib = {words[0].rstrip(":"): int(words[1]) for words in map(str.split, lines)}
    own_kib = kib["Private_Clean"] + kib["Private_Dirty"]
    return Memory(*(round(each / 1024, 1) for each in (kib["Rss"], kib["Pss"], own_kib)))


def _marks(path: Path) -> tuple[int, ...]:
    told = path.lstat()
    return (told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns)


@contextmanager
def idle_agent(folder: Path) -> Iterator[Idle]:
    """Start everything, and end it."""
    tls = server_files(folder / "tls")
    with start_xvfb(has_openbox=True) as server:
        words = ("--tls-cert", str(tls.certificate), "--tls-key", str(tls.key))
        with running_relay(folder / "relay", arguments=words) as relay:
            data = folder / "agent"
            data.mkdir(mode=0o700)
            save_identity(acme().device(), data / "identity.pem")
            told = {"url": relay.relay_url, "relay_id": relay.relay_id}
            (data / "relay.json").write_text(json.dumps(told))
            (data / "relay.json").chmod(0o600)
            (data / "relay-ca.pem").write_bytes(tls.authority.read_bytes())
            asyncio.run(_claim(relay, tls.authority))
            with running_agent(data, "--display", server.display) as agent:
                pids = {"service": agent.process.pid, "desktop": agent.ready["desktop_pid"]}
                yield Idle(pids, relay.control_port, data)


async def _claim(relay: RelayProcess, authority: Path) -> None:
    wire = await connect_control(relay.relay_url, tls_ca=authority)
    try:
        await claim(wire, acme().admin(), relay.claim_secret())
    finally:
        await wire.close()


def result(first: Moment, last: Moment, memory: Mapping[str, Memory]) -> Result:
    """The difference, as rates, and what is too much of it."""
    seconds = last.at_s - first.at_s
    to_day = DAY_S / seconds / 1e6
    carried, packets = last.carried_bytes - first.carried_bytes, last.packets - first.packets
    both = {role: (first.counts[role], last.counts[role]) for role in last.counts}
    found = Result(
        round(seconds, 1),
        memory,
        round(sum(each.resident for each in memory.values()), 1),
        {
            role: round((after.processor_ns - before.processor_ns) / seconds / 1e7, 3)
            for role, (before, after) in both.items()
        },
        {
            role: round((after.wake_ups - before.wake_ups) * 60 / seconds, 1)
            for role, (before, after) in both.items()
        },
        round(carried * to_day, 2),
        round((carried + packets * PACKET_OVERHEAD_BYTES) * to_day, 2),
        {role: after.written_bytes - before.written_bytes for role, (before, after) in both.items()},
        sorted(
            name for name in first.files.keys() | last.files.keys()
            if first.files.get(name) != last.files.get(name)
        ),
        [],
    )  # fmt: skip
    found.complaints.extend(complaints(found))
    return found


def complaints(found: Result) -> list[str]:
    """Every limit that was passed, in words."""
    said = []
    if found.resident_together_mib > RESIDENT_LIMIT_MIB:
        said.append(f"{found.resident_together_mib} MiB are resident")
    processor = sum(found.processor_percent.values())
    if processor > PROCESSOR_LIMIT_PERCENT:
        said.append(f"{processor:.3f} % of a core")
    if found.traffic_with_headers_mb_a_day > TRAFFIC_LIMIT_MB_A_DAY:
        said.append(f"{found.traffic_with_headers_mb_a_day} MB of traffic a day")
    said += [f"{role} wrote {written} bytes" for role, written in found.written_bytes.items() if written]
    said += [f"{name} changed" for name in found.changed_files]
    return said


def measure(seconds: float) -> Result:
    """Start, let it settle, and count for so long."""
    with tempfile.TemporaryDirectory() as folder, idle_agent(Path(folder)) as agent:
        time.sleep(SETTLE_S)
        first = agent.look()
        time.sleep(seconds)
        last = agent.look()
        return result(first, last, {role: memory_of(pid) for role, pid in agent.pids.items()})


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.idle", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--json", action="store_true", help="the result as JSON on standard output")
    given = parser.parse_args()
    found = measure(given.seconds)
    for name, value in asdict(found).items():
        print(f"{name}: {value}", file=sys.stderr)
    if given.json:
        print(json.dumps(asdict(found)))
    return 1 if found.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
