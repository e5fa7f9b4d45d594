"""How soon everybody is back after the relay was killed: `python -m tests.bench.outage --links 1000 --json`.

Agents' own control links (`agent.link.RelayLink` with its own back-off), all in this process, each from
an address of its own in 127.0.0.0/8 (`--one-address`: all from one, as behind one router), at a real relay
with one worker and SQLite. It is killed and started again; the times are from its first accepted log-in to
each link's.
"""

import argparse
import asyncio
import ipaddress
import itertools
import json
import logging
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import structlog

from agent.link import CONNECTED, LinkParts, RelayLink
from agent.state import RelayAddress
from protocol.messages.control import DeviceFacts
from tests.support.organisation import acme
from tests.support.relay_process import RelayProcess, claim_relay

FIRST_ADDRESS = int(ipaddress.ip_address("127.1.0.1"))
LOOK_EVERY_S = 0.02


class SpreadLoop(asyncio.SelectorEventLoop):
    """Each connection comes from another address."""

    numbers = itertools.count()

    async def create_connection(self, *words: Any, **named: Any) -> Any:
        """See `asyncio.loop.create_connection`."""
        address = str(ipaddress.ip_address(FIRST_ADDRESS + next(self.numbers) % 60_000))
        return await super().create_connection(*words, local_addr=(address, 0), **named)


async def _no_offer(*_: object) -> None:
    raise AssertionError("nobody asks")


def link_to(relay: RelayProcess) -> RelayLink:
    """One more device's."""
    parts = LinkParts(
        identity=acme().device(),
        relay=RelayAddress(relay.relay_url, relay.relay_id),
        tls_ca=None,
        facts=DeviceFacts("pc", "linux", "1"),
        on_policy=lambda _: None,
        on_status=lambda _: None,
        on_successors=lambda _: None,
        on_offer=_no_offer,
    )
    return RelayLink(parts)


async def all_linked(links: list[RelayLink], limit_s: float) -> list[float]:
    """When each was there, by the monotonic clock; those that are not in time are left out."""
    at_s: dict[int, float] = {}
    deadline_s = time.monotonic() + limit_s
    while len(at_s) < len(links) and time.monotonic() < deadline_s:
        for number, link in enumerate(links):
            if number not in at_s and link.state == CONNECTED:
                at_s[number] = time.monotonic()
        await asyncio.sleep(LOOK_EVERY_S)
    return sorted(at_s.values())


def wait_until_lost(links: list[RelayLink]) -> None:
    """Until every link knows that its relay is gone."""
    while any(link.state == CONNECTED for link in links):
        time.sleep(LOOK_EVERY_S)


async def measure(count: int, limit_s: float, folder: Path) -> dict[str, float | int]:
    """One outage."""
    with RelayProcess(folder / "data") as relay:
        await claim_relay(relay, acme())
        links = [link_to(relay) for _ in range(count)]
        running = [asyncio.create_task(link.run()) for link in links]
        await all_linked(links, limit_s)
        missing = Counter(link.code or "silent" for link in links if link.state != CONNECTED)
        assert not missing, f"they never were all there: {missing}"
        relay.kill()
        await asyncio.to_thread(wait_until_lost, links)
        await asyncio.to_thread(relay.restart)
        back_s = await all_linked(links, limit_s)
        processes = [psutil.Process(pid) for pid in (relay.pid, *relay.child_pids())]
        cpu_s = sum(sum(each.cpu_times()[:2]) for each in processes)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    after = [moment - back_s[0] for moment in back_s]
    return {
        "links": count,
        "back": len(after),
        "p50_s": round(after[len(after) // 2], 2),
        "p99_s": round(after[len(after) * 99 // 100], 2),
        "max_s": round(after[-1], 2),
        "relay_cpu_s": round(cpu_s, 2),
    }


def main() -> int:
    """The command; exit status 1 if somebody is not back."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.outage", description=__doc__)
    parser.add_argument("--links", type=int, default=200)
    parser.add_argument("--limit-s", type=float, default=120.0)
    parser.add_argument("--one-address", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=None if given.one_address else SpreadLoop) as runner,
    ):
        found = runner.run(measure(given.links, given.limit_s, Path(folder)))
    if given.json:
        sys.stdout.write(json.dumps(found) + "\n")
    sys.stderr.write(", ".join(f"{name} {value}" for name, value in found.items()) + "\n")
    return 0 if found["back"] == given.links else 1


if __name__ == "__main__":
    sys.exit(main())
