"""What a neighbour on the same relay costs: `python -m tests.bench.neighbours --tries 200 --json`.

One real relay with a worker and two organisations. Of the first, technicians ask for the list of devices
(`request_ms`) and a session carries 2 KiB to the other end and back (`frame_ms`), `--tries` times each. The
second organisation floods meanwhile, from a process of its own at the lowest priority: `--links` links that
send lists, openings of sessions and pings as fast as they are taken, and `--sessions` sessions that carry as
much as they can. Quiet and flooded turns of ten tries follow each other, so that both see the same machine;
the first three of a turn do not count. The exit status is 1 when a flooded request's p99 is more than a tenth
and 5 ms above the quiet one's.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from protocol.aio.log_in import open_session_wire
from protocol.aio.wire import Wire
from protocol.errors import SupportError
from protocol.limits import SESSION_MESSAGE_LIMIT_BYTES
from protocol.messages.control import ListDevices, OpenSession, Ping, SessionOffered, SessionOpened
from protocol.messages.presence import DeviceList
from tests.bench.figures import spread
from tests.support.organisation import Organisation, acme
from tests.support.relay_process import ControlClient, RelayProcess, log_in_client
from tests.support.two_tenants import serve_two

FRAME = os.urandom(2048)
TURN, SKIPPED = 10, 3
EVERY_S = 0.1  # what the lists of one organisation may come to
ASKING = 8  # technicians who take turns, so that none of them asks for too many lists
ALLOWED_SHARE, ALLOWED_MS = 0.1, 5.0


@dataclass
class Times:
    """Milliseconds of one side of the comparison."""

    request_ms: list[float] = field(default_factory=list)
    frame_ms: list[float] = field(default_factory=list)


async def session(relay: RelayProcess, organisation: Organisation) -> tuple[Wire, Wire]:
    """Both ends of one more session; the control links stay open behind it."""
    device = await log_in_client(relay, organisation.device())
    technician = await log_in_client(relay, organisation.technician(f"t{time.monotonic_ns()}"))
    await technician.send(OpenSession(1, device.welcome.subject_id))
    offered = await device.wait_for(SessionOffered)
    opened = await technician.wait_for(SessionOpened)
    return await asyncio.gather(
        open_session_wire(relay.relay_url, offered.route, offered.ticket),
        open_session_wire(relay.relay_url, opened.route, opened.ticket),
    )


async def _read(client: ControlClient) -> None:
    with contextlib.suppress(SupportError):
        while True:
            await client.receive()


async def _flood_link(relay: RelayProcess, organisation: Organisation, name: str, is_on: Event) -> None:
    client = await log_in_client(relay, organisation.technician(name))
    reading = asyncio.create_task(_read(client))
    number = 0
    while True:
        if not is_on.is_set():
            await asyncio.sleep(0.01)
            continue
        number += 1
        messages = (ListDevices(number), OpenSession(number, "d-" + "a" * 20), Ping(number))
        for message in messages:
            await client.send(message)
        assert not reading.done(), "the relay ended the link"


async def _flood_session(relay: RelayProcess, organisation: Organisation, is_on: Event) -> None:
    ends = await session(relay, organisation)
    content = os.urandom(SESSION_MESSAGE_LIMIT_BYTES)

    async def drain() -> None:
        while True:
            await ends[1].receive()

    async def fill() -> None:
        while True:
            if is_on.is_set():
                await ends[0].send(content)
            else:
                await asyncio.sleep(0.01)

    await asyncio.gather(drain(), fill())


def _flooder(relay: RelayProcess, organisation: Organisation, counts: tuple[int, int], is_on: Event) -> None:
    os.nice(19)
    links, sessions = counts

    async def all_of_it() -> None:
        floods = [_flood_link(relay, organisation, f"flood{number}", is_on) for number in range(links)]
        floods += [_flood_session(relay, organisation, is_on) for _ in range(sessions)]
        await asyncio.gather(*floods)

    asyncio.run(all_of_it())


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1000


async def measure(relay: RelayProcess, is_on: Event, tries: int) -> dict[str, Times]:
    """Quiet and flooded tries in turns."""
    asking = [await log_in_client(relay, acme().technician(f"a{number}")) for number in range(ASKING)]
    near, far = await session(relay, acme())
    times = {"quiet": Times(), "flooded": Times()}
    await asyncio.sleep(1)  # the flooder's links stand by then
    number = 0
    while len(times["flooded"].request_ms) < tries:
        for side in ("quiet", "flooded"):
            if side == "flooded":
                is_on.set()
            else:
                is_on.clear()
            for nth in range(TURN + SKIPPED):
                number += 1
                client = asking[number % ASKING]

                async def ask(client: ControlClient = client, number: int = number) -> None:
                    await client.send(ListDevices(number))
                    await client.wait_for(DeviceList)

                async def carry() -> None:
                    await near.send(FRAME)
                    await far.receive()
                    await far.send(FRAME)
                    await near.receive()

                took = await _timed(ask), await _timed(carry)
                if nth >= SKIPPED:
                    times[side].request_ms.append(took[0])
                    times[side].frame_ms.append(took[1])
                await asyncio.sleep(EVERY_S)
    return times


def run(*, tries: int, links: int, sessions: int) -> dict[str, Any]:
    """The whole comparison."""
    neighbour = Organisation("Neighbour")
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder, RelayProcess(Path(folder) / "data") as relay:
        asyncio.run(serve_two(relay, neighbour))
        is_on = context.Event()
        flooder = context.Process(
            target=_flooder, args=(relay, neighbour, (links, sessions), is_on), daemon=True
        )
        flooder.start()
        try:
            times = asyncio.run(measure(relay, is_on, tries))
            assert flooder.is_alive(), "the flood ended"
        finally:
            flooder.kill()
            flooder.join()
    figures = {
        side: {what: asdict(spread(getattr(one, what))) for what in ("request_ms", "frame_ms")}
        for side, one in times.items()
    }
    quiet, flooded = (figures[side]["request_ms"]["p99"] for side in ("quiet", "flooded"))
    return {
        "adversary": "another organisation on the same relay, with as many links and sessions as said",
        "links": links,
        "sessions": sessions,
        "holds": flooded <= quiet * (1 + ALLOWED_SHARE) + ALLOWED_MS,
        **figures,
    }


def main() -> int:
    """Measure, print, and say by the exit status whether it holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=200)
    parser.add_argument("--links", type=int, default=8)
    parser.add_argument("--sessions", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="the whole result on standard output")
    chosen = parser.parse_args()
    result = run(tries=chosen.tries, links=chosen.links, sessions=chosen.sessions)
    print(json.dumps(result, indent=None if chosen.json else 2))
    return 0 if result["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
