"""The service's answers to the person's window: who was here, and how this computer is."""

import asyncio
from collections.abc import Awaitable, Callable

from agent.capabilities.diagnostics.findings import Finding, Severity, judge, worst_first
from agent.desktop import ipc_messages as ipc
from agent.desktop_link import others_uid
from agent.local_frames import LocalConnection
from agent.state import DataDir
from agent.visits import read_visits
from protocol.errors import SupportError
from protocol.messages.diagnostics import Display


class PersonDesk:
    """Answers `VisitsAsked` and `CheckAsked`. Both are the person's own: nothing is written about them.

    A user is told of the sessions at their own desktop; the service's own user and root of all.
    """

    def __init__(
        self,
        data: DataDir,
        status: Callable[[], ipc.Status],
        read_displays: Callable[[], Awaitable[tuple[list[Display], str]]],
    ) -> None:
        self._data = data
        self._status = status
        self._read_displays = read_displays

    async def handle(self, hello: ipc.Hello, connection: LocalConnection) -> None:
        """Answer one question."""
        answer: ipc.ToCommandLine
        try:
            if isinstance(hello, ipc.VisitsAsked):
                visits = await asyncio.to_thread(
                    read_visits,
                    self._data.audit,
                    self._data.receipts,
                    ipc.VISITS_LIMIT,
                    others_uid(connection),
                )
                answer = ipc.VisitList(visits)
            else:
                answer = ipc.FindingList([_row(finding) for finding in await self._check()])
        except SupportError as exc:
            answer = ipc.IpcRefused(code=exc.code)
        await connection.send(ipc.TO_COMMAND_LINE_CODEC.encode(answer))
        await connection.finish()

    async def _check(self) -> list[Finding]:
        # here: an idle service does not hold psutil
        from agent.capabilities.diagnostics.snapshot import SnapshotReader

        snapshot = await SnapshotReader(self._read_displays).read(request_no=0)
        return worst_first([*judge(snapshot), *judge_status(self._status())])


def judge_status(status: ipc.Status) -> list[Finding]:
    """What the service knows of itself."""
    if status.policy_alarm:
        return [Finding("policy_alarm", Severity.BAD, {"code": status.policy_alarm})]
    if status.link == "connected":
        return [Finding("help_reachable", Severity.OK)]
    return [
        Finding("help_unreachable", Severity.WARN, {"code": status.link_code} if status.link_code else {})
    ]


def _row(finding: Finding) -> ipc.FindingRow:
    return ipc.FindingRow(finding.name, finding.severity, finding.facts)
