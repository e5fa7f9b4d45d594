"""The shaping proxy with real sockets."""

import asyncio
import time

import pytest

from tests.bench.link_terms import LinkTerms
from tests.bench.shaper import Shaper

pytestmark = pytest.mark.real


@pytest.fixture
async def echo_behind():
    """Starts an echo service behind a shaped link; returns how to connect to it."""
    servers = []

    async def echo(reader, writer):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        writer.close()

    async def connect(terms):
        service = await asyncio.start_server(echo, "127.0.0.1", 0)
        to = service.sockets[0].getsockname()[:2]
        link = await Shaper(terms).listen(("127.0.0.1", 0), to)
        servers.extend((service, link))
        return await asyncio.open_connection(*link.sockets[0].getsockname()[:2])

    yield connect
    for server in servers:
        server.close()


async def test_an_echo_takes_the_round_trip(echo_behind):
    reader, writer = await echo_behind(LinkTerms(0.060, 100e6))
    began = time.monotonic()
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    assert 0.060 <= time.monotonic() - began < 0.5
    writer.close()
    await writer.wait_closed()


async def test_bytes_come_whole_in_order_and_at_the_bandwidth(echo_behind):
    reader, writer = await echo_behind(LinkTerms(0.010, 8e6, buffer_bytes=16_384))
    content = bytes(range(256)) * 1200
    began = time.monotonic()
    writer.write(content)
    assert await reader.readexactly(len(content)) == content
    assert time.monotonic() - began >= 0.30
    writer.close()
    await writer.wait_closed()


async def test_the_end_of_one_side_reaches_the_other(echo_behind):
    reader, writer = await echo_behind(LinkTerms(0.002, 100e6))
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    await writer.wait_closed()
