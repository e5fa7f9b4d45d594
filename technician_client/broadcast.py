"""Events to any number of watchers; none of them can hold the sender up."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

EVENTS_LIMIT = 1000

Event = TypeVar("Event")
News = TypeVar("News")


class Broadcast(Generic[Event]):
    """Each watcher has a bounded queue; one that is slow loses its oldest."""

    def __init__(self) -> None:
        self._watchers: set[Callable[[Event], None]] = set()

    def tell(self, event: Event) -> None:
        """Hand the event to everyone who watches now."""
        for tell in list(self._watchers):
            tell(event)

    @contextmanager
    def watch(self, choose: Callable[[Event], News | None]) -> Iterator["asyncio.Queue[News]"]:
        """A queue of what `choose` makes of each event from now on, without its Nones."""
        queue: asyncio.Queue[News] = asyncio.Queue(EVENTS_LIMIT)

        def tell(event: Event) -> None:
            news = choose(event)
            if news is None:
                return
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(news)

        self._watchers.add(tell)
        try:
            yield queue
        finally:
            self._watchers.discard(tell)
