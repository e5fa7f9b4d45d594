"""Whether the person is at their desktop: locked, switched away from, logged out, asleep (sans-I/O)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

import structlog

from protocol.errors import BackendUnavailable

log = structlog.get_logger()


class PersonFact(Enum):
    """What the system says. All but LOCK_ASKED and BACK last until BACK."""

    LOCKED = auto()
    SWITCHED = auto()
    LOGGED_OUT = auto()
    SLEEPING = auto()
    LOCK_ASKED = auto()  # somebody asked for the lock; whether it came, not every locker tells
    BACK = auto()


Tell = Callable[[PersonFact], None]


@dataclass(frozen=True, slots=True)
class OsPerson:
    """Whose desktop process is watched, as the kernel knows it; `display` is such as ":0", or ""."""

    uid: int
    pid: int
    display: str


class PersonWatch(Protocol):
    """What a platform offers to see the person leave and come back."""

    async def run(self, person: OsPerson, tell: Tell) -> None:
        """Watch the OS session of this process, or of this user's display; until cancelled.

        Raises:
            BackendUnavailable: nobody tells here, with the remedy.
        """
        ...


class Absence:
    """What is known of one desktop's person; `departed` comes with each leaving."""

    def __init__(self) -> None:
        self.is_away = False
        self.is_known = False
        """Whether the system has told anything yet."""
        self.departures = 0
        """How often they have left: who is back again may have been away meanwhile."""
        self._departed = asyncio.Event()

    def tell(self, fact: PersonFact) -> None:
        """Take in a fact."""
        self.is_known = True
        if fact is PersonFact.BACK:
            self.is_away = False
            return
        self.is_away = self.is_away or fact is not PersonFact.LOCK_ASKED
        self.departures += 1
        log.info("person.left", fact=fact.name)
        gone, self._departed = self._departed, asyncio.Event()
        gone.set()

    async def departed(self) -> None:
        """Wait until the person leaves."""
        await self._departed.wait()


WatchPerson = Callable[[OsPerson, Tell], Awaitable[None]]


async def watch_nobody(_person: OsPerson, _tell: Tell) -> None:
    """No system here tells of its sessions."""


def watching(watches: list[PersonWatch]) -> WatchPerson:
    """The first of these that works; why the others do not is logged, and nothing else comes of it.

    What the system does not tell is found by its clocks (`lasting_time.slept_s`), for sleep alone.
    """

    async def watch(person: OsPerson, tell: Tell) -> None:
        for each in watches:
            try:
                await each.run(person, tell)
            except BackendUnavailable as exc:
                log.info("person.not_watched", watch=type(each).__name__, detail=exc.detail)

    return watch
