"""After a session: the card for the person's screen, and the rating that comes back from it."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from agent.desktop import ipc_messages as ipc
from agent.desktop_link import DesktopSeat
from agent.local_frames import LocalConnection
from agent.ratings import Rating, RatingBook
from agent.session_audit import Appends
from agent.state import DataDir
from agent.visits import read_visits
from protocol.audit import AuditEvent, AuditKind
from protocol.errors import ErrorCode, Refused, SupportError
from protocol.names import shown_reason

log = structlog.get_logger()


class RatingDesk:
    """Whom a rating is for, and what was done, it takes from the audit log and never from the window."""

    def __init__(
        self,
        book: RatingBook,
        data: DataDir,
        audit: Appends,
        device_id: str,
        is_anybody_here: Callable[[int], bool],
    ) -> None:
        """`is_anybody_here`: whether a session lives at this user's desktop, and could press for them."""
        self._book = book
        self._data = data
        self._audit = audit
        self._device_id = device_id
        self._is_anybody_here = is_anybody_here
        self._shown: OrderedDict[str, int] = OrderedDict()  # sessions, and the users who saw their cards

    async def show_card(self, seat: DesktopSeat, session_id: str) -> None:
        """Show what was done in a session that is over, if anything was allowed, or the digits differed."""
        try:
            visit = await self._visit(session_id, seat.uid)
            is_mismatch = visit is not None and visit.cause == ErrorCode.E_READBACK_MISMATCH
            if visit is not None and (visit.grantables or is_mismatch):
                self._shown[session_id] = seat.uid
                while len(self._shown) > ipc.VISITS_LIMIT:
                    self._shown.popitem(last=False)
                await seat.send(ipc.ShowCard(visit=visit, may_rate=bool(visit.name) and not is_mismatch))
        except SupportError as exc:
            log.info("card.not_shown", code=str(exc.code), detail=exc.detail)

    async def handle(self, hello: ipc.Hello, connection: LocalConnection) -> None:
        """Answer `RatingGiven`."""
        assert isinstance(hello, ipc.RatingGiven)
        answer: ipc.RatingKept | ipc.IpcRefused
        try:
            if self._shown.get(hello.session_id) != connection.peer.uid:
                raise Refused("its card was shown to nobody, or to another user", code=ErrorCode.E_STATE)
            await self._take(hello, connection.peer.uid)
            answer = ipc.RatingKept()
        except SupportError as exc:
            answer = ipc.IpcRefused(code=exc.code)
        await connection.send(ipc.TO_COMMAND_LINE_CODEC.encode(answer))
        await connection.finish()

    async def _take(self, given: ipc.RatingGiven, uid: int) -> None:
        visit = await self._visit(given.session_id, uid)
        if visit is None or not (visit.name and visit.cause and visit.grantables):
            raise Refused("no such session to be rated", code=ErrorCode.E_STATE)
        if self._is_anybody_here(uid):
            raise Refused("somebody is here", code=ErrorCode.E_BUSY)
        self._book.check_new(given.session_id)
        facts: dict[str, str | int] = {"is_good": int(given.is_good)}
        self._audit.append(
            AuditEvent(AuditKind.RATING_GIVEN, "person", self._device_id, given.session_id, True, facts)
        )
        comment = shown_reason(given.comment)
        now = datetime.now(UTC)
        self._book.keep(Rating(given.session_id, visit.technician_id, now, given.is_good, comment))

    async def _visit(self, session_id: str, uid: int) -> ipc.Visit | None:
        visits = await asyncio.to_thread(
            read_visits, self._data.audit, self._data.receipts, ipc.VISITS_LIMIT, uid
        )
        return next((visit for visit in visits if visit.session_id == session_id), None)
