"""What the person's window asks, over the real local socket, from the real log and the real machine."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.desktop import ipc_messages as ipc
from agent.desktop.questions import Answer, Questions
from agent.local_server import LocalServer
from agent.person_desk import PersonDesk
from agent.state import DataDir
from protocol.aio.audit_log import AuditLog
from protocol.audit import AuditEvent, AuditKind
from protocol.errors import ErrorCode, SupportError
from protocol.messages.diagnostics import Display
from tests.support.window_answers import STATUS

pytestmark = [pytest.mark.real, pytest.mark.beside]


async def no_displays() -> tuple[list[Display], str]:
    return [], ""


@asynccontextmanager
async def asking(folder: Path) -> AsyncIterator[Questions]:
    """The window's end of a socket whose other end has the desk."""
    desk = PersonDesk(DataDir(folder), lambda: STATUS, no_displays)
    path = folder / "run" / "agent.sock"
    handlers = {ipc.VisitsAsked: desk.handle, ipc.CheckAsked: desk.handle}
    server = LocalServer(path, handlers, allowed_uids=frozenset({os.geteuid()}))
    await server.open()
    loop = asyncio.get_running_loop()
    try:
        yield Questions(path, lambda call: loop.call_soon_threadsafe(call) and None)
    finally:
        await server.close()


async def answer_to(questions: Questions, question: ipc.Hello) -> Answer:
    answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    questions.ask(question, answered.set_result)
    async with asyncio.timeout(20):
        return await answered


async def test_who_was_here_comes_from_the_log(tmp_path: Path) -> None:
    async with asking(tmp_path) as questions:
        assert await answer_to(questions, ipc.VisitsAsked()) == ipc.VisitList([])
        log = AuditLog(tmp_path / "audit.jsonl")
        log.append(AuditEvent(AuditKind.SESSION_READY, "dana", "d", "s1", True, {"name": "Dana"}))
        answer = await answer_to(questions, ipc.VisitsAsked())
        assert isinstance(answer, ipc.VisitList)
        assert [visit.name for visit in answer.visits] == ["Dana"]


async def test_a_log_that_cannot_be_read_is_said_with_its_code(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    async with asking(tmp_path) as questions:
        answer = await answer_to(questions, ipc.VisitsAsked())
        assert isinstance(answer, SupportError)
        assert answer.code is ErrorCode.E_DATA_DISK


async def test_the_check_looks_at_this_machine(tmp_path: Path) -> None:
    async with asking(tmp_path) as questions:
        answer = await answer_to(questions, ipc.CheckAsked())
        assert isinstance(answer, ipc.FindingList)
        assert {row.severity for row in answer.findings} <= {"bad", "warn", "ok"}
        assert "help_reachable" in {row.name for row in answer.findings}
