"""A real exec worker with one order, and the processes that it is made of."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil

from agent.exec import start
from agent.exec.book import CommandBook
from agent.exec.messages import ExecEnded, ExecOutput, ExecRefused, ExecVerified, FromWorker, RunOrder
from agent.exec.start import StartExecWorker
from tests.support.approved_commands import OrderTerms, entry, fresh_book, request_for, signed_policy
from tests.support.organisation import acme
from tests.support.other_user import OTHER_UID

PYTHON = "/usr/bin/python3"
_VARIANT = str(Path(__file__).with_name("exec_worker_variant.py"))
_AS_OTHER = ("/usr/bin/setpriv", f"--reuid={OTHER_UID}", f"--regid={OTHER_UID}", "--clear-groups")


def worker_words(kind: str = "{}", *, as_other: bool = False) -> tuple[str, ...]:
    """For `start.WORKER_ARGV`: a variant of the worker (`exec_worker_variant`), perhaps another user's."""
    return (*(_AS_OTHER if as_other else ()), sys.executable, "-I", _VARIANT, kind)


def limited(**limits: int) -> tuple[str, ...]:
    """A worker with these limits."""
    return worker_words(json.dumps(limits))


def order_for(*argv: str, **terms: object) -> RunOrder:
    """An honest order for a catalogue with this one command."""
    in_force = signed_policy(acme(), [entry("it", *argv, **terms)])
    return OrderTerms(acme().device(), in_force, request_for(in_force.policy.catalogue.find("it"))).order()


class StartedCommand:
    """A worker that was let go; what it says is kept."""

    def __init__(self, order: RunOrder, book: CommandBook, begin: StartExecWorker | None = None) -> None:
        self._order, self._book = order, book
        self._begin = begin or start.worker_starter(book.path)
        self.said: list[FromWorker] = []

    async def start(self) -> None:
        """Start it."""
        self.worker = await self._begin(self._order)

    async def heard(self, kind: type[FromWorker] | tuple[type, ...], within_s: float = 20.0) -> FromWorker:
        """The next message of this kind."""
        async with asyncio.timeout(within_s):
            while True:
                self.said.append(await self.worker.receive())
                if isinstance(self.said[-1], ExecVerified):
                    await self.worker.go()
                if isinstance(self.said[-1], kind):
                    return self.said[-1]

    async def ended(self, within_s: float = 20.0) -> ExecEnded:
        """Its end."""
        last = await self.heard((ExecEnded, ExecRefused), within_s)
        assert isinstance(last, ExecEnded), last
        return last

    @property
    def output(self) -> bytes:
        """What it has written to standard output so far."""
        return b"".join(each.chunk for each in self.said if isinstance(each, ExecOutput))


@asynccontextmanager
async def started(order: RunOrder, begin: StartExecWorker | None = None) -> AsyncIterator[StartedCommand]:
    """A command, ended at the end."""
    command = StartedCommand(order, fresh_book(order.request), begin)
    await command.start()
    try:
        yield command
    finally:
        await command.worker.end()


def guardian_of(command: StartedCommand) -> psutil.Process:
    """The process that the service has started."""
    return psutil.Process(command.worker._process.pid)  # type: ignore[attr-defined]  # only tests look inside


async def until(is_so: Callable[[], bool], within_s: float = 5.0) -> None:
    """Wait for it."""
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110 - other processes set no event of ours
            await asyncio.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether nothing runs there any more."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


async def pids_in(path: Path) -> list[int]:
    """What a probe has written there, complete with its last line's end."""
    await until(lambda: path.exists() and path.read_text().endswith("\n"))
    return [int(word) for word in path.read_text().split()]


def end_all(pids: list[int]) -> None:
    """Whatever became of the test, nothing of it stays."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def give_to_other_user(*paths: Path) -> None:
    """Let them belong to the other user of the tests."""
    for path in paths:
        shutil.chown(path, OTHER_UID, OTHER_UID)
