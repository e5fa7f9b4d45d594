"""The shaping proxy with real sockets."""

import asyncio
import contextlib
import socket
import time

import pytest

from tests.bench.link_terms import LinkTerms
from tests.bench.shaper import Shaper

pytestmark = pytest.mark.real
ANY = ("127.0.0.1", 0)


async def echo(reader, writer):
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def behind(terms, serve):
    """A connection to this service over a shaped link."""
    service = await asyncio.start_server(serve, *ANY)
    shaper = Shaper(terms)
    reader, writer = await asyncio.open_connection(
        *await shaper.listen(ANY, service.sockets[0].getsockname()[:2])
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await shaper.close()
        service.close()
        await asyncio.sleep(0)


async def test_an_echo_takes_the_round_trip():
    async with behind(LinkTerms(0.060, 100e6), echo) as (reader, writer):
        began = time.monotonic()
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        assert 0.060 <= time.monotonic() - began < 0.5


async def test_bytes_come_whole_in_order_and_at_the_bandwidth():
    content = bytes(range(256)) * 1200
    async with behind(LinkTerms(0.010, 8e6, buffer_bytes=16_384), echo) as (reader, writer):
        began = time.monotonic()
        writer.write(content)
        assert await reader.readexactly(len(content)) == content
        assert time.monotonic() - began >= 0.30


async def test_the_end_of_one_side_reaches_the_other_after_all_bytes():
    async with behind(LinkTerms(0.002, 100e6), echo) as (reader, writer):
        writer.write(b"last words")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b"last words"


async def test_the_far_side_is_held_back_and_does_not_fill_the_kernel_s_buffers():
    """A sender behind the link once got rid of megabytes at once, which then were late."""
    sent = 0

    async def pour(_reader, writer):
        nonlocal sent
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(bytes(4096))
                await writer.drain()
                sent += 4096
        writer.close()

    async with behind(LinkTerms(0.010, 800_000, buffer_bytes=16_384), pour) as (reader, _):
        await asyncio.wait_for(reader.readexactly(50_000), 10)
        assert sent < 700_000
