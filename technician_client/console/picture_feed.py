"""Pictures from the `screen` channel to the page, acknowledgements back."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from protocol.errors import ErrorCode, PeerViolation
from protocol.messages.screen import (
    FROM_AGENT_CODEC,
    FROM_TECHNICIAN_CODEC,
    CursorMoved,
    CursorShape,
    Displays,
    FromAgent,
    FromTechnician,
    PicturePart,
    PictureSeen,
    Refresh,
    ScreenFailed,
    ShowDisplay,
)
from technician_client.console.backend import Channel
from technician_client.console.page import Page
from technician_client.console.page_messages import (
    SayCursorMoved,
    SayDisplay,
    SayDisplays,
)
from technician_client.console.picture_wire import DecodedPixels, PartHead, pack_cursor, pack_part
from technician_client.console.race import until_first_end
from technician_client.refusals import refusal

# pictures that the page has not painted yet; above it nothing more is read, so that the agent's credit runs
# out and a slow page costs no memory
UNSEEN_LIMIT = 4
# parts of one picture may overlap at most this often; more is an attempt to make us hold memory
_PICTURE_COVERS_LIMIT = 2
_EDGE_PIXELS = 64


class Decoder(Protocol):
    """`technician_client.capabilities.screen.PictureDecoder`, as far as it is used here."""

    def feed(self, part: PicturePart) -> Sequence[DecodedPixels]:
        """The exact pixels of the part's rectangles."""
        ...


class PictureFeed:
    """Serves one screen channel. `clock_offset_ms` is the agent's monotonic clock minus ours, read anew for
    each picture."""

    def __init__(
        self, channel: Channel, page: Page, decoder: Decoder, clock_offset_ms: Callable[[], float]
    ) -> None:
        self._channel = channel
        self._page = page
        self._decoder = decoder
        self._clock_offset_ms = clock_offset_ms
        self._unseen: deque[tuple[int, int]] = deque()
        self._seen_picture_nos: deque[int] = deque()
        self._wishes: deque[FromTechnician] = deque(maxlen=8)
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._has_work = asyncio.Event()
        self._sequence = 0
        self._picture_no = 0
        self._covered_pixels = 0
        self.received_bytes = 0

    async def serve(self) -> None:
        """Run until the channel is over (ChannelEnded), the page left or the agent broke the protocol."""
        await until_first_end(self._receive(), self._answer())

    def seen(self, sequence: int) -> None:
        """The page painted this picture, and with it those before it."""
        while self._unseen and self._unseen[0][0] <= sequence:
            self._seen_picture_nos.append(self._unseen.popleft()[1])
            self._has_work.set()
        if len(self._unseen) < UNSEEN_LIMIT:
            self._has_room.set()

    def refresh(self) -> None:
        """Ask for everything anew."""
        self._wish(Refresh())

    def show_display(self, index: int) -> None:
        """Ask for another display."""
        self._wish(ShowDisplay(index))

    def _wish(self, wish: FromTechnician) -> None:
        self._wishes.append(wish)
        self._has_work.set()

    async def _receive(self) -> None:
        while True:
            await self._has_room.wait()
            message = await self._channel.receive()
            self.received_bytes += len(message)
            await self._pass_on(FROM_AGENT_CODEC.decode(message))

    async def _answer(self) -> None:
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            while self._seen_picture_nos:
                seen = PictureSeen(self._seen_picture_nos.popleft())
                await self._channel.send(FROM_TECHNICIAN_CODEC.encode(seen))
            while self._wishes:
                await self._channel.send(FROM_TECHNICIAN_CODEC.encode(self._wishes.popleft()))

    async def _pass_on(self, message: FromAgent) -> None:
        match message:
            case PicturePart():
                await self._part(message)
            case CursorMoved():
                await self._page.say(SayCursorMoved(message.x, message.y))
            case CursorShape():
                await self._page.show(pack_cursor(message))
            case Displays():
                await self._page.say(_displays(message))
            case ScreenFailed():
                raise refusal(message.code, "said by the screen worker")

    async def _part(self, part: PicturePart) -> None:
        if part.picture_no != self._picture_no:
            self._picture_no = part.picture_no
            self._sequence += 1
            self._covered_pixels = 0
        self._covered_pixels += sum(area.width * area.height for area in part.rectangles)
        limit = _PICTURE_COVERS_LIMIT * (part.width + _EDGE_PIXELS) * (part.height + _EDGE_PIXELS)
        if self._covered_pixels > limit:
            raise PeerViolation("a picture larger than its display", code=ErrorCode.E_MESSAGE_SIZE)
        captured_at_ms = part.captured_at_ms - self._clock_offset_ms()
        age_ms = max(0.0, asyncio.get_running_loop().time() * 1000 - captured_at_ms)
        head = PartHead(
            sequence=self._sequence,
            captured_at_unix_ms=time.time() * 1000 - age_ms,
            width=part.width,
            height=part.height,
            is_last=part.is_last,
            is_reset=part.is_reset,
        )
        packed = pack_part(head, self._decoder.feed(part))
        if part.is_last:
            self._unseen.append((self._sequence, part.picture_no))
            if len(self._unseen) >= UNSEEN_LIMIT:
                self._has_room.clear()
        await self._page.show(packed)


def _displays(message: Displays) -> SayDisplays:
    displays = [SayDisplay(display.index, display.width, display.height) for display in message.displays]
    return SayDisplays(displays, message.shown_index, message.source)
