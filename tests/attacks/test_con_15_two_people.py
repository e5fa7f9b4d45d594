"""Two people at one computer (decision 0033): what one of them says holds for whom, and who may take it back.

Real users, real desktop processes at two displays, real windows; who is at the machine is played.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.desktop import ipc_messages as ipc
from agent.desktop.block_messages import BlockLifted, BlockList, BlocksAsked
from agent.desktop.pause_messages import Paused, PauseOrdered, ResumeOrdered
from protocol.errors import ErrorCode, SupportError
from protocol.grantables import Grantable
from protocol.limits import PAUSE_LENGTH_S
from protocol.support_code import read_code
from technician_client.sessions import TechnicianSession
from tests.support.desktop_person import compare
from tests.support.organisation import acme
from tests.support.other_user import IS_ROOT, WHY_ROOT, connect_as_other_user
from tests.support.two_seats import ANNA, BEN, TwoSeats, two_seats
from tests.support.x_person import XPerson

pytestmark = [pytest.mark.real, pytest.mark.skipif(not IS_ROOT, reason=WHY_ROOT)]

VIEW = Grantable.SCREEN_VIEW
LIMIT_S = 30.0


async def told(seats: TwoSeats, uid: int, question: ipc.Hello) -> ipc.ToCommandLine:
    """What the service tells this user."""
    asked = ipc.HELLO_CODEC.encode(question)
    [line] = await asyncio.to_thread(connect_as_other_user, seats.socket_path, asked, 1, uid)
    return ipc.TO_COMMAND_LINE_CODEC.decode(bytes.fromhex(line.removeprefix("answered "))[4:])


async def comes(seats: TwoSeats, technician_id: str = "ada") -> str:
    """Why this technician does not get a session; "" when one begins."""
    try:
        async with await seats.device.connect(acme().technician(technician_id)):
            return ""
    except SupportError as exc:
        return exc.code
    finally:
        await seats.device.over(LIMIT_S)


async def says_mismatch(seats: TwoSeats, uid: int) -> None:
    """The technician asks this user, who compares the digits in the prompt and says that they differ."""
    async with await seats.device.connect(acme().technician()) as session:
        asking = asyncio.create_task(session.ask([VIEW]))
        await asyncio.to_thread(seats.person(uid).wait_for_prompt)
        person = XPerson(seats.displays[uid].display)
        try:
            await asyncio.to_thread(compare, person, "mismatched", is_last=True)
        finally:
            person.close()
        async with asyncio.timeout(LIMIT_S):
            assert (await asking).refused == {VIEW: ErrorCode.E_READBACK_MISMATCH}
    await seats.device.over(LIMIT_S)


@pytest.mark.timeout(180)
async def test_con_15_con_12_a_mismatch_blocks_for_all_and_who_said_it_alone_can_lift_it(
    tmp_path: Path,
) -> None:
    async with two_seats(tmp_path) as seats:
        await says_mismatch(seats, ANNA)
        assert await comes(seats) == ErrorCode.E_READBACK_BLOCKED
        seats.switching.switch(BEN)
        assert await comes(seats) == ErrorCode.E_READBACK_BLOCKED, (
            "a fraud does not go on to the next desktop"
        )
        assert await comes(seats, "bob") == "", "control"
        theirs = {uid: await told(seats, uid, BlocksAsked()) for uid in (ANNA, BEN)}
        rows = {uid: rows.blocks[0] for uid, rows in theirs.items() if isinstance(rows, BlockList)}
        assert {uid: (row.technician_id, row.is_mismatch, row.may_lift) for uid, row in rows.items()} == {
            ANNA: ("ada", True, True),
            BEN: ("ada", True, False),
        }
        block_id = rows[ANNA].block_id
        refused = await told(seats, BEN, BlockLifted(block_id))
        assert refused == ipc.IpcRefused(ErrorCode.E_BLOCK_UNKNOWN)
        assert await comes(seats) == ErrorCode.E_READBACK_BLOCKED
        assert isinstance(await told(seats, ANNA, BlockLifted(block_id)), BlockList)
        assert await comes(seats) == ""
    written = [record for record in seats.device.records() if record.kind in ("block.started", "block.ended")]
    assert [(record.kind, record.facts["uid"]) for record in written] == [
        ("block.started", ANNA),
        ("block.ended", ANNA),
    ]


async def sees_visits(seats: TwoSeats, uid: int) -> list[str]:
    """The technicians whose visits this user is shown, the newest first."""
    visits = await told(seats, uid, ipc.VisitsAsked())
    assert isinstance(visits, ipc.VisitList)
    return [visit.technician_id for visit in visits.visits]


async def visit_of(seats: TwoSeats, uid: int, technician_id: str) -> str:
    """A technician sees this user's screen, and leaves; which session that was."""
    seats.switching.switch(uid)
    async with await seats.device.connect(acme().technician(technician_id)) as session:
        await allowed_by(seats, uid, session)
    await seats.device.over(LIMIT_S)
    return str(session.session_id)


async def allowed_by(seats: TwoSeats, uid: int, session: TechnicianSession) -> None:
    """The technician asks for the screen, and this user allows it in the prompt."""
    asking = asyncio.create_task(session.ask([VIEW]))
    person = seats.person(uid)
    await asyncio.to_thread(person.wait_for_prompt)
    await asyncio.to_thread(person.allow)
    async with asyncio.timeout(LIMIT_S):
        assert (await asking).granted


@pytest.mark.timeout(180)
async def test_con_15_con_10_a_pause_of_one_user_refuses_sessions_at_their_desktop_alone(
    tmp_path: Path,
) -> None:
    async with two_seats(tmp_path) as seats:
        hers = await seats.device.connect(acme().technician("ada"))
        await allowed_by(seats, ANNA, hers)
        seats.switching.switch(BEN)
        his = await seats.device.connect(acme().technician("bob"))
        await allowed_by(seats, BEN, his)
        over = asyncio.Event()
        hers.when_over(over.set)
        paused = await told(seats, ANNA, PauseOrdered())
        assert isinstance(paused, Paused)
        assert paused.left_s > PAUSE_LENGTH_S - 60
        async with asyncio.timeout(LIMIT_S):
            await over.wait()
        assert "until" in hers.why_over
        assert his.held(), "his session goes on"
        for each in (hers, his):
            await each.end()
        await seats.device.over(LIMIT_S)
        assert await comes(seats) == "", "Ben is at the machine"
        seats.switching.switch(ANNA)
        assert await comes(seats) == ErrorCode.E_CONSENT_PAUSED
        assert (await told(seats, ANNA, ipc.HelpAsked())) == ipc.IpcRefused(ErrorCode.E_CONSENT_PAUSED)
        assert await told(seats, BEN, ResumeOrdered()) == Paused(0.0), (
            "control: his own, which there is none of"
        )
        assert await comes(seats) == ErrorCode.E_CONSENT_PAUSED
        assert await told(seats, ANNA, ResumeOrdered()) == Paused(0.0)
        assert await comes(seats) == ""
    kinds = [(record.kind, record.facts.get("uid")) for record in seats.device.records()]
    assert [one for one in kinds if one[0].startswith("pause.")] == [
        ("pause.started", ANNA),
        ("pause.ended", ANNA),
    ]


@pytest.mark.timeout(180)
async def test_con_15_a_session_that_waits_for_an_answer_is_asked_nothing_more_in_a_pause(
    tmp_path: Path,
) -> None:
    """It came while Anna was at the machine, and had asked nothing yet."""
    async with two_seats(tmp_path) as seats, await seats.device.connect(acme().technician()) as session:
        assert isinstance(await told(seats, ANNA, PauseOrdered()), Paused)
        over = asyncio.Event()
        session.when_over(over.set)
        async with asyncio.timeout(LIMIT_S):
            await over.wait()
        assert not await asyncio.to_thread(seats.person(ANNA).sees, "alongside-prompt")


@pytest.mark.timeout(180)
async def test_con_15_who_was_here_shows_each_person_their_own_visits_and_only_they_rate_them(
    tmp_path: Path,
) -> None:
    async with two_seats(tmp_path) as seats:
        first = await visit_of(seats, ANNA, "ada")
        second = await visit_of(seats, BEN, "bob")
        assert await comes(seats, "cy") == ""  # who asked for nothing was at nobody's desktop
        assert await sees_visits(seats, ANNA) == ["cy", "ada"]
        assert await sees_visits(seats, BEN) == ["cy", "bob"]
        for uid, theirs, other in ((ANNA, first, second), (BEN, second, first)):
            refused = await told(seats, uid, ipc.RatingGiven(other, True, ""))
            assert refused == ipc.IpcRefused(ErrorCode.E_STATE)
            assert await told(seats, uid, ipc.RatingGiven(theirs, True, "")) == ipc.RatingKept()
    seated = [record.facts for record in seats.device.records() if record.kind == "session.seated"]
    assert seated == [{"uid": ANNA}, {"uid": BEN}]


@pytest.mark.timeout(180)
async def test_con_15_a_session_at_another_desktop_keeps_nobody_from_rating(tmp_path: Path) -> None:
    async with two_seats(tmp_path) as seats:
        hers = await visit_of(seats, ANNA, "ada")
        seats.switching.switch(BEN)
        async with await seats.device.connect(acme().technician("bob")) as session:
            await allowed_by(seats, BEN, session)
            assert await told(seats, ANNA, ipc.RatingGiven(hers, True, "")) == ipc.RatingKept()


@pytest.mark.timeout(180)
async def test_con_15_a_code_is_for_who_asked_for_it_whoever_else_paused(tmp_path: Path) -> None:
    """Anna paused and is at the machine; Ben asks for help by a code, and the technician comes to him."""
    async with two_seats(tmp_path) as seats:
        assert isinstance(await told(seats, ANNA, PauseOrdered()), Paused)
        async with code_of(seats, BEN) as code:
            async with await seats.device.connect_by_code(read_code(code), acme().technician()) as session:
                assert session.session_id
            await seats.device.over(LIMIT_S)


@asynccontextmanager
async def code_of(seats: TwoSeats, uid: int) -> AsyncIterator[str]:
    """The code that this user is shown, for as long as the context is open."""
    asker = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", _ASKER, str(seats.socket_path),
        user=uid, group=uid, extra_groups=[], cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert asker.stdin is not None
    assert asker.stdout is not None
    try:
        asked = ipc.HELLO_CODEC.encode(ipc.HelpAsked())
        asker.stdin.write(len(asked).to_bytes(4, "big") + asked)
        asker.stdin.close()
        line = await asker.stdout.readline()
        shown = ipc.TO_COMMAND_LINE_CODEC.decode(bytes.fromhex(line.decode())[4:])
        assert isinstance(shown, ipc.HelpCode), shown
        yield shown.code
    finally:
        asker.kill()
        await asker.wait()


# connects, sends what standard input holds, prints the first answer as hex, and stays
_ASKER = """
import socket, sys, time
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect(sys.argv[1])
    asked.sendall(sys.stdin.buffer.read())
    print(asked.recv(4096).hex(), flush=True)
    time.sleep(120)
"""
