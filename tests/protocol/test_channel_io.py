"""The pumps of `protocol.aio`: order, back-pressure, and a clean end."""

import asyncio
import contextlib

import pytest

from protocol.aio.channel_io import ChannelEnded, ChannelIO
from protocol.channels import CHANNEL_TERMS
from protocol.errors import ErrorCode
from tests.support.wires import wire_pair


@contextlib.asynccontextmanager
async def running_pair():
    here, there = wire_pair(4)
    ends = ChannelIO(here), ChannelIO(there)
    pumps = [asyncio.ensure_future(end.run()) for end in ends]
    try:
        yield *ends, here
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def test_messages_arrive_whole_and_in_order_on_each_channel():
    async with running_pair() as (left, right, _):
        out, back = left.open(3, CHANNEL_TERMS["screen"]), right.open(3, CHANNEL_TERMS["screen"])
        pictures = [bytes([n]) * 700_000 for n in range(20)]

        async def send_all() -> None:
            for picture in pictures:
                await out.send(picture)

        sending = asyncio.ensure_future(send_all())
        assert [await back.receive() for _ in pictures] == pictures
        await sending


async def test_a_receiver_that_does_not_consume_stops_the_sender():
    async with running_pair() as (left, right, _):
        out, back = left.open(3, CHANNEL_TERMS["commands"]), right.open(3, CHANNEL_TERMS["commands"])
        sent, went_on = 0, asyncio.Event()

        async def send_for_ever() -> None:
            nonlocal sent
            while True:
                await out.send(b"x" * 100_000)
                sent += 1
                went_on.set()

        sending = asyncio.ensure_future(send_for_ever())
        stopped_at = -1
        while sent != stopped_at:
            stopped_at = sent
            await asyncio.sleep(0.1)
        assert stopped_at < 20
        went_on.clear()
        for _ in range(6):
            await back.receive()
        await asyncio.wait_for(went_on.wait(), 10)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_a_lost_link_ends_every_channel_with_its_code():
    async with running_pair() as (left, _, wire):
        stream = left.open(3, CHANNEL_TERMS["input"])
        waiting = asyncio.ensure_future(stream.receive())
        await asyncio.sleep(0)
        await wire.close()
        with pytest.raises(ChannelEnded) as caught:
            await asyncio.wait_for(waiting, 2)
        assert caught.value.code is ErrorCode.E_LINK_LOST
        with pytest.raises(ChannelEnded):
            await stream.send(b"x")


async def test_closing_one_channel_leaves_the_others():
    async with running_pair() as (left, right, _):
        for number in (3, 4):
            left.open(number, CHANNEL_TERMS["input"])
        first, second = (right.open(number, CHANNEL_TERMS["input"]) for number in (3, 4))
        first.close(ErrorCode.E_GRANT_ENDED)
        with pytest.raises(ChannelEnded) as caught:
            await first.receive()
        assert caught.value.code is ErrorCode.E_GRANT_ENDED
        await second.send(b"alive")
