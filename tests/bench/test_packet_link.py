"""A link of real packets, between real sockets."""

import asyncio
import contextlib
import os
import socket
import time
from pathlib import Path

import pytest

from tests.bench.link_terms import LinkTerms, parse_link
from tests.bench.packet_link import packet_link
from tests.bench.stage import FAR_HOST
from tests.bench.test_shaper import echo

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        os.geteuid() != 0 or not Path("/dev/net/tun").exists(), reason="needs root and /dev/net/tun"
    ),
]


@contextlib.asynccontextmanager
async def behind(terms):
    """A connection to an echo over the link."""
    service = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = service.sockets[0].getsockname()[1]
    async with packet_link(terms, FAR_HOST, [port]):
        reader, writer = await asyncio.open_connection(FAR_HOST, port)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            service.close()
            await asyncio.sleep(0)


async def test_an_echo_takes_the_round_trip():
    async with behind(LinkTerms(0.060, 100e6)) as (reader, writer):
        began_s = time.monotonic()
        writer.write(b"hello")
        assert await asyncio.wait_for(reader.readexactly(5), 10) == b"hello"
        assert time.monotonic() - began_s >= 0.060


async def test_what_is_lost_is_sent_again_and_nothing_is_missing():
    content = bytes(range(256)) * 1200
    async with behind(LinkTerms(0.010, 20e6, loss=0.03)) as (reader, writer):
        writer.write(content)
        assert await asyncio.wait_for(reader.readexactly(len(content)), 20) == content


def test_its_terms_say_that_packets_are_lost():
    terms = parse_link("150ms/5mbit/1%/packets")
    assert terms.has_packets
    assert parse_link(str(terms)) == terms
