"""One connection to the system's message bus, with the calls that we need."""

import asyncio
import itertools
from collections.abc import Callable
from importlib import import_module
from typing import Any

from agent.bus_frames import BusMessage, Content, Frames, Kind, Target, read_message, write_call
from protocol.errors import BackendUnavailable

LOGIND = "org.freedesktop.login1"
BUS, BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
CALL_TIMEOUT_S = 5.0
ANSWER_LIMIT_BYTES = 1 << 20  # the list of about ten thousand sessions
_READ_BYTES = 16 << 10


class SystemBus:
    """One connection to a message bus, with the two calls that are needed."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._serials = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[BusMessage]] = {}
        self._handle: Callable[[BusMessage], None] = lambda _signal: None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect.

        Raises:
            BackendUnavailable: there is no bus, with what that means.
        """
        try:
            library: Any = import_module("jeepney.bus")
            auth: Any = import_module("jeepney.auth")
        except ImportError as exc:
            raise BackendUnavailable(f"{exc}; install the agent's requirements") from None
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                place = library.get_bus(self._address or "SYSTEM")
                reader, self._writer = await asyncio.open_unix_connection(place)
                await _greet(reader, self._writer, auth)
        except (OSError, EOFError, ValueError, RuntimeError, StopIteration) as exc:
            self.close()
            raise BackendUnavailable(f"no system bus ({exc!r}); lock and log-out are not noticed") from None
        self._reading = asyncio.create_task(self._read(reader))
        await self.call((BUS, BUS_PATH, BUS, "Hello"))

    async def call(self, target: tuple[str, str, str, str], signature: str = "", *arguments: object) -> Any:
        """Call (destination, path, interface, member); the first value of the answer, or None.

        A variant in it is a pair of its type and its value.

        Raises:
            BackendUnavailable: an error, or no answer in time.
        """
        member = target[3]
        if self._writer is None or self._reading is None or self._reading.done():
            raise BackendUnavailable(f"{member}: no connection")
        serial = next(self._serials)
        answer = self._waiting[serial] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(
                write_call(Target(*target), Content(signature, arguments), serial, may_start=True)
            )
            async with asyncio.timeout(CALL_TIMEOUT_S):
                reply = await answer
        except (OSError, TimeoutError) as exc:
            raise BackendUnavailable(f"{member}: {exc!r}") from None
        finally:
            self._waiting.pop(serial, None)
        if reply.kind is Kind.ERROR:
            raise BackendUnavailable(f"{member}: {reply.name} {reply.body}"[:300])
        return reply.body[0] if reply.body else None

    def on_signal(self, handle: Callable[[BusMessage], None]) -> None:
        """`handle(signal)` is called with each signal from now on."""
        self._handle = handle

    async def lost(self) -> None:
        """Return when the connection is gone."""
        if self._reading is not None:
            await asyncio.wait([self._reading])

    def close(self) -> None:
        """Disconnect; may be called twice."""
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _read(self, reader: asyncio.StreamReader) -> None:
        frames = Frames(ANSWER_LIMIT_BYTES)
        try:
            while content := await reader.read(_READ_BYTES):
                for message in filter(None, map(read_message, frames.feed(content))):
                    self._take(message)
        except (OSError, ValueError):
            return  # as lost as at its end
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(ConnectionResetError("the bus is gone"))

    def _take(self, message: BusMessage) -> None:
        if message.kind is Kind.SIGNAL:
            self._handle(message)
        elif message.kind in (Kind.RETURN, Kind.ERROR):
            answer = self._waiting.get(message.reply_to)
            if answer is not None and not answer.done():
                answer.set_result(message)


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, auth: Any) -> None:
    """Say who we are. Raises OSError, EOFError or ValueError: the bus does not take us."""
    greeting = auth.Authenticator()
    while (words := greeting.data_to_send()) is not None:
        writer.write(words)
        content = await reader.read(_READ_BYTES)
        if not content:
            raise EOFError("the bus ended")
        greeting.feed(content)
    writer.write(auth.BEGIN)
