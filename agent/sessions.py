"""The sessions of this device: how many there may be, and how all of them end."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog

from agent.desktop.ipc_messages import SessionStatus
from agent.live_session import DeviceSide
from agent.rate import RateLimit
from agent.session_audit import SessionAudit
from agent.session_runner import SessionRunner
from protocol.aio.wire import Wire
from protocol.audit import AuditKind
from protocol.errors import ErrorCode, SupportError
from protocol.ids import SessionId, checked_session_id
from protocol.limits import SESSION_LIMIT_PER_DEVICE
from protocol.messages.control import SessionDeclined, SessionOffered

log = structlog.get_logger()

OFFERS_PER_MINUTE_LIMIT = 60
IDS_REMEMBERED = 1024

OpenWire = Callable[[SessionOffered], Awaitable[Wire]]
Decline = Callable[[SessionDeclined], Awaitable[None]]


class Sessions:
    """Takes the relay's offers. A session outlives the control link that announced it."""

    def __init__(self, device: DeviceSide, open_wire: OpenWire) -> None:
        self._device = device
        self._open_wire = open_wire
        self._rate = RateLimit(OFFERS_PER_MINUTE_LIMIT, 60.0)
        self._running: dict[asyncio.Task[None], SessionRunner] = {}
        self._holds = 0
        self._offered_ids: deque[SessionId] = deque(maxlen=IDS_REMEMBERED)

    async def offered(self, offer: SessionOffered, decline: Decline) -> None:
        """Start a session for this offer, or decline it.

        Raises:
            PeerViolation: the relay's session id is malformed.
        """
        session_id = checked_session_id(offer.session_id)
        if not self._rate.allows(asyncio.get_running_loop().time()):
            log.warning("session.too_many_offers", session_id=session_id)
            await decline(SessionDeclined(session_id=session_id, code=ErrorCode.E_RATE))
            return
        audit = SessionAudit(self._device.audit_log, self._device.device_id, session_id)
        try:
            audit.write(AuditKind.SESSION_OFFERED)
        except SupportError as exc:
            log.error("audit.failed", code=str(exc.code), detail=exc.detail)
            await decline(SessionDeclined(session_id=session_id, code=exc.code))
            return
        refusal = self._refusal(session_id, offer.nameplate)
        if refusal is not None:
            audit.note(AuditKind.SESSION_REFUSED, {"code": refusal.value}, succeeded=False)
            await decline(SessionDeclined(session_id=session_id, code=refusal))
            return
        self._offered_ids.append(session_id)
        runner = SessionRunner(self._device, session_id, offer.nameplate)
        task = asyncio.create_task(self._run(runner, offer, audit))
        self._running[task] = runner
        task.add_done_callback(lambda done: self._running.pop(done))

    def _refusal(self, session_id: SessionId, nameplate: str) -> ErrorCode | None:
        if self._device.identity.is_visitor and not nameplate:
            return ErrorCode.E_CERT_ORG
        if self._holds:
            return ErrorCode.E_BUSY
        codes = self._device.codes
        if nameplate and (codes is None or codes.nameplate != nameplate):
            return ErrorCode.E_CODE_UNKNOWN
        # indicator, Stop and screen worker go by this id: two sessions with one id could hide each other
        live_ids = {runner.session_id for runner in self._running.values()}
        if session_id in live_ids or session_id in self._offered_ids:
            return ErrorCode.E_STATE
        return ErrorCode.E_BUSY if len(self._running) >= SESSION_LIMIT_PER_DEVICE else None

    @property
    def count(self) -> int:
        """How many live, or are about to."""
        return len(self._running)

    @contextmanager
    def held(self) -> Iterator[None]:
        """No session begins while the context is open: the service is about to be restarted."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1

    def status(self, uid: int | None = None) -> list[SessionStatus]:
        """The sessions that live now; `uid`: those at this user's desktop alone."""
        now_s = asyncio.get_running_loop().time()
        theirs = (each for each in self._running.values() if uid is None or each.seat_uid == uid)
        return [_status(runner, now_s) for runner in theirs]

    def judge_again(self) -> None:
        """A newer status list is in force: sessions that it does not allow end."""
        for runner in self._running.values():
            runner.judge_again()

    async def idle(self) -> None:
        """Return when no session is left."""
        while self._running:
            await asyncio.wait(list(self._running))

    async def end_at(self, uid: int, cause: str) -> None:
        """End those at this user's desktop, and those that would come to it; return when they are over."""
        await self._end(
            {task: each for task, each in self._running.items() if each.expected_uid == uid}, cause
        )

    async def end_all(self, cause: str) -> None:
        """End every session for this cause, and return when nothing of them is left."""
        await self._end(dict(self._running), cause)

    async def _end(self, ending: dict[asyncio.Task[None], SessionRunner], cause: str) -> None:
        for task, runner in ending.items():
            if runner.is_live:
                runner.end(cause)
            else:
                task.cancel()
        tasks = list(ending)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=5.0)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self, runner: SessionRunner, offer: SessionOffered, audit: SessionAudit) -> None:
        with structlog.contextvars.bound_contextvars(session_id=runner.session_id):
            try:
                await runner.run(await self._open_wire(offer))
            except asyncio.CancelledError:
                if not runner.is_live:
                    audit.note(
                        AuditKind.SESSION_REFUSED, {"code": "finished"}, succeeded=False, actor="agent"
                    )
                raise
            except SupportError as exc:
                log.info("session.not_opened", code=str(exc.code), detail=exc.detail)
                audit.note(AuditKind.SESSION_REFUSED, {"code": str(exc.code)}, succeeded=False)
            except Exception:
                log.exception("session.broke")
                audit.note(AuditKind.SESSION_ENDED, {"cause": ErrorCode.E_INTERNAL.value}, succeeded=False)


def _status(runner: SessionRunner, now_s: float) -> SessionStatus:
    grants = runner.live_grants
    return SessionStatus(
        session_id=runner.session_id,
        technician=runner.technician,
        grantables=sorted(grant.grantable.value for grant in grants),
        remaining_s=max((grant.until_s - now_s for grant in grants), default=0.0),
        readback=runner.readback,
    )
