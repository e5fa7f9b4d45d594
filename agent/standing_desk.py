"""The service's answers to `alongside-agent consents`: what was allowed beforehand, and taking it back."""

import asyncio

from agent.desktop.ipc_messages import (
    TO_COMMAND_LINE_CODEC,
    Hello,
    IpcRefused,
    StandingAsked,
    StandingList,
    StandingRevoked,
    StandingRow,
)
from agent.desktop_link import others_uid
from agent.local_frames import LocalConnection
from agent.session_audit import Appends
from agent.standing import StandingConsent, StandingConsents
from protocol.audit import AuditEvent, AuditKind
from protocol.errors import SupportError

KEEP_EVERY_S = 300.0


class StandingDesk:
    """Lists and revokes. There is no verb that gives: only the person's prompt does."""

    def __init__(self, standing: StandingConsents, audit: Appends, device_id: str) -> None:
        self._standing = standing
        self._audit = audit
        self._device_id = device_id

    async def handle(self, hello: Hello, connection: LocalConnection) -> None:
        """Answer `StandingAsked` or `StandingRevoked`."""
        assert isinstance(hello, StandingAsked | StandingRevoked)
        answer: StandingList | IpcRefused
        try:
            told = self._told(hello, others_uid(connection))
            answer = StandingList([_row(each) for each in told])
        except SupportError as exc:
            answer = IpcRefused(code=exc.code)
        await connection.send(TO_COMMAND_LINE_CODEC.encode(answer))
        await connection.finish()

    def _told(self, hello: StandingAsked | StandingRevoked, uid: int | None) -> list[StandingConsent]:
        if isinstance(hello, StandingRevoked):
            return self._end(hello.standing_id, uid)
        return [each for each in self._standing.live() if uid in (None, each.uid)]

    async def keep_true(self) -> None:
        """Write down now and then how much is left; until cancelled."""
        while True:
            await asyncio.sleep(KEEP_EVERY_S)
            self._standing.keep()

    def _end(self, standing_id: str, uid: int | None) -> list[StandingConsent]:
        ended = self._standing.end(standing_id, uid)
        for each in ended:
            facts: dict[str, str | int] = {"whom": each.whom, "granted": each.grantable.value}
            event = AuditEvent(AuditKind.STANDING_ENDED, "person", self._device_id, "", True, facts)
            self._audit.append(event)
        return ended


def _row(each: StandingConsent) -> StandingRow:
    return StandingRow(each.standing_id, each.whom, each.name, each.grantable.value, each.left_s)
