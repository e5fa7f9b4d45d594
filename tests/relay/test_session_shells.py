"""One contract for both shells of a session socket."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from protocol.errors import ErrorCode
from protocol.ids import new_session_id
from protocol.limits import SESSION_MESSAGE_LIMIT_BYTES
from protocol.messages.control import FROM_WORKER_CODEC, Paired, Refused
from relay.worker.aiohttp_shell import AiohttpSocket
from relay.worker.forwarder import Forwarder
from relay.worker.loop import tick_forever
from relay.worker.picows_shell import serve_picows
from relay.worker.tickets import Side, TicketGate, TicketMint

pytestmark = pytest.mark.real

KEY = b"k" * 32


@dataclass
class Shell:
    """A shell that serves a forwarder on a loopback port."""

    url: str
    forwarder: Forwarder

    @asynccontextmanager
    async def open(self, first: bytes) -> AsyncIterator[ClientConnection]:
        """A socket that sent its first message."""
        async with connect(self.url, compression=None, ping_interval=None, proxy=None) as connection:
            await connection.send(first)
            yield connection

    @asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[ClientConnection, ClientConnection]]:
        """Two paired sockets."""
        session_id = new_session_id()
        async with (
            self.open(ticket(session_id, Side.DEVICE)) as device,
            self.open(ticket(session_id, Side.TECHNICIAN)) as technician,
        ):
            for one in (device, technician):
                assert FROM_WORKER_CODEC.decode(await _bytes(one)) == Paired(session_id)
            yield device, technician


def ticket(session_id: str, side: Side) -> bytes:
    """A fresh ticket."""
    return TicketMint(KEY).mint(session_id, side, 0, time.time())  # type: ignore[arg-type]  # a session id


async def _bytes(connection: ClientConnection) -> bytes:
    message = await asyncio.wait_for(connection.recv(), 5)
    assert isinstance(message, bytes)
    return message


async def _start_picows(forwarder: Forwarder, listener: socket.socket) -> Callable[[], Awaitable[None]]:
    server = await serve_picows(forwarder, listener, None)

    async def stop() -> None:
        server.close()
        await server.wait_closed()

    return stop


async def _start_aiohttp(forwarder: Forwarder, listener: socket.socket) -> Callable[[], Awaitable[None]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        return await AiohttpSocket(forwarder).serve(request)

    app = web.Application()
    app.router.add_get("/v1/session", serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    return runner.cleanup


@pytest.fixture(params=[_start_picows, _start_aiohttp], ids=["picows", "aiohttp"])
async def shell(request: pytest.FixtureRequest) -> AsyncIterator[Shell]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    forwarder = Forwarder(TicketGate(KEY, 0), lambda: time.time())
    stop = await request.param(forwarder, listener)
    yield Shell(f"ws://127.0.0.1:{listener.getsockname()[1]}/v1/session", forwarder)
    forwarder.close_all()
    await asyncio.sleep(0.05)
    await stop()
    listener.close()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, SESSION_MESSAGE_LIMIT_BYTES])
async def test_a_message_of_every_size_class_passes_unchanged(shell: Shell, size: int) -> None:
    async with shell.pair() as (device, technician):
        message = os.urandom(size)
        await device.send(message)
        assert await _bytes(technician) == message
        await technician.send(message[::-1])
        assert await _bytes(device) == message[::-1]


@pytest.mark.parametrize("jump_s", [3600.0, 365 * 86400.0, -3600.0, -365 * 86400.0])
async def test_rel_06_a_clock_that_is_set_ends_no_session_and_stops_no_new_one(
    shell: Shell, jump_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticked = asyncio.Event()

    class Ticked(Forwarder):
        def tick(self, now_s: float) -> None:
            super().tick(now_s)
            ticked.set()

    shell.forwarder.__class__ = Ticked
    monkeypatch.setattr("relay.worker.loop._TICK_S", 0.05)
    ticking = asyncio.create_task(tick_forever(shell.forwarder))
    async with shell.pair() as (device, technician):
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + jump_s)
        ticked.clear()
        await asyncio.wait_for(ticked.wait(), 10)
        await device.send(b"still here")
        assert await _bytes(technician) == b"still here"
        async with shell.pair() as (device, technician):
            await device.send(b"as well")
            assert await _bytes(technician) == b"as well"
    ticking.cancel()


async def test_fragments_of_a_message_arrive_as_one(shell: Shell) -> None:
    async with shell.pair() as (device, technician):
        await device.send([b"a" * 1000, b"b" * 1000, b"c"])
        assert await _bytes(technician) == b"a" * 1000 + b"b" * 1000 + b"c"


async def test_fragments_over_the_limit_end_the_session(shell: Shell) -> None:
    async with shell.pair() as (device, technician):
        with contextlib.suppress(ConnectionClosed):  # which of the two fragments is the last is a race
            await device.send([b"a" * 40_000, b"b" * 40_000])
        for one in (device, technician):
            with pytest.raises(ConnectionClosed):
                await _bytes(one)


@pytest.mark.parametrize(
    "message", ["text", b"\0" * (SESSION_MESSAGE_LIMIT_BYTES + 1)], ids=["text", "large"]
)
async def test_what_is_forbidden_ends_both_and_no_other(shell: Shell, message: str | bytes) -> None:
    async with shell.pair() as (device, technician), shell.pair() as (other_device, other_technician):
        await device.send(message)
        for one in (device, technician):
            with pytest.raises(ConnectionClosed):
                await _bytes(one)
        await other_device.send(b"unharmed")
        assert await _bytes(other_technician) == b"unharmed"


async def test_a_wrong_ticket_gets_its_code_and_the_end(shell: Shell) -> None:
    async with shell.open(b"no ticket") as connection:
        assert FROM_WORKER_CODEC.decode(await _bytes(connection)) == Refused(0, ErrorCode.E_TICKET)
        with pytest.raises(ConnectionClosed):
            await _bytes(connection)


async def test_all_that_was_sent_before_a_close_arrives(shell: Shell) -> None:
    async with shell.pair() as (device, technician):
        for number in range(50):
            await device.send(bytes([number]) * 20_000)
        await device.close()
        for number in range(50):
            assert await _bytes(technician) == bytes([number]) * 20_000
        with pytest.raises(ConnectionClosed):
            await _bytes(technician)


async def test_a_cut_connection_ends_the_other_end_too(shell: Shell) -> None:
    async with shell.pair() as (device, technician):
        device.transport.abort()
        with pytest.raises(ConnectionClosed):
            await _bytes(technician)
    for _ in range(100):
        if shell.forwarder.sockets == 0:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("a socket of an ended session is still counted")


async def test_msg_14_a_reader_that_stops_holds_back_its_own_sender_alone(shell: Shell) -> None:
    async with shell.pair() as (device, technician), shell.pair() as (other_device, other_technician):
        sent = 0

        async def flood() -> None:
            nonlocal sent
            while sent < 1500:
                await device.send(b"\0" * 60_000)
                sent += 1

        technician.transport.pause_reading()
        flooding = asyncio.create_task(flood())
        await asyncio.sleep(1)
        held = sent
        await other_device.send(b"not held")
        assert await _bytes(other_technician) == b"not held"
        await asyncio.sleep(0.3)
        assert sent == held < 1400
        technician.transport.resume_reading()
        for _ in range(1500):
            assert len(await _bytes(technician)) == 60_000
        await flooding


async def test_a_ping_is_answered_and_not_forwarded(shell: Shell) -> None:
    async with shell.pair() as (device, technician):
        await asyncio.wait_for(await device.ping(b"hello"), 5)
        await device.send(b"after")
        assert await _bytes(technician) == b"after"
