"""One device with two people: real users, each with an X display and a desktop process; played switching."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from agent.absence import OsPerson, PersonFact, Tell
from agent.blocks_desk import BlocksDesk
from agent.desktop.block_messages import BlockLifted, BlocksAsked
from agent.desktop.ipc_messages import DesktopHello, HelpAsked, RatingGiven, VisitsAsked, WorkerHello
from agent.desktop.pause_messages import PauseOrdered, ResumeOrdered
from agent.local_server import Handler, LocalServer
from agent.pause_desk import PauseDesk
from agent.person_desk import PersonDesk
from agent.rating_desk import RatingDesk
from agent.state import DataDir
from protocol.aio.audit_log import AuditLog
from protocol.messages.diagnostics import Display
from tests.support.attacked import until
from tests.support.device_end import DeviceEnd, device_end
from tests.support.organisation import acme
from tests.support.other_user import OTHER_UID, THIRD_UID, reachable_folder
from tests.support.person import Person
from tests.support.window_answers import STATUS
from tests.support.xvfb import Xvfb, start_xvfb

ANNA, BEN = OTHER_UID, THIRD_UID
SIZES = {ANNA: (800, 600), BEN: (1000, 700)}
READY_LIMIT_S = 30.0


class PlayedSwitching:
    """Tells each watched desktop whether its user is the one at the machine."""

    def __init__(self) -> None:
        self.active = ANNA
        self._tells: dict[int, Tell] = {}

    async def watch(self, person: OsPerson, tell: Tell) -> None:
        """Implements `WatchPerson`."""
        self._tells[person.uid] = tell
        self._say(person.uid)
        await asyncio.Event().wait()

    def switch(self, uid: int) -> None:
        """Another user takes the machine over."""
        self.active = uid
        for each in self._tells:
            self._say(each)

    def _say(self, uid: int) -> None:
        self._tells[uid](PersonFact.BACK if uid == self.active else PersonFact.SWITCHED)


@dataclass(frozen=True)
class TwoSeats:
    """The device, who is at it, the socket that both desktop processes use, and the people's displays."""

    device: DeviceEnd
    switching: PlayedSwitching
    socket_path: Path
    displays: dict[int, Xvfb]

    def person(self, uid: int) -> Person:
        """Hands and eyes at this user's display."""
        return Person({"DISPLAY": self.displays[uid].display})


@asynccontextmanager
async def two_seats(folder: Path) -> AsyncIterator[TwoSeats]:
    """Both desktop processes are connected, and Anna is at the machine."""
    switching = PlayedSwitching()
    async with AsyncExitStack() as stack:
        device = await stack.enter_async_context(device_end(acme(), folder))
        device.desktop_link._watch_person = switching.watch
        path = stack.enter_context(reachable_folder()) / "seats" / "agent.sock"
        await stack.enter_async_context(_seats_server(device, path))
        displays = {uid: stack.enter_context(start_xvfb(SIZES[uid], has_openbox=True)) for uid in SIZES}
        for uid, display in displays.items():
            stack.enter_context(_desktop(uid, display, path, folder))
        await until(lambda: all(device.desktop_link.seat_for(uid) for uid in SIZES), READY_LIMIT_S)
        yield TwoSeats(device, switching, path, displays)


@asynccontextmanager
async def _seats_server(device: DeviceEnd, path: Path) -> AsyncIterator[None]:
    async def admits(uid: int) -> bool:
        return uid in SIZES

    welcome, audit, data = device.side.welcome, AuditLog(device.audit_path), DataDir(device.audit_path.parent)
    is_anybody_at = partial(_is_anybody_at, device)
    blocks = BlocksDesk(welcome.blocks, audit, device.device_id, is_anybody_at)
    pausing = PauseDesk(welcome.pauses, partial(_end_sessions, device), audit, device.device_id)
    rating = RatingDesk(device.side.ratings, data, audit, device.device_id, is_anybody_at)
    device.side = replace(device.side, show_card=rating.show_card)
    person = PersonDesk(data, lambda: STATUS, _no_displays)
    handlers: dict[type, Handler] = {
        DesktopHello: device.desktop_link.handle,
        WorkerHello: device.tickets.handle,
        HelpAsked: device.codes.handle_help,
        **dict.fromkeys((BlocksAsked, BlockLifted), blocks.handle),
        **dict.fromkeys((PauseOrdered, ResumeOrdered), pausing.handle),
        VisitsAsked: person.handle,
        RatingGiven: rating.handle,
    }
    server = LocalServer(path, handlers, allowed_uids=frozenset({os.geteuid()}), admits_user=admits)
    await server.open()
    try:
        yield
    finally:
        await server.close()


async def _no_displays() -> tuple[list[Display], str]:
    return [], ""


async def _end_sessions(device: DeviceEnd, uid: int | None, cause: str) -> None:
    for runner in device.runners.values():
        if uid in (None, runner.expected_uid):
            runner.end(cause)


def _is_anybody_at(device: DeviceEnd, uid: int | None) -> bool:
    live = (runner for task, runner in device.runners.items() if not task.done())
    return any(uid in (None, runner.seat_uid) for runner in live)


@contextmanager
def _desktop(uid: int, display: Xvfb, path: Path, folder: Path) -> Iterator[None]:
    words = [
        "--no-tray",
        f"--socket={path}",
        f"--display={display.display}",
        f"--service-user={os.geteuid()}",
    ]
    with tempfile.TemporaryFile(dir=folder) as log:
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "agent.desktop", *words],
            user=uid, group=uid, extra_groups=[], cwd="/", stdout=log, stderr=log,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"},
        )  # fmt: skip
        try:
            yield
        finally:
            process.terminate()
            process.wait(READY_LIMIT_S)
            log.seek(0)
            said = log.read().decode()
            assert "Traceback" not in said, said
