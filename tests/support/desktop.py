"""A desktop process for tests: speaks the real local socket, answers as told, records its orders."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from agent.desktop import ipc_messages as ipc
from agent.local_frames import LocalConnection, connect_local
from protocol.errors import ErrorCode, Unreachable
from protocol.limits import SCREEN_MESSAGE_LIMIT_BYTES
from protocol.messages.diagnostics import Display
from protocol.messages.input import Event
from protocol.version import PROTOCOL_VERSION

T = TypeVar("T")
WAIT_S = 5.0
DISPLAY = Display(name="fake", x=0, y=0, width=640, height=480)

Answer = Callable[[ipc.ShowPrompt], ipc.PromptAnswered | None]


def allow_all(prompt: ipc.ShowPrompt) -> ipc.PromptAnswered:
    """The person allows what is asked."""
    return ipc.PromptAnswered(prompt.prompt_no, prompt.grantables, "", "0" * 64, 2.0)


def allow_only(*grantables: str) -> Answer:
    """A prompt is answered with these, whatever it asked."""
    return lambda prompt: ipc.PromptAnswered(prompt.prompt_no, list(grantables), "", "0" * 64, 2.0)


def deny(prompt: ipc.ShowPrompt) -> ipc.PromptAnswered:
    """The person says no."""
    return ipc.PromptAnswered(prompt.prompt_no, [], ErrorCode.E_CONSENT_DENIED, "0" * 64, 2.0)


def leave_open(_prompt: ipc.ShowPrompt) -> None:
    """Nobody answers."""


class FakeWorker:
    """A screen worker's connection: the test sends pictures and reads acknowledgements."""

    def __init__(self, connection: LocalConnection) -> None:
        self._connection = connection

    @classmethod
    async def connect(cls, socket_path: Path, session_id: str, ticket: bytes) -> Self:
        """Say hello with this ticket."""
        connection = await connect_local(str(socket_path))
        await connection.send(ipc.HELLO_CODEC.encode(ipc.WorkerHello(session_id=session_id, ticket=ticket)))
        return cls(connection)

    async def send(self, message: bytes) -> None:
        """One message of the screen channel."""
        await self._connection.send(message, timeout_s=None)

    async def receive(self) -> bytes:
        """What the service passed on."""
        async with asyncio.timeout(WAIT_S):
            return await self._connection.receive(SCREEN_MESSAGE_LIMIT_BYTES)

    async def is_cut_off(self) -> bool:
        """Whether the service has closed the connection, as it does when the grant ends."""
        try:
            while True:
                await self.receive()
        except Unreachable:
            return True

    def close(self) -> None:
        """The worker dies."""
        self._connection.close()


class FakeDesktop:
    """Connects on entering. Orders are kept in `orders`, events that act in `injected`."""

    def __init__(self, socket_path: Path, answer: Answer = allow_all) -> None:
        self.answer = answer
        self.does_show_indicator = True
        self.input_code = ""
        self.screen_code = ""
        self.does_start_workers = True
        self.orders: list[ipc.ToDesktop] = []
        self.injected: list[Event] = []
        self.workers: asyncio.Queue[FakeWorker] = asyncio.Queue()
        self._started: list[FakeWorker] = []
        self._socket_path = socket_path
        self._connection: LocalConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._came = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._connection = await connect_local(str(self._socket_path))
        hello = ipc.DesktopHello(
            version=PROTOCOL_VERSION, os_session="x11:99", user="person", pid=os.getpid()
        )
        await self._connection.send(ipc.HELLO_CODEC.encode(hello))
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.die()

    async def die(self) -> None:
        """The desktop process is killed."""
        if self._connection is not None:
            self._connection.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for worker in self._started:
            worker.close()
        await asyncio.sleep(0)

    async def say(self, message: ipc.FromDesktop) -> None:
        """Send something unasked."""
        assert self._connection is not None
        await self._connection.send(ipc.FROM_DESKTOP_CODEC.encode(message))

    async def is_hung_up(self) -> bool:
        """Whether the service closes the connection by itself."""
        assert self._task is not None
        done, _ = await asyncio.wait({self._task}, timeout=WAIT_S)
        return bool(done)

    async def stop(self, session_id: str) -> None:
        """The person presses Stop."""
        await self.say(ipc.StopPressed(session_id=session_id))

    def all_of(self, kind: type[T]) -> list[T]:
        """Every order of this kind so far."""
        return [order for order in self.orders if isinstance(order, kind)]

    async def order(self, kind: type[T], count: int = 1) -> T:
        """Wait for the `count`-th order of this kind."""
        async with asyncio.timeout(WAIT_S), self._came:
            await self._came.wait_for(lambda: len(self.all_of(kind)) >= count)
        return self.all_of(kind)[count - 1]

    async def worker(self) -> FakeWorker:
        """The next worker that was started."""
        async with asyncio.timeout(WAIT_S):
            return await self.workers.get()

    async def _listen(self) -> None:
        assert self._connection is not None
        while True:
            try:
                frame = await self._connection.receive(ipc.TO_DESKTOP_CODEC.limit_bytes)
            except Unreachable:
                return
            order = ipc.TO_DESKTOP_CODEC.decode(frame)
            async with self._came:
                self.orders.append(order)
                self._came.notify_all()
            await self._obey(order)

    async def _obey(self, order: ipc.ToDesktop) -> None:
        match order:
            case ipc.ShowPrompt() if (answer := self.answer(order)) is not None:
                await self.say(answer)
            case ipc.ShowIndicator() if self.does_show_indicator:
                await self.say(ipc.IndicatorShown(order.session_id, order.show_no))
            case ipc.StartScreen() if self.screen_code:
                ended = ipc.ScreenEnded(
                    order.session_id, self.screen_code, "as the test wants", order.start_no
                )
                await self.say(ended)
            case ipc.StartScreen() if self.does_start_workers:
                worker = await FakeWorker.connect(self._socket_path, order.session_id, order.ticket)
                self._started.append(worker)
                self.workers.put_nowait(worker)
            case ipc.AllowInput():
                await self.say(ipc.InputAllowed(session_id=order.session_id, code=self.input_code))
            case ipc.Inject():
                self.injected += order.events
            case ipc.ReadDisplays():
                await self.say(ipc.DisplaysRead(order.request_no, [DISPLAY], ""))
            case _:
                pass
