"""One session as a hostile relay holds it in its hands, and which of its frames an attack is meant for."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from cryptography import x509
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from protocol.ids import SessionId
from protocol.messages import control
from tests.support.hostile_middle import Direction, Middle

WAIT_S = 15.0
# RFC 8446, 4.2.1 and 4.2.7: the only version in a client's list, and the number of X25519MLKEM768
TLS_1_3_OFFERED, TLS_1_2_OFFERED = bytes.fromhex("002b0003020304"), bytes.fromhex("002b0003020303")
HYBRID_GROUP, RESERVED_GROUP = bytes.fromhex("11ec"), bytes.fromhex("0a0a")


@dataclass(eq=False)
class AttackedSession:
    """Both sockets of a session, and every frame that came from either, as it came."""

    session_id: SessionId
    technician: ServerConnection | None = None  # the control link of who asked for it
    is_alone: bool = False  # the relay itself is the technician's end
    middle: Middle | None = None
    frames: dict[Direction, list[bytes]] = field(default_factory=lambda: {each: [] for each in Direction})
    device_came: asyncio.Event = field(default_factory=asyncio.Event)
    is_paired: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: asyncio.Event = field(default_factory=asyncio.Event)
    _sockets: dict[Direction, ServerConnection] = field(default_factory=dict)

    def ticket(self, toward: Direction) -> bytes:
        """The ticket of the end that frames of this direction go to."""
        return f"{self.session_id} {toward}".encode()

    async def join(self, toward: Direction, socket: ServerConnection) -> None:
        """This end came; returns when both are there and were told so."""
        self._sockets[toward] = socket
        if toward is Direction.TO_DEVICE:
            self.device_came.set()
        is_complete = self.is_alone or len(self._sockets) == len(Direction)
        if is_complete:
            for each in self._sockets.values():
                await each.send(control.FROM_WORKER_CODEC.encode(control.Paired(self.session_id)))
            self.is_paired.set()
        await self.is_paired.wait()

    async def send(self, direction: Direction, content: bytes) -> None:
        """Send to one end, unless it is gone."""
        socket = self._sockets.get(direction)
        if socket is not None:
            with contextlib.suppress(ConnectionClosed):
                await socket.send(content)

    async def send_all(self, frames: Iterable[tuple[Direction, bytes]]) -> None:
        """Send these, in order."""
        for direction, content in frames:
            await self.send(direction, content)

    async def cut(self) -> None:
        """Close both sockets without a word."""
        self.is_over.set()
        for socket in list(self._sockets.values()):
            await socket.close()

    def has_heard(self, direction: Direction) -> int:
        """How many bytes came that go this way."""
        return sum(map(len, self.frames[direction]))


@dataclass(frozen=True, eq=False)
class Frame:
    """One message of a session socket: mostly one TLS record, in the handshake one flight of them."""

    session: AttackedSession
    direction: Direction
    number: int
    content: bytes


Which: TypeAlias = Callable[[Frame], bool]


class Struck:
    """Whether an attack has happened yet; `frame` is the one that it hit."""

    def __init__(self) -> None:
        self.frame: Frame | None = None
        self._done = asyncio.Event()

    def note(self, frame: Frame) -> None:
        """It happened."""
        self.frame = frame
        self._done.set()

    async def happened(self) -> None:
        """Wait for it; a test without it has shown nothing."""
        async with asyncio.timeout(WAIT_S):
            await self._done.wait()


def large(direction: Direction, at_least_bytes: int = 1500) -> Which:
    """Frames of this direction that are no heartbeat: a relay can tell by their size."""
    return lambda frame: frame.direction is direction and len(frame.content) >= at_least_bytes


def numbered(direction: Direction, number: int) -> Which:
    """The frame of this number; 0 and 1 are the technician's handshake, 0 is the device's."""
    return lambda frame: frame.direction is direction and frame.number == number


def everything(frame: Frame) -> bool:
    """Every frame."""
    return True


def going(direction: Direction) -> Which:
    """Every frame of this direction."""
    return lambda frame: frame.direction is direction


def stripped_hello(frame: Frame) -> list[bytes] | None:
    """A client's hello without TLS 1.3 and the post-quantum group; lengths stay, so nothing else breaks."""
    if frame.direction is not Direction.TO_DEVICE or frame.number:
        return None
    stripped = frame.content.replace(TLS_1_3_OFFERED, TLS_1_2_OFFERED).replace(HYBRID_GROUP, RESERVED_GROUP)
    assert stripped != frame.content
    return [stripped]


def subject_of(leaf_der: bytes) -> tuple[str, str, str]:
    """Organisation, role and id that a certificate claims; nothing is verified."""
    names = x509.load_der_x509_certificate(leaf_der).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    [uri] = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    organisation_id, role, subject = uri.removeprefix("alongside://").split("/")
    return organisation_id, role, subject
