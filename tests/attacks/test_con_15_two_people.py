"""Two people at one computer (decision 0033): what one of them says holds for whom, and who may take it back.

Real users, real desktop processes at two displays, real windows; who is at the machine is played.
"""

import asyncio
from pathlib import Path

import pytest

from agent.desktop import ipc_messages as ipc
from agent.desktop.block_messages import BlockLifted, BlockList, BlocksAsked
from protocol.errors import ErrorCode, SupportError
from protocol.grantables import Grantable
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
