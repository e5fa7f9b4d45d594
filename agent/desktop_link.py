"""The service's end of the desktop process: prompts, indicators and orders, and what comes back.

One desktop process for each user of the device (decision 0029). What it sends is bounded and decoded here; a
violation closes its connection, and with that every session that the person could no longer see.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import chain

import msgspec
import structlog

from agent.absence import Absence, OsPerson, WatchPerson, watch_nobody
from agent.desktop.ipc_messages import (
    FROM_DESKTOP_CODEC,
    TO_DESKTOP_CODEC,
    CancelPrompt,
    DesktopHello,
    DisplaysRead,
    FromDesktop,
    Hello,
    HideIndicator,
    IndicatorShown,
    InputActs,
    InputAllowed,
    InputHeldBack,
    IpcRefused,
    PromptAnswered,
    ReadDisplays,
    ScreenEnded,
    ShowIndicator,
    ShowPrompt,
    StopPressed,
    ToDesktop,
)
from agent.local_frames import LocalConnection
from agent.user_names import own_uid
from protocol.errors import ErrorCode, Refused, Unreachable
from protocol.messages.diagnostics import Display
from protocol.version import PROTOCOL_VERSION

log = structlog.get_logger()

SEATS_LIMIT = 16
DISPLAYS_TIMEOUT_S = 3.0
INPUT_ANSWER_TIMEOUT_S = 5.0


class SessionDesk:
    """What one session and the desktop process have to do with each other."""

    def __init__(self, seat: "DesktopSeat", session_id: str) -> None:
        self.seat = seat
        self.session_id = session_id
        self.stopped = asyncio.Event()
        self.is_mismatch = False
        """It was stopped because the four digits did not match."""
        self.screen_ended: asyncio.Future[ScreenEnded] = asyncio.get_running_loop().create_future()
        self._start_no = 0
        self._shown = asyncio.Event()
        self._show_no = 0
        self._input_allowed: asyncio.Future[InputAllowed] | None = None
        self._does_input_act = False
        self._is_acting_told = asyncio.Event()
        self._held_back_events = 0
        self._is_held_back = asyncio.Event()

    async def send(self, order: ToDesktop) -> None:
        """Send an order.

        Raises:
            Unreachable: E_CONSENT_NOBODY, the desktop process is gone.
        """
        await self.seat.send(order)

    async def show_indicator(self, shown: ShowIndicator) -> None:
        """Show it, or change it, and return when it is on the screen; the caller owns the time limit."""
        self._shown.clear()
        await self.change_indicator(shown)
        await self._shown.wait()

    async def change_indicator(self, shown: ShowIndicator) -> None:
        """Show what changed, without waiting for it."""
        # what was in sight before says nothing about these words
        self._show_no = self.seat.next_no()
        await self.send(msgspec.structs.replace(shown, show_no=self._show_no))

    async def ask_input(self, order: ToDesktop) -> str:
        """Send `AllowInput`; returns the answer's code, "" when events may act from now on."""
        self._input_allowed = asyncio.get_running_loop().create_future()
        try:
            await self.send(order)
            async with asyncio.timeout(INPUT_ANSWER_TIMEOUT_S):
                return (await self._input_allowed).code
        except TimeoutError:
            return ErrorCode.E_INPUT_NONE
        finally:
            self._input_allowed = None

    async def acts(self) -> bool:
        """Wait until it is told anew whether events act, `ask_input`'s answer included; whether they do."""
        await self._is_acting_told.wait()
        self._is_acting_told.clear()
        return self._does_input_act

    async def held_back(self) -> int:
        """Wait for events that the desktop process held back; how many since the last call."""
        await self._is_held_back.wait()
        self._is_held_back.clear()
        events, self._held_back_events = self._held_back_events, 0
        return events

    def expect_screen(self) -> int:
        """A new screen worker is about to be asked for: forget how the last one ended. The start's number.

        One that ended by itself just before it was stopped is told of when the next one starts already.
        """
        self.screen_ended = asyncio.get_running_loop().create_future()
        self._start_no = self.seat.next_no()
        return self._start_no

    def note(self, message: FromDesktop) -> None:
        """Take in what the desktop process said about this session."""
        match message:
            case IndicatorShown() if message.show_no == self._show_no:
                self._shown.set()
            case StopPressed():
                self.is_mismatch = message.is_mismatch
                self.stopped.set()
            case ScreenEnded(start_no=self._start_no) if not self.screen_ended.done():
                self.screen_ended.set_result(message)
            case InputAllowed() if self._input_allowed is not None and not self._input_allowed.done():
                self._note_acting(is_active=message.is_active)
                self._input_allowed.set_result(message)
            case InputActs():
                self._note_acting(is_active=message.is_active)
            case InputHeldBack():
                self._held_back_events += message.events
                self._is_held_back.set()
            case _:
                log.debug("desktop.unasked", message=type(message).__name__)

    def _note_acting(self, *, is_active: bool) -> None:
        self._does_input_act = is_active
        self._is_acting_told.set()


class DesktopSeat:
    """One connected desktop process, until it is `lost`.

    `controlled_by` is the session whose input acts: one at a time, so that nobody's Ctrl meets another's W.
    """

    def __init__(self, hello: DesktopHello, connection: LocalConnection) -> None:
        self.os_session = hello.os_session
        self.uid, self.pid = connection.peer.uid, connection.peer.pid
        self.lost = asyncio.Event()
        self.controlled_by = ""
        self.absence = Absence()
        self._connection = connection
        self._desks: dict[str, SessionDesk] = {}
        self._prompt: tuple[int, asyncio.Future[PromptAnswered]] | None = None
        self._displays: dict[int, asyncio.Future[DisplaysRead]] = {}
        self._numbers = 0

    @property
    def is_prompting(self) -> bool:
        """Whether a prompt is open: no input acts then."""
        return self._prompt is not None

    async def run(self) -> None:
        """Take in messages until the connection ends; raises what ended it."""
        try:
            while True:
                frame = await self._connection.receive(FROM_DESKTOP_CODEC.limit_bytes)
                self._take(FROM_DESKTOP_CODEC.decode(frame))
        finally:
            self._let_go()

    async def send(self, order: ToDesktop) -> None:
        """Send an order.

        Raises:
            Unreachable: E_CONSENT_NOBODY, it is gone, or does not read any more.
        """
        if self.lost.is_set():
            raise Unreachable("no desktop process", code=ErrorCode.E_CONSENT_NOBODY)
        try:
            await self._connection.send(TO_DESKTOP_CODEC.encode(order))
        except Unreachable as exc:
            self._let_go()
            raise Unreachable(exc.detail, code=ErrorCode.E_CONSENT_NOBODY) from None

    @asynccontextmanager
    async def session(self, session_id: str) -> AsyncIterator[SessionDesk]:
        """A session's desk; at the end the indicator is taken away."""
        desk = self._desks[session_id] = SessionDesk(self, session_id)
        try:
            yield desk
        finally:
            del self._desks[session_id]
            with suppress(Unreachable):
                await self.send(HideIndicator(session_id=session_id))

    def next_no(self) -> int:
        """A number that no prompt or request of this connection had."""
        self._numbers += 1
        return self._numbers

    async def ask(self, prompt: ShowPrompt) -> PromptAnswered:
        """Ask the person. Cancelling takes the prompt away.

        Raises:
            Refused: E_BUSY, another prompt is open on this device.
            Unreachable: E_CONSENT_NOBODY, the desktop process went away.
        """
        if self._prompt is not None:
            raise Refused("another prompt is open", code=ErrorCode.E_BUSY)
        answer: asyncio.Future[PromptAnswered] = asyncio.get_running_loop().create_future()
        self._prompt = (prompt.prompt_no, answer)
        try:
            await self.send(prompt)
            return await answer
        except asyncio.CancelledError:
            with suppress(Unreachable):
                await self.send(CancelPrompt(prompt_no=prompt.prompt_no))
            raise
        finally:
            self._prompt = None

    async def read_displays(self) -> list[Display]:
        """The displays of the person's desktop.

        Raises:
            Unreachable: E_SCREEN_NONE, no answer, or the desktop says why there is none.
        """
        number = self.next_no()
        answer = self._displays[number] = asyncio.get_running_loop().create_future()
        try:
            await self.send(ReadDisplays(request_no=number))
            async with asyncio.timeout(DISPLAYS_TIMEOUT_S):
                read: DisplaysRead = await answer
        except TimeoutError:
            raise Unreachable("the desktop did not answer", code=ErrorCode.E_SCREEN_NONE) from None
        finally:
            del self._displays[number]
        if read.failure:
            raise Unreachable(read.failure, code=ErrorCode.E_SCREEN_NONE)
        return read.displays

    def _take(self, message: FromDesktop) -> None:
        match message:
            case PromptAnswered():
                if self._prompt and self._prompt[0] == message.prompt_no and not self._prompt[1].done():
                    self._prompt[1].set_result(message)
            case DisplaysRead():
                answer = self._displays.get(message.request_no)
                if answer and not answer.done():
                    answer.set_result(message)
            case _:
                desk = self._desks.get(message.session_id)
                if desk:
                    desk.note(message)

    def _let_go(self) -> None:
        if self.lost.is_set():
            return
        self.lost.set()
        self._connection.close()
        gone = Unreachable("the desktop process went away", code=ErrorCode.E_CONSENT_NOBODY)
        waiting: list[asyncio.Future[PromptAnswered] | asyncio.Future[DisplaysRead]] = [
            *self._displays.values()
        ]
        if self._prompt:
            waiting.append(self._prompt[1])
        for future in waiting:
            if not future.done():
                future.set_exception(gone)
                future.exception()  # whoever sent the order hears it from there, and asks no more


class DesktopLink:
    """Holds the desktop processes that are connected now: one for each user that the kernel names."""

    def __init__(self, watch_person: WatchPerson = watch_nobody) -> None:
        """`watch_person` tells when the person at a desktop leaves it, and comes back."""
        self._seats: dict[int, DesktopSeat] = {}  # by uid, in the order of their coming
        self._watch_person = watch_person
        self.attached = asyncio.Event()
        self.is_free = asyncio.Event()
        """None of the service's own user is connected."""
        self.is_free.set()

    @property
    def seat(self) -> DesktopSeat | None:
        """The desktop at which the person is: the newest of these; if there is none, the newest of all."""
        newest_first = list(reversed(self._seats.values()))
        at_it = (each for each in newest_first if each.absence.is_known and not each.absence.is_away)
        not_away = (each for each in newest_first if not each.absence.is_away)
        return next(chain(at_it, not_away, newest_first), None)

    def seat_for(self, uid: int | None) -> DesktopSeat | None:
        """The desktop of the user who asked for help; for None and the service's own user also `seat`."""
        asked = self._seats.get(uid) if uid is not None else None
        if asked is None and (uid is None or uid in own_uids()):
            return self.seat
        return asked

    async def handle(self, hello: Hello, connection: LocalConnection) -> None:
        """Serve a connection that said `DesktopHello`, until it ends."""
        assert isinstance(hello, DesktopHello)
        uid = connection.peer.uid
        refusal = self._refusal(hello, uid)
        if refusal is not None:
            await connection.send(TO_DESKTOP_CODEC.encode(IpcRefused(code=refusal)))
            await connection.finish()
            return
        seat = self._seats[uid] = DesktopSeat(hello, connection)
        self._seats_changed()
        log.info("desktop.attached", os_session=hello.os_session, pid=seat.pid, uid=uid)
        watching = asyncio.create_task(self._watch(hello, seat))
        try:
            await seat.run()
        finally:
            watching.cancel()
            del self._seats[uid]
            self._seats_changed()
            log.info("desktop.gone", os_session=hello.os_session, pid=seat.pid, uid=uid)

    def _seats_changed(self) -> None:
        _set(self.attached, to=bool(self._seats))
        _set(self.is_free, to=not self._seats.keys() & own_uids())

    async def _watch(self, hello: DesktopHello, seat: DesktopSeat) -> None:
        _, colon, display = hello.os_session.partition(":")
        try:
            await self._watch_person(OsPerson(seat.uid, seat.pid, colon + display), seat.absence.tell)
        except Exception:
            log.exception("person.watch_failed")

    def _refusal(self, hello: DesktopHello, uid: int) -> ErrorCode | None:
        if hello.version != PROTOCOL_VERSION:
            return ErrorCode.E_VERSION
        if uid in self._seats:
            return ErrorCode.E_ALREADY_RUNNING
        return ErrorCode.E_BUSY if len(self._seats) >= SEATS_LIMIT else None


def own_uids() -> frozenset[int]:
    """The service's own user, and root: who runs it, and who could anyway."""
    return frozenset({own_uid(), 0})


def others_uid(connection: LocalConnection) -> int | None:
    """The user who is told of their own alone; None for the service's own user and root, who are told all."""
    uid = connection.peer.uid
    return None if uid in own_uids() else uid


def _set(event: asyncio.Event, *, to: bool) -> None:
    if to:
        event.set()
    else:
        event.clear()
