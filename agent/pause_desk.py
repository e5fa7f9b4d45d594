"""The service's answers about the pause: the person begins it, and ends it before its time."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog

from agent.desktop.ipc_messages import TO_COMMAND_LINE_CODEC, Hello
from agent.desktop.pause_messages import Paused, PauseOrdered, ResumeOrdered
from agent.desktop_link import others_uid
from agent.local_frames import LocalConnection
from agent.pause import Pauses
from agent.session_audit import Appends
from protocol.audit import AuditEvent, AuditKind
from protocol.errors import ErrorCode, SupportError

log = structlog.get_logger()

KEEP_EVERY_S = 300.0
EndSessions = Callable[[int | None, str], Awaitable[None]]


class PauseDesk:
    """Takes the person's word. Nothing that comes over the network reaches it."""

    def __init__(
        self,
        pauses: Pauses,
        end_sessions: EndSessions,
        audit: Appends,
        device_id: str,
    ) -> None:
        """`end_sessions` ends those of this user, or for None all of them, for this cause."""
        self._pauses = pauses
        self._end_sessions = end_sessions
        self._audit = audit
        self._device_id = device_id

    async def keep_true(self) -> None:
        """Write down now and then how much is left of a pause; until cancelled."""
        while True:
            await asyncio.sleep(KEEP_EVERY_S)
            self._pauses.keep()

    async def handle(self, hello: Hello, connection: LocalConnection) -> None:
        """Answer `PauseOrdered` or `ResumeOrdered`, when it is so."""
        assert isinstance(hello, PauseOrdered | ResumeOrdered)
        uid = others_uid(connection)  # the service's own user and root pause for everybody
        if isinstance(hello, PauseOrdered):
            await self._begin(uid)
        elif self._pauses.end(uid):
            self._note(AuditKind.PAUSE_ENDED, uid, {})
        await connection.send(TO_COMMAND_LINE_CODEC.encode(Paused(left_s=self._pauses.left_s(uid))))
        await connection.finish()

    async def _begin(self, uid: int | None) -> None:
        left_s = self._pauses.begin(uid)  # first: from here on nothing is granted and nothing acts
        until = datetime.now(UTC) + timedelta(seconds=left_s)
        self._note(AuditKind.PAUSE_STARTED, uid, {"until": f"{until:%Y-%m-%d %H:%M} UTC"})
        await self._end_sessions(uid, ErrorCode.E_CONSENT_PAUSED)

    def _note(self, kind: AuditKind, uid: int | None, facts: dict[str, str | int]) -> None:
        if uid is not None:
            facts = {**facts, "uid": uid}
        try:
            self._audit.append(AuditEvent(kind, "person", self._device_id, "", True, facts))
        except SupportError as exc:  # the person's word holds all the same
            log.error("audit.failed", kind=kind.value, code=str(exc.code), detail=exc.detail)
