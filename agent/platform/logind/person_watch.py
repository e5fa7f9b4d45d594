"""Lock, log-out, user switch and sleep of the person's OS session, told by systemd-logind.

Source: org.freedesktop.login1(5). A signal only wakes us: what holds is read from logind itself, and signals
of other senders are ignored, so that nobody on the bus can say that the person is back.
"""

import asyncio
from typing import Any

import structlog

from agent.absence import OsPerson, PersonFact, Tell
from agent.bus_frames import BusMessage
from agent.platform.logind.bus import BUS, BUS_PATH, LOGIND, SystemBus
from agent.platform.logind.graphical_users import GRAPHICAL_TYPES
from protocol.aio.backoff import Backoff
from protocol.errors import BackendUnavailable

log = structlog.get_logger()

_MANAGER_PATH = "/org/freedesktop/login1"
_MANAGER, _SESSION = f"{LOGIND}.Manager", f"{LOGIND}.Session"
_PROPERTIES = f"{BUS}.Properties"


class LogindWatch:
    """Implements `PersonWatch`. `bus_address` "" is the system bus."""

    def __init__(self, bus_address: str = "") -> None:
        self._bus_address = bus_address

    async def run(self, person: OsPerson, tell: Tell) -> None:
        """See `PersonWatch.run`. A bus or a logind that restarts is connected to again."""
        backoff = Backoff(first_s=1.0)
        has_worked = False
        while True:
            watched = _Watched(SystemBus(self._bus_address), tell)
            try:
                await watched.open(person)
                has_worked = True
                backoff.reset()
                await watched.until_lost()
            except BackendUnavailable as exc:
                if not has_worked:
                    raise
                log.warning("person.watch_lost", detail=exc.detail)
            finally:
                watched.close()
            await asyncio.sleep(backoff.next_delay_s())


class _Watched:
    """One OS session on one connection."""

    def __init__(self, bus: SystemBus, tell: Tell) -> None:
        self._bus = bus
        self._tell = tell
        self._owner = ""
        self._path = ""
        self._is_sleeping = False
        self._is_over = False
        self._changed = asyncio.Event()
        self._gone = asyncio.Event()

    async def open(self, person: OsPerson) -> None:
        """Find the session, have its signals sent, and say how it is now."""
        await self._bus.open()
        self._owner = await self._bus.call((BUS, BUS_PATH, BUS, "GetNameOwner"), "s", LOGIND)
        self._path = await self._find(person)
        self._bus.on_signal(self._take)
        rules = [f"type='signal',sender='{LOGIND}',path='{path}'" for path in (_MANAGER_PATH, self._path)]
        rules.append(f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{LOGIND}'")
        for rule in rules:
            await self._bus.call((BUS, BUS_PATH, BUS, "AddMatch"), "s", rule)
        await self._look()
        log.info("person.watched", session=self._path)

    async def until_lost(self) -> None:
        """Follow the session until bus or logind is gone."""
        looking = asyncio.create_task(self._look_again())
        losing = [asyncio.create_task(self._bus.lost()), asyncio.create_task(self._gone.wait()), looking]
        try:
            await asyncio.wait(losing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in losing:
                task.cancel()
            await asyncio.gather(*losing, return_exceptions=True)

    def close(self) -> None:
        self._bus.close()

    async def _find(self, person: OsPerson) -> str:
        manager = (LOGIND, _MANAGER_PATH, _MANAGER)
        try:
            return str(await self._bus.call((*manager, "GetSessionByPID"), "u", person.pid))
        except BackendUnavailable as exc:
            why = exc
        # one that the service or the user's own manager started is in no session
        graphical: list[str] = []
        for _, uid, _, _, path in await self._bus.call((*manager, "ListSessions")):
            if uid != person.uid:
                continue
            if person.display and await self._read(path, "Display") == person.display:
                return str(path)
            if await self._read(path, "Type") in GRAPHICAL_TYPES:
                graphical.append(str(path))
        if len(graphical) == 1:  # on Wayland no display is named
            return graphical[0]
        raise BackendUnavailable(f"logind knows no session of this desktop ({why.detail})")

    async def _look_again(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._look()

    async def _look(self) -> None:
        """Read how it is and say so."""
        if self._is_over:
            return
        is_locked = await self._read(self._path, "LockedHint")
        is_active = await self._read(self._path, "Active")
        if self._is_sleeping:
            return
        if is_locked:
            self._tell(PersonFact.LOCKED)
        elif not is_active:
            self._tell(PersonFact.SWITCHED)
        else:
            self._tell(PersonFact.BACK)

    async def _read(self, path: str, name: str) -> Any:
        found = await self._bus.call((LOGIND, path, _PROPERTIES, "Get"), "ss", _SESSION, name)
        return found[1]

    def _take(self, signal: BusMessage) -> None:
        if signal.sender == BUS and signal.name == "NameOwnerChanged":
            self._gone.set()
        if signal.sender != self._owner:
            return
        match signal.name:
            case "PrepareForSleep":
                self._is_sleeping = bool(signal.body and signal.body[0] is True)
                self._tell(PersonFact.SLEEPING)  # also at the end, should the beginning have been missed
                self._changed.set()
            case "SessionRemoved" if len(signal.body) > 1 and signal.body[1] == self._path:
                self._is_over = True
                self._tell(PersonFact.LOGGED_OUT)
            case "Lock" if signal.path == self._path:
                self._tell(PersonFact.LOCK_ASKED)
                self._changed.set()
            case "PropertiesChanged" if signal.path == self._path:
                changed = signal.body[1] if len(signal.body) > 1 else {}
                self._took(changed if isinstance(changed, dict) else {})
                self._changed.set()
            case _:
                pass

    def _took(self, changed: dict[str, tuple[str, object]]) -> None:
        """Somebody who was away for a moment only was away all the same."""
        if "LockedHint" in changed and changed["LockedHint"][1] is True:
            self._tell(PersonFact.LOCKED)
        if "Active" in changed and changed["Active"][1] is False:
            self._tell(PersonFact.SWITCHED)
