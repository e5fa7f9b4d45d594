"""A connection to the person's session bus that never makes the window thread wait."""

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import structlog

from agent.bus_frames import NOTHING, BusMessage, Content, Frames, Target, read_message, write_call

log = structlog.get_logger()

READ_BYTES = 16 << 10  # a turn: a flood must leave the window thread time for its windows
UNSENT_LIMIT_BYTES = 256 << 10
BUS = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"
_READABLE, _WRITABLE = 2, 4  # Tcl's masks


@dataclass(frozen=True, slots=True)
class BusCalls:
    """All on the window thread."""

    connected: Callable[[], None]
    came: Callable[[BusMessage], None]
    lost: Callable[[], None]


class SessionBus:
    """Connects at once; `tk` is the interpreter of the window thread."""

    def __init__(self, address: str, tk: Any, calls: BusCalls) -> None:
        """Raises OSError or ValueError: there is no such bus."""
        self._calls, self._tk = calls, tk
        auth: Any = import_module("jeepney.auth")
        self._frames, self._unsent, self._serial = Frames(), bytearray(), 0
        self._socket: socket.socket | None = _connected(address)
        self._greeting: Any = auth.Authenticator()
        self._failures = (OSError, ValueError, auth.AuthenticationError)
        self._begin = bytes(auth.BEGIN)
        self._is_greeted, self._mask = False, 0
        self._unsent += self._greeting.data_to_send()
        self._watch()

    def call(self, target: Target, content: Content = NOTHING) -> int:
        """Ask; returns the serial that the answer will name."""
        return self.write(lambda serial: write_call(target, content, serial))

    def write(self, written: Callable[[int], bytes]) -> int:
        """Send what `written` makes of its serial; returns that."""
        self._serial = self._serial % 0xFFFFFFFF + 1
        self._unsent += written(self._serial)
        self._send()
        return self._serial

    def close(self) -> None:
        """Disconnect. May be called twice."""
        connected, self._socket = self._socket, None
        if connected is not None:
            self._tk.deletefilehandler(connected.fileno())
            connected.close()

    def _watch(self) -> None:
        mask = _READABLE | (_WRITABLE if self._unsent else 0)
        if self._socket is not None and mask != self._mask:
            self._mask = mask
            self._tk.createfilehandler(self._socket.fileno(), mask, self._on_ready)

    def _on_ready(self, _fd: object, mask: int) -> None:
        if mask & _WRITABLE:
            self._send()
        if mask & _READABLE and self._socket is not None:
            try:
                content = self._socket.recv(READ_BYTES)
                if not content:
                    raise ConnectionResetError("the bus ended")
                self._take(content)
            except BlockingIOError:
                return
            except self._failures as exc:
                self._lose(exc)

    def _take(self, content: bytes) -> None:
        if not self._is_greeted:
            self._greeting.feed(content)
            if self._greeting.authenticated:
                self._is_greeted = True
                self._unsent += self._begin
                self.call(Target(BUS, BUS_PATH, BUS, "Hello"))
                self._calls.connected()
            return
        for frame in self._frames.feed(content):
            message = read_message(frame)
            if message is not None and self._socket is not None:
                self._calls.came(message)

    def _send(self) -> None:
        try:
            while self._unsent and self._socket is not None:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError as exc:
            self._lose(exc)
        if len(self._unsent) > UNSENT_LIMIT_BYTES:
            self._lose(OSError("the bus takes nothing"))
        self._watch()

    def _lose(self, exc: Exception) -> None:
        if self._socket is not None:
            log.info("session_bus.lost", detail=repr(exc)[:200])
            self.close()
            self._calls.lost()


def _connected(address: str) -> socket.socket:
    library: Any = import_module("jeepney.bus")
    try:
        place = next(library.get_connectable_addresses(address))
    except (RuntimeError, StopIteration):
        raise ValueError("no Unix socket in the session bus's address") from None
    connected = socket.socket(socket.AF_UNIX)
    connected.setblocking(False)
    with contextlib.ExitStack() as stack:
        stack.callback(connected.close)
        connected.connect(place)
        stack.pop_all()
    return connected
