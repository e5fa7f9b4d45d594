"""The outputs of a Wayland compositor, from its own socket: names, places, modes, and when they change.

The wire format and `wl_output` are those of the Wayland protocol specification, appendix A ("Wayland Protocol
Specification", wayland.xml, version 4 of wl_output). Nothing else is asked for.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.platform.interfaces import Area, DisplayArea
from protocol.errors import BackendUnavailable
from protocol.limits import DISPLAY_LIMIT

ANSWER_TIMEOUT_S = 5.0
RECEIVE_BYTES = 1 << 16
MESSAGE_LIMIT_BYTES = 1 << 12
OUTPUT_VERSION = 4
CURRENT_MODE = 1
DISPLAY_ID, REGISTRY_ID, SYNC_ID, FIRST_FREE_ID = 1, 2, 3, 4


@dataclass(slots=True)
class _Output:
    """What `wl_output` has said so far. Turned by a quarter if `transform` is odd."""

    name: str
    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0
    transform: int = 0
    scale: int = 1

    def area(self) -> Area:
        width, height = (self.height, self.width) if self.transform % 2 else (self.width, self.height)
        return Area(self.x, self.y, width, height)


def socket_path(display: str, runtime_folder: str) -> str:
    """Where WAYLAND_DISPLAY points to (libwayland's rule: a name lies in XDG_RUNTIME_DIR)."""
    return str(Path(runtime_folder, display))


class OutputWatch:
    """A client that only listens. `fileno` becomes readable when `changed` may have something to say."""

    def __init__(self, path: str) -> None:
        """Raises BackendUnavailable if no compositor answers there."""
        self._outputs: dict[int, _Output] = {}
        self._objects: dict[int, int] = {}
        self._next_id = FIRST_FREE_ID
        self._received = b""
        self._is_synchronised = self._is_changed = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(ANSWER_TIMEOUT_S)
        try:
            self._socket.connect(path)
            self._send(DISPLAY_ID, 1, struct.pack("=I", REGISTRY_ID))
            # the first answer brings the list of globals, the second what they are
            for _ in range(2):
                self._synchronise()
        except OSError as exc:
            self._socket.close()
            raise BackendUnavailable(
                f"no Wayland compositor answers at {path} ({exc}); "
                "start the agent inside the person's session"
            ) from exc
        except BaseException:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        self._is_changed = False

    def fileno(self) -> int:
        """The socket, to be waited for."""
        return self._socket.fileno()

    def displays(self) -> tuple[DisplayArea, ...]:
        """In the compositor's order, physical pixels; places are the compositor's own, logical ones."""
        shown = [one for one in self._outputs.values() if one.width > 0 and one.height > 0]
        return tuple(DisplayArea(one.name, one.area(), float(one.scale)) for one in shown[:DISPLAY_LIMIT])

    def changed(self) -> bool:
        """Whether an output came, went or is another since the last call; never waits.

        Raises:
            BackendUnavailable: the compositor ended.
        """
        try:
            while True:
                self._receive()
        except (BlockingIOError, TimeoutError):
            pass
        except OSError as exc:
            raise BackendUnavailable(f"the Wayland compositor stopped answering ({exc})") from exc
        changed, self._is_changed = self._is_changed, False
        return changed

    def close(self) -> None:
        """May be called twice."""
        self._socket.close()

    def _synchronise(self) -> None:
        self._is_synchronised = False
        self._send(DISPLAY_ID, 0, struct.pack("=I", SYNC_ID))
        while not self._is_synchronised:
            self._receive()

    def _send(self, sender: int, opcode: int, arguments: bytes) -> None:
        self._socket.sendall(struct.pack("=II", sender, (len(arguments) + 8) << 16 | opcode) + arguments)

    def _receive(self) -> None:
        content = self._socket.recv(RECEIVE_BYTES)
        if not content:
            raise BackendUnavailable("the Wayland compositor ended")
        self._received += content
        for sender, opcode, arguments in self._messages():
            self._take(sender, opcode, arguments)

    def _messages(self) -> Iterator[tuple[int, int, bytes]]:
        while len(self._received) >= 8:
            sender, word = struct.unpack_from("=II", self._received)
            size = word >> 16
            if not 8 <= size <= MESSAGE_LIMIT_BYTES:
                raise BackendUnavailable("the Wayland compositor sent what is no message")
            if len(self._received) < size:
                return
            arguments, self._received = self._received[8:size], self._received[size:]
            yield sender, word & 0xFFFF, arguments

    def _take(self, sender: int, opcode: int, arguments: bytes) -> None:
        match sender, opcode:
            case (1, 0):
                raise BackendUnavailable("the Wayland compositor refused us")
            case (2, 0):
                self._global(arguments)
            case (2, 1):
                self._gone(*struct.unpack_from("=I", arguments))
            case (3, 0):
                self._is_synchronised = True
            case _ if sender in self._objects:
                self._output_said(self._outputs[self._objects[sender]], opcode, arguments)

    def _global(self, arguments: bytes) -> None:
        (name,) = struct.unpack_from("=I", arguments)
        interface, offset = _string(arguments, 4)
        if interface != "wl_output":
            return
        version = min(OUTPUT_VERSION, *struct.unpack_from("=I", arguments, offset))
        number, self._next_id = self._next_id, self._next_id + 1
        self._outputs[name] = _Output(f"output {len(self._outputs) + 1}")
        self._objects[number] = name
        self._send(REGISTRY_ID, 0, struct.pack("=I", name) + _packed("wl_output")
                   + struct.pack("=II", version, number))  # fmt: skip

    def _gone(self, name: int) -> None:
        if self._outputs.pop(name, None) is not None:
            self._objects = {number: other for number, other in self._objects.items() if other != name}
            self._is_changed = True

    def _output_said(self, output: _Output, opcode: int, arguments: bytes) -> None:
        match opcode:
            case 0:
                output.x, output.y = struct.unpack_from("=ii", arguments)
                (output.transform,) = struct.unpack("=i", arguments[-4:])
            case 1:
                flags, width, height = struct.unpack_from("=Iii", arguments)
                if flags & CURRENT_MODE:
                    output.width, output.height = width, height
            case 2:
                self._is_changed = True
            case 3:
                (output.scale,) = struct.unpack_from("=i", arguments)
            case 4:
                output.name = _string(arguments, 0)[0][:64]


def _string(arguments: bytes, offset: int) -> tuple[str, int]:
    """Length with the final zero, bytes, filled up to four; and where the next argument is."""
    (length,) = struct.unpack_from("=I", arguments, offset)
    start = offset + 4
    text = arguments[start : start + max(0, length - 1)].decode("utf-8", "replace")
    return text, start + (length + 3) // 4 * 4


def _packed(text: str) -> bytes:
    raw = text.encode() + b"\0"
    return struct.pack("=I", len(raw)) + raw + b"\0" * (-len(raw) % 4)
