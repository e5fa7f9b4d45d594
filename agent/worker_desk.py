"""Where the service waits for the screen worker that it asked the desktop process to start."""

import asyncio
import hmac
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import structlog

from agent.desktop.ipc_messages import (
    TO_COMMAND_LINE_CODEC,
    TO_WORKER_CODEC,
    WORKER_TICKET_BYTES,
    CoverWindows,
    Hello,
    IpcRefused,
    ListsTaken,
    StartScreen,
    StopScreen,
    WorkerHello,
)
from agent.desktop_link import SessionDesk
from agent.local_frames import LocalConnection
from agent.private_windows import PrivateLists
from protocol.errors import BackendUnavailable, ErrorCode, SupportError, Unreachable
from protocol.private_windows import PrivateWindow

log = structlog.get_logger()

WORKER_START_TIMEOUT_S = 10.0
ENDED_TIMEOUT_S = 1.0
LISTS_CHECK_INTERVAL_S = 5.0
"""How long a change of the lists of private windows may go unnoticed that `lists_changed` did not tell of."""

ReadNews: TypeAlias = Callable[[], Sequence[PrivateWindow] | None]


@dataclass(frozen=True, slots=True)
class _Awaited:
    ticket: bytes
    uid: int
    arrival: asyncio.Future[LocalConnection]
    read_news: ReadNews


class _HandedOver:
    """A worker's connection that its session has; `woken` whenever one of the two may be new."""

    def __init__(self) -> None:
        self.is_released = False
        self.woken = asyncio.Event()


class WorkerDesk:
    """Tickets that are out, and the connection that each one brings in. A ticket works once."""

    def __init__(self, lists_check_interval_s: float = LISTS_CHECK_INTERVAL_S) -> None:
        self._lists_check_interval_s = lists_check_interval_s
        self._expected: dict[str, _Awaited] = {}
        self._handed_over: dict[LocalConnection, _HandedOver] = {}

    def expect(
        self, session_id: str, uid: int, read_news: ReadNews
    ) -> tuple[bytes, asyncio.Future[LocalConnection]]:
        """A fresh ticket for this session, and the connection it will bring, from this user's process alone.

        `read_news` says what is to be painted over if that has changed since it was last asked, else None.
        Where it raises SupportError, nothing more is shown.
        """
        ticket = secrets.token_bytes(WORKER_TICKET_BYTES)
        arrival: asyncio.Future[LocalConnection] = asyncio.get_running_loop().create_future()
        self._expected[session_id] = _Awaited(ticket, uid, arrival, read_news)
        return ticket, arrival

    def forget(self, session_id: str) -> None:
        """No worker is expected for this session any more."""
        self._expected.pop(session_id, None)

    async def handle(self, hello: Hello, connection: LocalConnection) -> None:
        """Serve a connection that said `WorkerHello`: it belongs to the waiting session until released."""
        assert isinstance(hello, WorkerHello)
        awaited = self._expected.get(hello.session_id)
        # another user's screen is not shown under this user's grant, whoever the ticket was given to
        is_theirs = awaited is not None and awaited.uid == connection.peer.uid
        is_due = awaited is not None and is_theirs and not awaited.arrival.done()
        if awaited is None or not is_due or not hmac.compare_digest(awaited.ticket, hello.ticket):
            await connection.send(TO_COMMAND_LINE_CODEC.encode(IpcRefused(code=ErrorCode.E_TICKET)))
            await connection.finish()
            return
        self.forget(hello.session_id)
        mine = self._handed_over[connection] = _HandedOver()
        awaited.arrival.set_result(connection)
        try:
            while not mine.is_released:
                # also at first: a list may have changed while the worker started
                await _tell_news(connection, awaited.read_news)
                await _set_within(mine.woken, self._lists_check_interval_s)
                mine.woken.clear()
        finally:
            del self._handed_over[connection]

    def lists_changed(self) -> None:
        """A list of private windows is new: every worker is told now."""
        for each in self._handed_over.values():
            each.woken.set()

    async def handle_lists_changed(self, _hello: Hello, connection: LocalConnection) -> None:
        """Answer `ListsChanged`."""
        self.lists_changed()
        await connection.send(TO_COMMAND_LINE_CODEC.encode(ListsTaken()))
        await connection.finish()

    def release(self, connection: LocalConnection) -> None:
        """The session is done with this worker's connection; the worker ends at the end of its input."""
        connection.close()
        mine = self._handed_over.get(connection)
        if mine:
            mine.is_released = True
            mine.woken.set()


async def _set_within(event: asyncio.Event, limit_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await event.wait()


async def _tell_news(connection: LocalConnection, read_news: ReadNews) -> None:
    try:
        news = read_news()
    except SupportError as exc:
        log.warning("screen.lists_unreadable", code=exc.code.value, detail=exc.detail)
        connection.close()
        return
    if news is not None:
        with suppress(Unreachable):  # who reads its pictures sees that it is gone
            await connection.send(TO_WORKER_CODEC.encode(CoverWindows(list(news))))


class SessionWorker:
    """Starts and ends the screen worker of one session, through the desktop process."""

    def __init__(
        self, tickets: WorkerDesk, desk: SessionDesk, source: str, read_lists: Callable[[], PrivateLists]
    ) -> None:
        """`read_lists`: the lists of private windows that are in force when it is called."""
        self._tickets = tickets
        self._desk = desk
        self._source = source
        self._read_lists = read_lists
        self._lists = PrivateLists()
        self._connection: LocalConnection | None = None

    def prepare(self) -> dict[str, int]:
        """What the audit is to know of the lists of private windows: counts only.

        Raises:
            SupportError: a list cannot be read; then nothing must be shown.
        """
        return self._read_lists().facts

    async def start(self) -> LocalConnection:
        """Have a worker started, and return its connection.

        Raises:
            SupportError: a list of private windows cannot be read.
            BackendUnavailable: with the desktop's code, or E_SCREEN_FAILED when none came in time.
            Unreachable: E_CONSENT_NOBODY, the desktop process went away.
        """
        session_id = self._desk.session_id
        self._lists = self._read_lists()
        ticket, arrival = self._tickets.expect(session_id, self._desk.seat.uid, self._changed_entries)
        start_no = self._desk.expect_screen()
        try:
            entries = list(self._lists.entries)
            await self._desk.send(StartScreen(session_id, ticket, self._source, entries, start_no))
            async with asyncio.timeout(WORKER_START_TIMEOUT_S):
                either: set[asyncio.Future[Any]] = {arrival, self._desk.screen_ended}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise BackendUnavailable("no worker came", code=ErrorCode.E_SCREEN_FAILED) from None
        finally:
            self._tickets.forget(session_id)
            if arrival.done():
                self._connection = arrival.result()  # `stop` releases it, whatever happens here
        if self._connection is None:
            raise BackendUnavailable("the worker could not start", code=await self._why_not())
        return self._connection

    def _changed_entries(self) -> Sequence[PrivateWindow] | None:
        before, self._lists = self._lists.entries, self._read_lists()
        return None if self._lists.entries == before else self._lists.entries

    async def _why_not(self) -> ErrorCode:
        return await self.why_ended() or ErrorCode.E_SCREEN_FAILED

    async def why_ended(self) -> ErrorCode | None:
        """Why the worker ended by itself, as the desktop process tells it; None when it tells nothing."""
        try:
            async with asyncio.timeout(ENDED_TIMEOUT_S):
                ended = await asyncio.shield(self._desk.screen_ended)
        except TimeoutError:
            return None
        log.info(
            "screen.worker_ended", session_id=self._desk.session_id, code=ended.code, detail=ended.detail
        )
        try:
            return ErrorCode(ended.code)
        except ValueError:  # "": it took the end of its connection for an order
            return ErrorCode.E_SCREEN_FAILED

    async def stop(self) -> None:
        """Close the worker's connection and have the worker killed; may be called twice."""
        if self._connection is not None:
            self._tickets.release(self._connection)
            self._connection = None
        with suppress(Unreachable):
            await self._desk.send(StopScreen(session_id=self._desk.session_id))
