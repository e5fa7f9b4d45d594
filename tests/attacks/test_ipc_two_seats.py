"""Several people on one device (decision 0029): who is asked, whose screen is shown, who may say what."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.desktop import ipc_messages as ipc
from agent.desktop.block_messages import BlockList, BlocksAsked
from agent.desktop.pause_messages import Paused, PauseOrdered, ResumeOrdered
from protocol.errors import ErrorCode
from protocol.grantables import Grantable
from protocol.messages.screen import FROM_AGENT_CODEC, PicturePart
from technician_client.sessions import TechnicianSession
from tests.support.agent_commands import RunningAgent, call, joined_folder, running_agent
from tests.support.attacked import until
from tests.support.organisation import acme
from tests.support.other_user import (
    IS_ROOT,
    OTHER_UID,
    THIRD_UID,
    WHY_ROOT,
    as_other_user,
    connect_as_other_user,
    reachable_folder,
)
from tests.support.two_seats import ANNA, BEN, SIZES, TwoSeats, two_seats

pytestmark = [pytest.mark.real, pytest.mark.skipif(not IS_ROOT, reason=WHY_ROOT)]

VIEW = Grantable.SCREEN_VIEW
LIMIT_S = 30.0


async def shown_size(session: TechnicianSession) -> tuple[int, int]:
    """How large the screen is that the technician sees."""
    stream = await session.open_channel(VIEW)
    async with asyncio.timeout(LIMIT_S):
        while True:
            told = FROM_AGENT_CODEC.decode(await stream.receive())
            if isinstance(told, PicturePart):
                return told.width, told.height


async def allowed_by(seats: TwoSeats, uid: int, session: TechnicianSession) -> None:
    """The technician asks for the screen, and this user sees the prompt and allows it."""
    person = seats.person(uid)
    asking = asyncio.create_task(session.ask([VIEW]))
    await asyncio.to_thread(person.wait_for_prompt)
    assert not await asyncio.to_thread(seats.person(ANNA if uid == BEN else BEN).sees, "alongside-prompt")
    await asyncio.to_thread(person.allow)
    async with asyncio.timeout(LIMIT_S):
        outcome = await asking
    assert {grant.grantable for grant in outcome.granted} == {VIEW}, outcome


@pytest.mark.timeout(180)
async def test_ipc_02_who_is_at_the_machine_is_asked_and_nobody_else_is_shown(tmp_path: Path) -> None:
    """Anna allows her screen; Ben takes the machine over: her grant ends, and only he can show his."""
    async with two_seats(tmp_path) as seats:
        async with await seats.device.connect(acme().technician()) as session:
            await allowed_by(seats, ANNA, session)
            assert await shown_size(session) == SIZES[ANNA]
            seats.switching.switch(BEN)
            await until(lambda: not session.held(), LIMIT_S)
            again = await session.ask([VIEW])
            assert again.refused == {VIEW: ErrorCode.E_CONSENT_AWAY}, "the session stays at Anna's desktop"
        async with await seats.device.connect(acme().technician("eve")) as session:
            await allowed_by(seats, BEN, session)
            assert await shown_size(session) == SIZES[BEN]
        await seats.device.over(LIMIT_S)
    ended = [record.facts["code"] for record in seats.device.records() if record.kind == "grant.ended"]
    assert ended[0] == ErrorCode.E_CONSENT_AWAY


async def test_ipc_01_a_ticket_for_one_users_screen_brings_no_other_users(tmp_path: Path) -> None:
    async with two_seats(tmp_path) as seats:
        ticket, arrival = seats.device.tickets.expect("s" * 26, ANNA, lambda: None)
        hello = ipc.HELLO_CODEC.encode(ipc.WorkerHello("s" * 26, ticket))
        [answer] = await asyncio.to_thread(connect_as_other_user, seats.socket_path, hello, 1, BEN)
        assert refusal_in(answer) == ErrorCode.E_TICKET
        assert not arrival.done()
        hers = asyncio.create_task(
            asyncio.to_thread(connect_as_other_user, seats.socket_path, hello, 1, ANNA)
        )
        async with asyncio.timeout(LIMIT_S):
            connection = await arrival  # control: hers it brings
        seats.device.tickets.release(connection)
        await hers


def refusal_in(line: str) -> str:
    """The code in what `connect_as_other_user` tells."""
    answer = ipc.TO_COMMAND_LINE_CODEC.decode(bytes.fromhex(line.removeprefix("answered "))[4:])
    assert isinstance(answer, ipc.IpcRefused), answer
    return answer.code


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Path, RunningAgent]]:
    """The real service with a socket for others' desktops, of whom one is named: data folder and agent."""
    with reachable_folder() as folder:
        data = joined_folder(folder)
        (data / "agent.toml").write_text(f'seat_users = "{OTHER_UID}"\n')
        words = ("--no-desktop", "--seats-socket", str(seats_socket(data)))
        with running_agent(data, *words) as agent:
            yield data, agent


def seats_socket(data: Path) -> Path:
    """Where others' desktops connect."""
    return data.parent / "seats" / "agent.sock"


def ask(data: Path, hello: ipc.Hello, uid: int) -> str:
    """What the service tells this user, as `connect_as_other_user` has it."""
    [line] = connect_as_other_user(seats_socket(data), ipc.HELLO_CODEC.encode(hello), uid=uid)
    return line


def test_ipc_01_a_user_without_a_desktop_here_is_dropped(shared: tuple[Path, RunningAgent]) -> None:
    data, _ = shared
    # the last where it was dropped before it had said anything
    dropped = {"answered ", "ConnectionResetError", "BrokenPipeError"}
    assert ask(data, ipc.StatusAsked(), THIRD_UID) in dropped
    answer = ask(data, ipc.StatusAsked(), OTHER_UID)
    told = ipc.TO_COMMAND_LINE_CODEC.decode(bytes.fromhex(answer.removeprefix("answered "))[4:])
    assert isinstance(told, ipc.Status), "control: the named user is answered"
    path = seats_socket(data)
    assert [each.stat().st_mode & 0o777 for each in (path.parent, path)] == [0o755, 0o666]


@pytest.mark.parametrize(
    "verb", [ipc.LeaveOrdered(), ipc.ListsChanged()], ids=lambda verb: type(verb).__name__
)
def test_ipc_01_what_is_the_owners_no_other_user_may_say(
    shared: tuple[Path, RunningAgent], verb: ipc.Hello
) -> None:
    data, agent = shared
    assert refusal_in(ask(data, verb, OTHER_UID)) == ErrorCode.E_MESSAGE_UNKNOWN
    assert call("status", data=data)["organisation_name"] == "Acme"
    assert agent.process.poll() is None


def test_con_15_another_user_s_pause_is_theirs_and_the_owner_s_is_for_all_until_each_ends_it(
    shared: tuple[Path, RunningAgent],
) -> None:
    data, _ = shared
    theirs = told(data, PauseOrdered())
    assert isinstance(theirs, Paused)
    assert theirs.left_s > 3500
    try:
        status = call("status", data=data)
        assert (status["paused_s"], [each["uid"] for each in status["paused_users"]]) == (0, [OTHER_UID])
        refused = told(data, ipc.HelpAsked())
        assert refused == ipc.IpcRefused(ErrorCode.E_CONSENT_PAUSED)
        assert call("help-me", data=data, ok=False)["error"]["code"] != ErrorCode.E_CONSENT_PAUSED
    finally:
        assert told(data, ResumeOrdered()) == Paused(0.0)
    call("pause", data=data)
    try:
        status = told(data, ipc.StatusAsked())
        assert isinstance(status, ipc.Status)
        assert status.paused_s > 3500
        assert status.paused_users == ()
        assert told(data, ResumeOrdered()) == Paused(0.0), "theirs is over"
        assert call("status", data=data)["paused_s"] > 3500, "and nobody else's"
    finally:
        assert call("pause", "--end", data=data)["paused_s"] == 0
    assert told(data, BlocksAsked()) == BlockList([])
    assert told(data, ipc.VisitsAsked()) == ipc.VisitList([])


def told(data: Path, hello: ipc.Hello) -> ipc.ToCommandLine:
    """What the service tells the named user."""
    answer = ask(data, hello, OTHER_UID)
    return ipc.TO_COMMAND_LINE_CODEC.decode(bytes.fromhex(answer.removeprefix("answered "))[4:])


def test_ipc_11_one_users_flood_keeps_no_other_desktop_out(shared: tuple[Path, RunningAgent]) -> None:
    """Forty connections that say nothing are held; from the seventeenth on they are told it is too much."""
    data, _ = shared
    held = (
        "import select, socket, sys\nheld = []\nfor _ in range(40):\n"
        "    one = socket.socket(socket.AF_UNIX)\n    one.settimeout(20)\n    one.connect(sys.argv[1])\n"
        "    held.append(one)\n"
        "print(sum(one.recv(99) != b'' for one in held[16:]), len(select.select(held[:16], [], [], 0)[0]))\n"
    )
    assert as_other_user(held, str(seats_socket(data))) == ["24 0"]
    assert call("status", data=data)["link"] == "connecting", "control: the owner is served meanwhile"


def test_ipc_01_a_folder_of_another_user_is_not_used_for_the_socket() -> None:
    with reachable_folder() as folder:
        data, squatted = joined_folder(folder), folder / "seats"
        squatted.mkdir()
        os.chown(squatted, OTHER_UID, OTHER_UID)
        words = ("run", "--no-desktop", "--seats-socket", str(squatted / "agent.sock"))
        assert call(*words, data=data, ok=False)["error"]["code"] == "E_DATA_DISK"


def test_ipc_01_a_desktop_process_believes_no_stranger_who_listens() -> None:
    """To another user the service is somebody else; it is believed when that user was named at the start."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom agent.desktop.ipc import connect_to_service\n"
        "from protocol.errors import Refused\n"
        "for uid in (None, 4711):\n"
        "    try:\n        connect_to_service(Path(sys.argv[1]), uid).close(); print('believed')\n"
        "    except Refused as exc:\n        print(exc.code.value)\n"
    )
    listen = (
        "import os, socket, sys\none = socket.socket(socket.AF_UNIX)\none.bind(sys.argv[1])\n"
        "os.chmod(sys.argv[1], 0o777)\none.listen()\nprint('listening', flush=True)\nsys.stdin.read()\n"
    )
    with reachable_folder() as folder:
        path = folder / "agent.sock"
        folder.chmod(0o777)
        words = [sys.executable, "-I", "-S", "-c", listen, str(path)]
        with subprocess.Popen(
            words, user=THIRD_UID, group=THIRD_UID, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as squatter:
            assert squatter.stdout is not None
            assert squatter.stdin is not None
            assert squatter.stdout.readline() == b"listening\n"
            assert as_other_user(code, str(path), with_site=True) == ["E_IDENTITY_OWNER"] * 2
            named = code.replace("4711", str(THIRD_UID))
            assert as_other_user(named, str(path), with_site=True) == ["E_IDENTITY_OWNER", "believed"]
            squatter.stdin.close()
