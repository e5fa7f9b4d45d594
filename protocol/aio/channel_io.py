"""Runs `Channels` over a byte stream: one pump each way, and a `ChannelStream` per channel."""

import asyncio

from protocol.aio.tunnel_io import ByteStream
from protocol.channels import CONTROL_CHANNEL, ChannelMessage, Channels, ChannelTerms
from protocol.errors import ErrorCode, SupportError
from protocol.limits import FRAME_HEADER_BYTES, FRAME_PAYLOAD_LIMIT_BYTES

RECORD_BYTES = FRAME_HEADER_BYTES + FRAME_PAYLOAD_LIMIT_BYTES
HIGH_WATER_BYTES = 64 << 10


class ChannelEnded(SupportError):
    """The channel is over, with the code of the reason; what was queued is gone."""

    default_code = ErrorCode.E_LINK_LOST


class ChannelStream:
    """One channel, as the capability at this end sees it. Made by `ChannelIO.open`."""

    def __init__(self, owner: "ChannelIO", number: int) -> None:
        self.number = number
        self._owner = owner
        self._arrived: asyncio.Queue[ChannelMessage | None] = asyncio.Queue()
        self._space = asyncio.Event()
        self._space.set()
        self._is_sent = asyncio.Event()
        self._is_sent.set()
        self._end_code: ErrorCode | None = None

    @property
    def queued_bytes(self) -> int:
        """What this end has sent and the wire has not taken yet."""
        return self._owner.channels.queued_bytes(self.number)

    async def send(self, message: bytes) -> None:
        """Queue one message; waits first while more than HIGH_WATER_BYTES are waiting.

        Raises:
            ChannelEnded: the channel is over.
        """
        await self._space.wait()
        if self._end_code is not None:
            raise ChannelEnded(f"channel {self.number}", code=self._end_code)
        self._owner.channels.send(self.number, message)
        self.note_space()
        self._owner.wake()

    async def until_sent(self) -> None:
        """Wait until the wire has taken all that was sent here: what may be replaced still waits till then.

        Raises:
            ChannelEnded: the channel is over.
        """
        await self._is_sent.wait()
        if self._end_code is not None:
            raise ChannelEnded(f"channel {self.number}", code=self._end_code)

    async def receive(self) -> bytes:
        """The next message; taking it gives its credit back to the sender.

        Raises:
            ChannelEnded: the channel is over; messages that came before its end are still given out.
        """
        if self._end_code is not None and self._arrived.empty():
            raise ChannelEnded(f"channel {self.number}", code=self._end_code)
        message = await self._arrived.get()
        if message is None:
            self._arrived.put_nowait(None)
            raise ChannelEnded(f"channel {self.number}", code=self._end_code)
        self._owner.channels.consumed(message)
        if self._owner.channels.has_credit_to_give:
            self._owner.wake()
        return message.content

    def close(self, code: ErrorCode = ErrorCode.E_LINK_LOST) -> None:
        """End it here: queued messages are dropped, waiting callers get `code`. May be called twice."""
        if self._end_code is None:
            self._owner.forget(self.number)
            self._end_code = code
            self._space.set()
            self._is_sent.set()
            self._arrived.put_nowait(None)

    def arrived(self, message: ChannelMessage) -> None:
        """For `ChannelIO`: a whole message came."""
        self._arrived.put_nowait(message)

    def note_space(self) -> None:
        """For `ChannelIO`: the queue became longer or shorter."""
        is_over = self._end_code is not None
        _set_if(self._space, is_over or self.queued_bytes <= HIGH_WATER_BYTES)
        _set_if(self._is_sent, is_over or not self.queued_bytes)


class ChannelIO:
    """All channels of one session. `run` must be running for anything to move."""

    def __init__(self, stream: ByteStream) -> None:
        self.channels = Channels()
        self._stream = stream
        self._streams: dict[int, ChannelStream] = {}
        self._work = asyncio.Event()
        self._is_drained = asyncio.Event()
        self.heard_at_s = asyncio.get_running_loop().time()
        self.control = ChannelStream(self, CONTROL_CHANNEL)
        self._streams[CONTROL_CHANNEL] = self.control

    def open(self, number: int, terms: ChannelTerms) -> ChannelStream:
        """Open a channel at this end. Both ends do so before its first message.

        Raises:
            WrongState: the number is or was in use.
        """
        self.channels.open(number, terms)
        stream = ChannelStream(self, number)
        self._streams[number] = stream
        return stream

    async def run(self) -> None:
        """Pump both ways until it fails or is cancelled; then every channel is over.

        Raises:
            Unreachable: the link was lost. PeerViolation: the peer broke the protocol.
        """
        code = ErrorCode.E_LINK_LOST
        writing = asyncio.create_task(self._write())
        reading = asyncio.create_task(self._read())
        try:
            done, _ = await asyncio.wait({writing, reading}, return_when=asyncio.FIRST_COMPLETED)
            failure = next((task.exception() for task in done if task.exception()), None)
            if failure is not None:
                code = getattr(failure, "code", ErrorCode.E_INTERNAL)
                raise failure
        finally:
            for task in (writing, reading):
                task.cancel()
            await asyncio.gather(writing, reading, return_exceptions=True)
            for stream in list(self._streams.values()):
                stream.close(code)
            self._is_drained.set()

    def wake(self) -> None:
        """There is something to write."""
        self._work.set()

    def forget(self, number: int) -> None:
        """For `ChannelStream.close`."""
        self._streams.pop(number, None)
        self.channels.close(number)

    async def drain(self) -> None:
        """Wait until the wire took everything that has credit, or `run` has ended."""
        self._is_drained.clear()
        self.wake()
        await self._is_drained.wait()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            received = await self._stream.receive()
            self.heard_at_s = loop.time()
            for message in self.channels.receive(received):
                stream = self._streams.get(message.channel_no)
                if stream is not None:
                    stream.arrived(message)
            self.wake()  # credit may have come for what waits

    async def _write(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while frames := self.channels.next_frames(RECORD_BYTES):
                await self._stream.send(frames)
                for stream in self._streams.values():
                    stream.note_space()
            self._is_drained.set()


def _set_if(event: asyncio.Event, is_so: bool) -> None:
    if is_so:
        event.set()
    else:
        event.clear()
