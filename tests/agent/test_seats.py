"""Which desktop is asked, and who may have one: pure choices, and what a played logind tells."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from agent.absence import OsPerson, PersonFact, Tell
from agent.desktop import ipc_messages as ipc
from agent.desktop_link import DesktopLink
from agent.local_peer import LocalPeer
from agent.platform.logind.graphical_users import graphical_users
from agent.seat_users import SeatUsers
from agent.standing import StandingConsents, Whom
from agent.user_names import named_users
from protocol.errors import BackendUnavailable, ErrorCode, UsageError
from protocol.grantables import Grantable
from protocol.version import PROTOCOL_VERSION
from tests.support.fake_logind import fake_logind
from tests.support.memory_desk import MemoryConnection

ANNA, BEN = 1001, 1002
VIEW = Grantable.SCREEN_VIEW


class Desk:
    """Desktop processes of several users in memory."""

    def __init__(self) -> None:
        self.tells: dict[int, Tell] = {}
        self.sent: list[bytes] = []
        self.link = DesktopLink(self._watch)
        self._tasks: list[asyncio.Task[None]] = []

    async def come(self, uid: int) -> MemoryConnection:
        """A user's desktop process connects."""
        connection = MemoryConnection(self.sent.append)
        connection.peer = LocalPeer(uid, uid)
        hello = ipc.DesktopHello(PROTOCOL_VERSION, "x11:0", "anybody", 1)
        serving: Any = self.link.handle(hello, connection)  # the shape of a LocalConnection
        self._tasks.append(asyncio.create_task(serving))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return connection

    async def _watch(self, person: OsPerson, tell: Tell) -> None:
        self.tells[person.uid] = tell

    @property
    def asked(self) -> int | None:
        """At whose desktop the person is asked."""
        return self.link.seat.uid if self.link.seat else None


async def test_who_is_at_the_machine_is_asked_whoever_came_first() -> None:
    desk = Desk()
    assert desk.asked is None
    await desk.come(ANNA)
    await desk.come(BEN)
    for here, away in ((ANNA, BEN), (BEN, ANNA), (ANNA, BEN)):
        desk.tells[away](PersonFact.SWITCHED)
        desk.tells[here](PersonFact.BACK)
        assert desk.asked == here
    desk.tells[ANNA](PersonFact.LOCKED)
    assert desk.link.seat is not None
    assert desk.link.seat.absence.is_away, "nobody is there: whoever it is, is not asked"


async def test_a_desktop_that_is_known_to_be_used_comes_before_one_of_which_nobody_told() -> None:
    desk = Desk()
    await desk.come(ANNA)
    desk.tells[ANNA](PersonFact.BACK)
    await desk.come(BEN)
    assert desk.asked == ANNA
    desk.tells[BEN](PersonFact.BACK)
    assert desk.asked == BEN


async def test_who_asked_for_help_is_asked_at_their_own_desktop_or_nowhere() -> None:
    desk = Desk()
    await desk.come(ANNA)
    desk.tells[ANNA](PersonFact.BACK)
    assert desk.link.seat_for(BEN) is None
    await desk.come(BEN)
    seat = desk.link.seat_for(BEN)
    assert seat is not None
    assert seat.uid == BEN
    own = desk.link.seat_for(os.geteuid())
    assert own is not None
    assert own.uid == ANNA, "a command of the service's own user means whoever is at the machine"


async def test_a_user_has_one_desktop_process_by_the_kernels_word_and_not_by_its_own() -> None:
    desk = Desk()
    await desk.come(ANNA)
    desk.sent.clear()
    await desk.come(ANNA)
    assert ipc.TO_DESKTOP_CODEC.decode(desk.sent[0]) == ipc.IpcRefused(ErrorCode.E_ALREADY_RUNNING)
    assert desk.link.seat is not None
    assert desk.link.seat.pid == ANNA, "not the 1 that it said"


def test_what_one_user_allowed_beforehand_is_not_held_against_another() -> None:
    standing = StandingConsents(None)
    standing.give(Whom("ada", uid=ANNA), [VIEW], 3600)
    assert set(standing.covering("ada", "default", [VIEW], ANNA)) == {VIEW}
    assert standing.covering("ada", "default", [VIEW], BEN) == {}
    assert standing.end("all", BEN) == []
    assert len(standing.end("all", ANNA)) == 1


async def test_a_flood_asks_the_system_once_and_without_an_answer_nobody_is_admitted() -> None:
    asked = 0

    async def read() -> frozenset[int]:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return frozenset({ANNA})

    async def fail() -> frozenset[int]:
        raise BackendUnavailable("no bus")

    users = SeatUsers(read, frozenset())
    found = await asyncio.gather(*(users.admits(uid) for uid in [ANNA, BEN] * 50))
    assert found == [True, False] * 50
    assert asked == 1
    none = SeatUsers(fail, frozenset({BEN}))
    assert [await none.admits(uid) for uid in (ANNA, BEN)] == [False, True]


def test_users_are_named_by_name_or_number() -> None:
    assert named_users("root 1001") == {0, 1001}
    assert named_users("") == frozenset()
    with pytest.raises(UsageError, match="E_CONFIG"):
        named_users("nobody-of-this-name")


@pytest.mark.real
@pytest.mark.parametrize(
    ("kind", "type_name", "is_one"),
    [("user", "x11", True), ("user", "wayland", True), ("user", "tty", False), ("greeter", "x11", False)],
)
async def test_a_graphical_session_of_a_person_makes_a_seat(
    tmp_path: Path, kind: str, type_name: str, is_one: bool
) -> None:
    async with fake_logind(tmp_path) as logind:
        logind.properties |= {"Class": kind, "Type": type_name}
        assert await graphical_users(logind.address) == (frozenset({os.getuid()}) if is_one else frozenset())
