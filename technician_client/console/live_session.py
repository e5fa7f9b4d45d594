"""One page and one session: says to each what the other does. Closing the page ends the session."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from protocol.aio.first_of import first_of
from protocol.catalogue import Catalogue
from protocol.errors import ErrorCode, NotGranted, PeerViolation, Refused, SupportError
from protocol.grantables import Grantable
from protocol.messages.channel import ChannelClosed
from protocol.messages.consent import AskPending, GrantEnded
from protocol.messages.screen import Follow, ShowAll, ShowDisplay
from protocol.messages.session import OfferRating
from protocol.names import shown_name, shown_reason
from technician_client.console import page_messages as say
from technician_client.console.backend import Channel, Session
from technician_client.console.commands_feed import CommandsFeed
from technician_client.console.diagnostics_feed import DiagnosticsFeed
from technician_client.console.input_feed import InputFeed
from technician_client.console.page import Page, PageGone
from technician_client.console.picture_feed import PictureFeed
from technician_client.notices import PeerAlarm, SessionNotice, SessionOver

ASKS_AT_ONCE_LIMIT = 4
STATS_EVERY_S = 0.5
_QUIET_CAUSES = frozenset({"technician_left", "finished"})

Feed = TypeVar("Feed")

log = structlog.get_logger(__name__)


class LiveSession:
    """Runs until the page leaves or the session ends; then both are over."""

    def __init__(self, session: Session, page: Page, catalogue: Catalogue) -> None:
        self._session = session
        self._page = page
        self._catalogue = catalogue
        self._serving: dict[Grantable, asyncio.Task[None]] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pictures: PictureFeed | None = None
        self._input: InputFeed | None = None
        self._diagnostics: DiagnosticsFeed | None = None
        self._commands: CommandsFeed | None = None

    async def run(self) -> None:
        """Serve the page. Whatever happens the session is ended and no task is left behind."""
        cause = "technician_left"  # also when this console is being closed
        try:
            await self._page.say(self._ready())
            await first_of(self._hear_page(), self._hear_session(), self._say_stats(), self._fail())
        except PageGone:
            log.debug("console.page_left")
        except SessionEnded as over:
            cause = over.cause
        except SupportError as exc:
            cause = str(exc.code)
            log.warning("console.session_failed", code=cause, detail=exc.detail)
        except Exception:
            cause = ErrorCode.E_INTERNAL
            log.exception("console.session_failed")
        finally:
            await self._close(cause)

    async def _close(self, cause: str) -> None:
        tasks = [*self._serving.values(), *self._asking]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._failure.done() and not self._failure.cancelled():
            self._failure.exception()
        # side by side: a slow page does not delay the end, nor a slow goodbye the page
        await asyncio.gather(self._session.end(cause), self._say_over(cause))

    async def _say_over(self, cause: str) -> None:
        why = None if cause in _QUIET_CAUSES else say.problem(cause, self._session.why_over)
        try:
            await self._page.say(say.SayOver(cause, why))
        except PageGone:
            log.debug("console.page_left_first")

    def _ready(self) -> say.SayReady:
        ready = self._session.ready
        return say.SayReady(
            session_id=self._session.session_id,
            device_id=self._session.device_id,
            device_name=shown_name(ready.device_name),
            organisation_name=shown_name(ready.organisation_name) if self._session.is_verified else "",
            consent=shown_name(ready.consent),
            offers=[name for name in ready.offers if name in set(Grantable)],
            group_name=shown_name(self._session.group_name),
            readback=self._session.readback,
        )

    # -- the session's side

    async def _hear_session(self) -> None:
        while True:
            await self._notice(await self._session.notices.get())

    async def _notice(self, notice: SessionNotice) -> None:
        match notice:
            case AskPending(timeout_s=timeout_s):
                await self._page.say(say.SayPending(timeout_s))
            case GrantEnded(grantable=grantable, code=code):
                await self._page.say(say.SayGrantEnded(shown_name(grantable), say.problem(code)))
            case ChannelClosed():
                pass  # the channel's own task hears of it and tells the page which capability it was
            case PeerAlarm(code=code):
                await self._page.say(say.SayAlarm(say.problem(code)))
            case OfferRating(session_id=session_id, is_good=is_good, comment=comment):
                await self._page.say(say.SayRating(session_id, is_good, shown_reason(comment)))
            case SessionOver(code=code):
                raise SessionEnded(code)

    async def _fail(self) -> None:
        await self._failure

    async def _say_stats(self) -> None:
        before_bytes = 0
        while True:
            await asyncio.sleep(STATS_EVERY_S)
            now_bytes = self._pictures.received_bytes if self._pictures else 0
            kbit_s = max(0, now_bytes - before_bytes) * 8 / 1000 / STATS_EVERY_S
            before_bytes = now_bytes
            late_s = self._pictures.late_s(self._session.silence_s()) if self._pictures else 0.0
            await self._page.say(say.SayStats(self._session.round_trip_ms, kbit_s, late_s))

    # -- the page's side

    async def _hear_page(self) -> None:
        while True:
            message = say.decode_from_page(await self._page.hear())
            try:
                await self._obey(message)
            except (Refused, NotGranted) as exc:
                await self._refuse(message, exc)

    async def _refuse(self, message: say.FromPage, refusal: SupportError) -> None:
        why = say.problem(refusal.code, shown_reason(refusal.detail))
        if isinstance(message, say.PageRun):
            await self._page.say(say.SayCommandEnded(message.run_no, was_refused=True, problem=why))
            return
        await self._page.say(say.SayProblem(str(type(message).__struct_config__.tag), why))

    async def _obey(self, message: say.FromPage) -> None:
        match message:
            case say.PageInput():
                if self._input is not None:
                    self._session.stir()
                    self._input.offer(message.display_index, message.events)
            case say.PageReleaseAll():
                if self._input is not None:
                    self._input.release_all()
            case (
                say.PageSeen()
                | say.PageDamaged()
                | say.PageProofFailed()
                | say.PageDecodes()
                | say.PageKeyframe()
                | say.PageRefresh()
                | say.PageShowDisplay()
                | say.PageShowAll()
                | say.PageFollow()
            ):
                self._obey_screen(message)
            case say.PageAsk():
                self._start_asking(message)
            case say.PageReadDiagnostics():
                await _needed(self._diagnostics, Grantable.DIAGNOSTICS_READ).read()
            case say.PageRun():
                await _needed(self._commands, Grantable.COMMANDS_RUN).run(message)
            case say.PageCancel():
                await _needed(self._commands, Grantable.COMMANDS_RUN).cancel(message.run_no)
            case say.PageRatingSeen(session_id=session_id):
                await self._session.take_rating(session_id)
            case say.PageEnd():
                raise SessionEnded("technician_left")

    def _obey_screen(self, message: say.PageOfScreen) -> None:
        if self._pictures is None:
            return
        match message:
            case say.PageSeen(sequence=sequence):
                self._pictures.seen(sequence)
            case say.PageDamaged():
                self._pictures.damaged()
            case say.PageProofFailed(sequence=sequence, y=y):
                self._pictures.proof_failed(sequence, y)
            case say.PageDecodes(codecs=codecs):
                self._pictures.decodes(codecs)
            case say.PageKeyframe(region_no=region_no):
                self._pictures.ask_for_key(region_no)
            case say.PageRefresh():
                self._pictures.refresh()
            case say.PageShowDisplay(index=index):
                self._pictures.show(ShowDisplay(index))
            case say.PageShowAll():
                self._pictures.show(ShowAll())
            case say.PageFollow():
                self._pictures.show(Follow())

    # -- asking, and serving what was granted

    def _start_asking(self, message: say.PageAsk) -> None:
        if len(self._asking) >= ASKS_AT_ONCE_LIMIT:
            raise Refused("asks at once", code=ErrorCode.E_RATE)
        asked = [Grantable(name) for name in dict.fromkeys(message.grantables) if name in set(Grantable)]
        if not asked:
            raise Refused("nothing that can be granted", code=ErrorCode.E_USAGE)
        task = asyncio.create_task(self._rooted(self._ask(asked, message)))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self, asked: list[Grantable], message: say.PageAsk) -> None:
        try:
            answer = await self._session.ask(
                asked,
                reason=message.reason,
                ticket_number=message.ticket_number,
                length_s=message.length_s,
            )
        except Refused as exc:
            refused = {str(name): say.problem(exc.code) for name in asked}
            await self._page.say(say.SayAnswer([str(name) for name in asked], {}, refused))
            return
        granted = {grant.grantable: grant.remaining_s for grant in answer.granted}
        refused = {shown_name(name): say.problem(code) for name, code in answer.refused.items()}
        await self._page.say(say.SayAnswer([str(name) for name in asked], granted, refused))
        for grantable in asked:
            if grantable in granted:
                self._start_serving(grantable)

    def _start_serving(self, grantable: Grantable) -> None:
        running = self._serving.get(grantable)
        if running is None or running.done():
            self._serving[grantable] = asyncio.create_task(self._rooted(self._serve(grantable)))

    async def _serve(self, grantable: Grantable) -> None:
        code = str(ErrorCode.E_GRANT_ENDED)
        try:
            await self._open_and_serve(grantable)
        except PeerViolation:
            raise
        except SupportError as exc:
            code = str(exc.code)
        finally:
            self._forget_feed(grantable)
        await self._page.say(say.SayChannelOver(grantable, say.problem(code)))

    async def _open_and_serve(self, grantable: Grantable) -> None:
        channel = await self._session.open_channel(grantable)
        try:
            match grantable:
                case Grantable.SCREEN_VIEW:
                    self._pictures = self._picture_feed(channel)
                    await self._pictures.serve()
                case Grantable.INPUT_CONTROL:
                    self._input = InputFeed(channel, self._page, _monotonic_ms)
                    await self._input.serve()
                case Grantable.DIAGNOSTICS_READ:
                    self._diagnostics = DiagnosticsFeed(channel, self._page)
                    await self._diagnostics.serve()
                case Grantable.COMMANDS_RUN:
                    self._commands = CommandsFeed(channel, self._page, self._catalogue, self._session.audit)
                    await self._commands.serve()
        finally:
            channel.close()

    def _picture_feed(self, channel: Channel) -> PictureFeed:
        session = self._session
        return PictureFeed(channel, self._page, lambda: session.clock_offset_ms, session.stir)

    def _forget_feed(self, grantable: Grantable) -> None:
        match grantable:
            case Grantable.SCREEN_VIEW:
                self._pictures = None
            case Grantable.INPUT_CONTROL:
                self._input = None
            case Grantable.DIAGNOSTICS_READ:
                self._diagnostics = None
            case Grantable.COMMANDS_RUN:
                self._commands = None

    async def _rooted(self, work: Coroutine[Any, Any, None]) -> None:
        """The root of a side task: what it cannot handle ends the session."""
        try:
            await work
        except (SupportError, PageGone, SessionEnded) as exc:
            self._end_with(exc)
        except Exception:
            log.exception("console.task_failed")
            self._end_with(SessionEnded(ErrorCode.E_INTERNAL))

    def _end_with(self, failure: Exception) -> None:
        if not self._failure.done():
            self._failure.set_exception(failure)


class SessionEnded(Exception):
    """The session is over for this cause; only `LiveSession.run` catches it."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


def _needed(feed: Feed | None, grantable: Grantable) -> Feed:
    if feed is None:
        raise NotGranted(grantable)
    return feed


def _monotonic_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000)
