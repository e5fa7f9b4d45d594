"""The page's pointer and keys to the `input` channel: in order, at once, never queued without bound."""

import asyncio
from collections import deque
from collections.abc import Callable

from protocol.aio.first_of import first_of
from protocol.messages.input import (
    FROM_AGENT_CODEC,
    FROM_TECHNICIAN_CODEC,
    Event,
    FromTechnician,
    InputDropped,
    InputEvents,
    InputState,
    PointerMove,
    ReleaseAll,
)
from technician_client.console.backend import Channel
from technician_client.console.page import Page
from technician_client.console.page_messages import SayInputDropped, SayInputState, problem

QUEUE_LIMIT_MESSAGES = 256


class InputQueue:
    """Messages that wait for the channel. Moves replace moves; when it is full all of it is dropped and the
    agent is told to release everything, because a lost release would leave a key down (sans-I/O)."""

    def __init__(self) -> None:
        self._waiting: deque[FromTechnician] = deque()

    def offer(self, display_index: int, events: list[Event], now_ms: int) -> None:
        """Add what the page did, stamped with our monotonic clock."""
        newest = self._waiting[-1] if self._waiting else None
        if isinstance(newest, InputEvents) and _only_moves(newest.events) and _only_moves(events):
            self._waiting.pop()
        if len(self._waiting) >= QUEUE_LIMIT_MESSAGES:
            self._waiting.clear()
            self._waiting.append(ReleaseAll())
        self._waiting.append(InputEvents(now_ms, display_index, events))

    def release_all(self) -> None:
        """The page lost its focus."""
        if not (self._waiting and isinstance(self._waiting[-1], ReleaseAll)):
            self._waiting.append(ReleaseAll())

    def take(self) -> FromTechnician | None:
        """The oldest message, or None."""
        return self._waiting.popleft() if self._waiting else None


class InputFeed:
    """Serves one input channel."""

    def __init__(self, channel: Channel, page: Page, now_ms: Callable[[], int]) -> None:
        self._channel = channel
        self._page = page
        self._now_ms = now_ms
        self._queue = InputQueue()
        self._has_work = asyncio.Event()

    async def serve(self) -> None:
        """Run until the channel is over or the page left."""
        await first_of(self._receive(), self._send())

    def offer(self, display_index: int, events: list[Event]) -> None:
        """Events of the page, in order."""
        self._queue.offer(display_index, events, self._now_ms())
        self._has_work.set()

    def release_all(self) -> None:
        """Everything that is down goes up."""
        self._queue.release_all()
        self._has_work.set()

    async def _receive(self) -> None:
        while True:
            match FROM_AGENT_CODEC.decode(await self._channel.receive()):
                case InputState(is_active, code):
                    why = None if is_active or not code else problem(code)
                    await self._page.say(SayInputState(is_active, why))
                case InputDropped(events, code):
                    await self._page.say(SayInputDropped(events, problem(code)))

    async def _send(self) -> None:
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            while (message := self._queue.take()) is not None:
                await self._channel.send(FROM_TECHNICIAN_CODEC.encode(message))
                # what waits for the wire waits here, where a move replaces the one before it
                await self._channel.until_sent()


def _only_moves(events: list[Event]) -> bool:
    return all(isinstance(event, PointerMove) for event in events)
