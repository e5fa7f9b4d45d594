"""RES-08: the relay within 256 MiB, with all at once that strangers and members can do to its memory."""

import asyncio
import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from protocol.aio.log_in import open_session_wire
from protocol.aio.wire import Wire
from protocol.errors import SupportError
from protocol.limits import SESSION_MESSAGE_LIMIT_BYTES
from protocol.messages.control import ListDevices, OpenSession, SessionOffered, SessionOpened
from protocol.messages.presence import DeviceList
from relay.intake import INTAKE_LIMIT_BYTES
from tests.bench.preauth import SESSION_BUDGET_BYTES, Input, Stranger, control_inputs, inputs
from tests.support.memory_limit import memory_limit
from tests.support.organisation import acme
from tests.support.relay_process import RelayProcess, claim_relay, log_in_client

pytestmark = [pytest.mark.real, pytest.mark.beside]

LIMIT_BYTES = 256 << 20
HELD_OF_EACH = 6
STUCK_SESSIONS = 12
STRANGERS = "127.0.0.2"  # their failed log-ins are counted for them, not for the members
WAIT_S = 30.0


@dataclass
class Session:
    """Two session sockets through the relay."""

    ends: tuple[Wire, Wire]

    async def carries(self) -> bool:
        """Whether a message still comes to the other end."""
        async with asyncio.timeout(WAIT_S):
            await self.ends[0].send(b"still here")
            return await self.ends[1].receive() == b"still here"

    async def fill(self) -> None:
        """Send until the reader that never drains holds everything up."""
        with contextlib.suppress(TimeoutError, SupportError):
            async with asyncio.timeout(2):
                while True:
                    await self.ends[0].send(b"x" * SESSION_MESSAGE_LIMIT_BYTES)


async def session(relay: RelayProcess, links: contextlib.AsyncExitStack) -> Session:
    """One more session of a device and a technician of their own."""
    device = await log_in_client(relay, acme().device())
    links.push_async_callback(device.close)
    technician = await log_in_client(relay, acme().technician(str(device.welcome.subject_id)[:20]))
    links.push_async_callback(technician.close)
    await technician.send(OpenSession(1, device.welcome.subject_id))
    offered = await device.wait_for(SessionOffered)
    opened = await technician.wait_for(SessionOpened)
    ends = await asyncio.gather(
        open_session_wire(relay.relay_url, offered.route, offered.ticket),
        open_session_wire(relay.relay_url, opened.route, opened.ticket),
    )
    for end in ends:
        links.push_async_callback(end.close)
    return Session(ends)


def hold(port: int, say: Input) -> Stranger:
    """One stranger who says this and stays."""
    connected = socket.create_connection(("127.0.0.1", port), WAIT_S, source_address=(STRANGERS, 0))
    one = Stranger(connected)
    with contextlib.suppress(OSError):
        say(one)
    return one


def strangers(relay: RelayProcess) -> list[Stranger]:
    """So many of every input that we know to be bad, at both doors, all held open."""
    wanted: list[tuple[int, Input]] = []
    at_control = inputs("/v1/control", INTAKE_LIMIT_BYTES - 1024) | control_inputs()
    for port, kinds in (
        (relay.control_port, at_control),
        (relay.session_port, inputs("/v1/session", SESSION_BUDGET_BYTES)),
    ):
        wanted += [(port, say) for say in kinds.values() for _ in range(HELD_OF_EACH)]
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda one: hold(*one), wanted))


async def served(relay: RelayProcess) -> bool:
    """Whether a member gets in and is answered."""
    async with asyncio.timeout(WAIT_S):
        client = await log_in_client(relay, acme().technician())
        await client.send(ListDevices(1))
        rows = (await client.wait_for(DeviceList)).devices
        await client.close()
    return len(rows) > 0


async def test_res_08_within_256_mib_nothing_of_the_relay_dies_and_its_sessions_go_on(
    tmp_path: Path,
) -> None:
    with (
        memory_limit(LIMIT_BYTES) as limit,
        RelayProcess(tmp_path / "data", inside=limit.words) as relay,
        contextlib.ExitStack() as sockets,
    ):
        await claim_relay(relay, acme())
        pids = relay.child_pids()
        async with contextlib.AsyncExitStack() as links:
            before = await session(relay, links)
            assert await before.carries(), "the control"
            for one in await asyncio.to_thread(strangers, relay):
                sockets.callback(one.connected.close)
            stuck = [await session(relay, links) for _ in range(STUCK_SESSIONS)]
            await asyncio.gather(*(one.fill() for one in stuck))
            for number in range(4):
                deaf = await log_in_client(relay, acme().technician(f"deaf{number}"))
                links.push_async_callback(deaf.close)
                for question in range(60):  # and none of the answers is read
                    await deaf.send(ListDevices(question + 1))
            assert await before.carries()
            assert await served(relay)
            assert limit.kills() == 0
            assert limit.used_bytes() < LIMIT_BYTES
            assert relay.child_pids() == pids, "the same processes"
