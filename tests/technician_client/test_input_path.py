"""From the page's events to the wire: at once while it takes them, newest move only while it does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from protocol.aio.channel_io import ChannelEnded, ChannelIO
from protocol.channels import CHANNEL_TERMS, Channels
from protocol.errors import ErrorCode
from protocol.messages.input import FROM_TECHNICIAN_CODEC, Event, InputEvents, Key, PointerMove
from technician_client.console.input_feed import InputFeed

INPUT_NO, SCREEN_NO = 3, 4
PRESS, RELEASE = Key(97, True), Key(97, False)


class Wire:
    """A byte stream that takes what is sent while `takes` is set, and reads it."""

    def __init__(self) -> None:
        self.takes = asyncio.Event()
        self.takes.set()
        self.events: list[tuple[int, Event]] = []
        self.messages = 0
        self.order: list[int] = []
        self._far = Channels()
        self._far.open(INPUT_NO, CHANNEL_TERMS["input"])
        self._far.open(SCREEN_NO, CHANNEL_TERMS["screen"])

    async def send(self, content: bytes) -> None:
        """See `ByteStream`."""
        await self.takes.wait()
        for message in self._far.receive(content):
            self.order.append(message.channel_no)
            if message.channel_no == INPUT_NO:
                self._note(message.content)

    def _note(self, content: bytes) -> None:
        said = FROM_TECHNICIAN_CODEC.decode(content)
        assert isinstance(said, InputEvents)
        self.messages += 1
        self.events += [(said.sent_at_ms, event) for event in said.events]

    async def receive(self) -> bytes:
        """Nothing ever comes."""
        return await asyncio.Future()


@asynccontextmanager
async def feeding() -> AsyncIterator[tuple[InputFeed, Wire, ChannelIO]]:
    """A feed on a wire."""
    wire = Wire()
    ends = ChannelIO(wire)
    feed = InputFeed(ends.open(INPUT_NO, CHANNEL_TERMS["input"]), None, lambda: 7)  # type: ignore[arg-type]
    tasks = [asyncio.create_task(ends.run()), asyncio.create_task(feed.serve())]
    try:
        yield feed, wire, ends
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def turns(count: int = 20) -> None:
    """The loop goes round so often; no time passes."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_wire_that_takes_gets_every_move_and_every_key_at_once() -> None:
    async with feeding() as (feed, wire, _):
        offered: list[Event] = [PointerMove(1, 1), PointerMove(2, 2), PRESS, RELEASE, PointerMove(3, 3)]
        for event in offered:
            feed.offer(0, [event])
            await turns()
        assert [event for _, event in wire.events] == offered
        assert wire.messages == len(offered)


async def test_moves_that_wait_for_the_wire_become_one_and_keys_none_the_fewer() -> None:
    async with feeding() as (feed, wire, _):
        wire.takes.clear()
        feed.offer(0, [PointerMove(0, 0)])
        await turns()  # this one is with the wire already
        for number in range(1, 500):
            feed.offer(0, [PointerMove(number, number)])
            await turns(2)
        feed.offer(0, [PRESS])
        feed.offer(0, [RELEASE])
        for number in range(500, 900):
            feed.offer(0, [PointerMove(number, 1)])
            await turns(2)
        wire.takes.set()
        await turns()
        came = [event for _, event in wire.events]
        assert came == [PointerMove(0, 0), PointerMove(499, 499), PRESS, RELEASE, PointerMove(899, 1)]


async def test_a_key_goes_before_everything_that_waits_on_the_screen_channel() -> None:
    async with feeding() as (feed, wire, ends):
        screen = ends.open(SCREEN_NO, CHANNEL_TERMS["screen"])
        wire.takes.clear()
        for _ in range(30):
            await screen.send(b"x" * 2000)
        await turns()  # one record is with the wire
        feed.offer(0, [PRESS])
        await turns()
        wire.takes.set()
        await turns(60)
        ahead = wire.order.index(INPUT_NO)
        assert ahead <= 9, "no more than what fills the one record that had left"
        assert wire.order.count(SCREEN_NO) == 30


async def test_who_waits_for_the_wire_is_told_when_the_channel_ends() -> None:
    async with feeding() as (_, wire, ends):
        stream = ends.open(9, CHANNEL_TERMS["input"])
        wire.takes.clear()
        await stream.send(b"one")
        waiting = asyncio.create_task(stream.until_sent())
        await turns()
        assert not waiting.done()
        stream.close(ErrorCode.E_GRANT_ENDED)
        with pytest.raises(ChannelEnded) as ended:
            await waiting
        assert ended.value.code is ErrorCode.E_GRANT_ENDED
