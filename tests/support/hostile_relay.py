"""A relay that attacks: a real WebSocket server that speaks the relay's protocol and breaks all its promises.

It holds what a thief of a relay holds: the organisation's public root, the relay's id, its TLS key, its rows
and policies. It lets everybody in, hears every byte, and has one method for each attack. An attack that
aims at a frame takes a `Which` and returns a `Struck`, so that a test can know that it really happened.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from protocol.errors import PeerViolation
from protocol.identity import Identity
from protocol.ids import SessionId, new_session_id
from protocol.limits import CONTROL_MESSAGE_LIMIT_BYTES, LINK_HEARTBEAT_S, NONCE_BYTES
from protocol.messages import control
from protocol.messages.presence import DeviceList, DeviceRow, PresenceChanged
from protocol.version import PROTOCOL_VERSION
from tests.support.canaries import Overheard
from tests.support.hostile_middle import Direction, Middle
from tests.support.hostile_sessions import (
    AttackedSession,
    Frame,
    Struck,
    Which,
    stripped_hello,
    subject_of,
)

RELAY_ID = "relay-1"
SESSION_PATH = "/v1/session"
WAIT_S = 15.0

OnFrame = Callable[[Frame], list[bytes] | None]


@dataclass
class Lies:
    """What it says that is not so; every member is off at first."""

    present: dict[str, bool] = field(default_factory=dict)
    rows: dict[str, DeviceRow] = field(default_factory=dict)
    route_to: dict[str, str] = field(default_factory=dict)
    is_hiding_failures: bool = False
    version: int = PROTOCOL_VERSION
    ready_session: SessionId | None = None
    route: control.SessionRoute = field(default_factory=lambda: control.SessionRoute(0, SESSION_PATH))


class HostileRelay:
    """Use as `async with`. `on_frame` decides what comes of each frame; the attacks are built upon it."""

    def __init__(self, *, port: int = 0, relay_id: str = RELAY_ID, tls: ssl.SSLContext | None = None) -> None:
        self.relay_id = relay_id
        self.port = port
        self.heartbeat_s = LINK_HEARTBEAT_S
        self.policy: tuple[int, bytes] | None = None
        self.overheard = Overheard()
        self.lies = Lies()
        self.rows: dict[str, DeviceRow] = {}
        self.links: dict[str, ServerConnection] = {}
        self.sessions: list[AttackedSession] = []
        self.declined: list[control.SessionDeclined] = []
        self.middle: tuple[Identity, Identity] | None = None
        self._tls = tls
        self._attacks: list[OnFrame] = []
        self._held: list[tuple[AttackedSession, Direction, bytes]] = []
        self._holding: list[Which] = []
        self._server: Server | None = None
        self._copies: set[asyncio.Task[None]] = set()
        self._handlers: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            ssl=self._tls,
            compression=None,
            max_size=CONTROL_MESSAGE_LIMIT_BYTES,
            ping_interval=None,
            close_timeout=0.2,
        )
        [listener] = self._server.sockets
        self.port = int(listener.getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        for task in self._copies:
            task.cancel()
        await asyncio.gather(*self._copies, return_exceptions=True)
        self._server.close()
        for handler in self._handlers:
            handler.cancel()  # it may wait for an end that never comes
        await self._server.wait_closed()

    # -- one method for each attack ----------------------------------------------------------------

    def on_frame(self, frame: Frame) -> list[bytes]:
        """What is sent on instead of this frame, in order."""
        for attack in self._attacks:
            instead = attack(frame)
            if instead is not None:
                return instead
        return [frame.content]

    def drop(self, which: Which) -> Struck:
        """Leave out one frame."""
        return self._once(which, lambda frame: [])

    def duplicate(self, which: Which) -> Struck:
        """Send one frame twice."""
        return self._once(which, lambda frame: [frame.content, frame.content])

    def replay(self, which: Which) -> Struck:
        """After one frame, send the one before it again."""
        return self._once(
            which, lambda frame: [frame.content, frame.session.frames[frame.direction][frame.number - 1]]
        )

    def reorder(self, which: Which) -> Struck:
        """Swap one frame with the next one of its direction."""
        waiting: list[Frame] = []

        def swap(frame: Frame) -> list[bytes] | None:
            if waiting and frame.direction is waiting[0].direction and frame is not waiting[0]:
                self._attacks.remove(swap)
                struck.note(frame)
                return [frame.content, waiting[0].content]
            if not waiting and which(frame):
                waiting.append(frame)
                return []
            return None

        struck = Struck()
        self._attacks.append(swap)
        return struck

    def inject(self, which: Which, made_up: bytes) -> Struck:
        """Send bytes of its own before one frame."""
        return self._once(which, lambda frame: [made_up, frame.content])

    def flip(self, which: Which, bit: int) -> Struck:
        """Turn over one bit of one frame; counted from the end where it is negative."""

        def flipped(frame: Frame) -> list[bytes]:
            changed = bytearray(frame.content)
            at = bit % (8 * len(changed))
            changed[at // 8] ^= 1 << at % 8
            return [bytes(changed)]

        return self._once(which, flipped)

    def truncate(self, which: Which, left_bytes: int) -> Struck:
        """Send only the first bytes of one frame (all but the last where negative), and cut both links."""

        def cut(frame: Frame) -> list[bytes]:
            self._later(frame.session.cut())
            return [frame.content[:left_bytes]]

        struck = self._once(which, cut)

        def nothing_after(frame: Frame) -> list[bytes] | None:
            # what came in while the links are being cut would be read as the rest of the short frame
            is_after = struck.frame is not None and frame.session is struck.frame.session
            return [] if is_after else None

        self._attacks.append(nothing_after)
        return struck

    def splice(self, which: Which, other: AttackedSession) -> Struck:
        """Send the newest frame of another session instead of this one."""
        return self._once(which, lambda frame: [other.frames[frame.direction][-1]])

    def reflect(self, which: Which) -> Struck:
        """Send one frame back to where it came from, instead of on."""

        def back(frame: Frame) -> list[bytes]:
            self._later(frame.session.send(frame.direction.back, frame.content))
            return []

        return self._once(which, back)

    def hold(self, which: Which) -> None:
        """Keep every such frame, while links and WebSocket pings are answered as if all were well."""
        self._holding.append(which)

    async def release(self) -> int:
        """Send what was held, all at once; how many frames that was."""
        self._holding.clear()
        held, self._held = self._held, []
        for session, direction, content in held:
            await session.send(direction, content)
        return len(held)

    def swap_peers(self, asked_for: str, reached: str) -> None:
        """Who asks for one device reaches the other."""
        self.lies.route_to[asked_for] = reached

    def splice_session_ids(self) -> None:
        """The two ends of a session are given different ids of it."""
        self.lies.ready_session = new_session_id()

    def substitute_certificates(self, *, as_device: Identity, as_technician: Identity) -> None:
        """Be the other end for both, with these identities."""
        self.middle = (as_device, as_technician)

    async def lie_about_presence(self, row: DeviceRow, *, is_present: bool) -> None:
        """Say that a device is there or not, and is called so; tell everybody unasked."""
        lie = replace_row(row, is_present=is_present)
        self.lies.rows[row.device_id] = lie
        self.lies.present[row.device_id] = is_present
        for subject, link in list(self.links.items()):
            if not subject.startswith("d-"):
                await self._post(link, PresenceChanged(lie))

    def hide_failures(self) -> None:
        """No end hears that the other one is gone, or that it declined."""
        self.lies.is_hiding_failures = True

    def strip_versions(self, *, control_version: int | None = None) -> None:
        """Take TLS 1.3 and the post-quantum group out of every hello; or offer another version of our own."""
        if control_version is not None:
            self.lies.version = control_version
        else:
            self._attacks.append(stripped_hello)

    async def fan_out(self, device_id: str, original: AttackedSession) -> AttackedSession:
        """Offer the device another session, in which it hears all that the first one's technician says."""
        copy = await self.offer(device_id)

        def copied(frame: Frame) -> list[bytes] | None:
            if frame.session is original and frame.direction is Direction.TO_DEVICE:
                self._later(copy.send(Direction.TO_DEVICE, frame.content))
            return None

        self._attacks.append(copied)
        for content in original.frames[Direction.TO_DEVICE]:
            await copy.send(Direction.TO_DEVICE, content)
        return copy

    async def replay_session(self, device_id: str, recorded: AttackedSession) -> AttackedSession:
        """Play a whole recorded technician to the device, frame by frame; returns when all was sent."""
        again = await self.offer(device_id)
        for content in recorded.frames[Direction.TO_DEVICE]:
            await again.send(Direction.TO_DEVICE, content)
            await asyncio.sleep(0.01)  # a replay at the device's own pace, between its answers
        return again

    async def offer(self, device_id: str) -> AttackedSession:
        """Offer the device a session of which this relay is the other end; returns when it came."""
        session = self._new_session()
        session.is_alone = True
        offer = control.SessionOffered(
            session.session_id, self.lies.route, session.ticket(Direction.TO_DEVICE)
        )
        await self._post(self.links[device_id], offer)
        async with asyncio.timeout(WAIT_S):
            await session.device_came.wait()
        return session

    # -- what every relay does ---------------------------------------------------------------------

    def _once(self, which: Which, act: Callable[[Frame], list[bytes]]) -> Struck:
        struck = Struck()

        def attack(frame: Frame) -> list[bytes] | None:
            if struck.frame is not None or not which(frame):
                return None
            struck.note(frame)
            return act(frame)

        self._attacks.append(attack)
        return struck

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._copies.add(task)
        task.add_done_callback(self._copies.discard)

    async def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.overheard.add("request", str(connection.request.headers).encode())
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        try:
            with contextlib.suppress(ConnectionClosed):
                if connection.request.path == SESSION_PATH:
                    await self._session(connection)
                else:
                    await self._control(connection)
        finally:
            self._handlers.discard(handler)

    async def _control(self, connection: ServerConnection) -> None:
        await self._post(connection, control.Challenge(self.lies.version, b"n" * NONCE_BYTES, self.relay_id))
        message = control.PRE_LOGIN_CODEC.decode(await self._heard(connection, "control"))
        organisation_id, role, subject = subject_of(message.chain[0])
        self.links[subject] = connection
        status = "approved" if role == "device" else ""
        await self._post(
            connection, control.Welcome(organisation_id, subject, role, self.heartbeat_s, status)
        )
        if self.policy is not None:
            await self._post(connection, control.PolicyPublished(*self.policy))
        try:
            while True:
                heard = await self._heard(connection, "control")
                await self._answer(connection, subject, control.FROM_CLIENT_CODEC.decode(heard))
        finally:
            if self.links.get(subject) is connection:
                del self.links[subject]

    async def _heard(self, connection: ServerConnection, stream: str) -> bytes:
        message = await connection.recv(decode=False)
        self.overheard.add(stream, message)
        return message

    async def _post(self, connection: ServerConnection, message: control.FromRelay) -> None:
        await connection.send(control.FROM_RELAY_CODEC.encode(message))

    async def _answer(self, link: ServerConnection, subject: str, message: control.FromClient) -> None:
        match message:
            case control.DeviceFacts(name, platform):
                self.rows[subject] = DeviceRow(subject, name, "default", platform, "approved", True, "", "")
            case control.ListDevices(number):
                await self._post(link, DeviceList(number, [*(self.rows | self.lies.rows).values()]))
            case control.OpenSession(number, device_id):
                await self._open(link, number, device_id)
            case control.SessionDeclined():
                self.declined.append(message)
                if not self.lies.is_hiding_failures:
                    for session in self.sessions:
                        if session.session_id == message.session_id and session.technician is not None:
                            await self._post(session.technician, message)
            case control.Ping(number):
                await self._post(link, control.Pong(number))
            case _:
                pass

    async def _open(self, link: ServerConnection, number: int, device_id: str) -> None:
        reached = self.lies.route_to.get(device_id, device_id)
        if not self.lies.present.get(device_id, reached in self.links):
            await self._post(link, control.Refused(number, "E_DEVICE_AWAY"))
            return
        session = self._new_session()
        session.technician = link
        route, session_id = self.lies.route, session.session_id
        if reached in self.links:
            offer = control.SessionOffered(session_id, route, session.ticket(Direction.TO_DEVICE))
            await self._post(self.links[reached], offer)
        told_id = self.lies.ready_session or session_id
        ticket = session.ticket(Direction.TO_TECHNICIAN)
        await self._post(link, control.SessionOpened(number, told_id, route, ticket))

    def _new_session(self) -> AttackedSession:
        session = AttackedSession(new_session_id())
        if self.middle is not None:
            session.middle = Middle(*self.middle)
        self.sessions.append(session)
        return session

    async def _session(self, connection: ServerConnection) -> None:
        ticket = await self._heard(connection, "ticket")
        number, _, side = ticket.decode().partition(" ")
        session = next(one for one in self.sessions if one.session_id == number)
        toward = Direction(side)
        await session.join(toward, connection)
        try:
            if session.middle is not None:
                await session.send_all(session.middle.start())
            async for message in connection:
                assert isinstance(message, bytes)
                await self._pass_on(session, toward.back, message)
        finally:
            if not self.lies.is_hiding_failures:
                await session.cut()

    async def _pass_on(self, session: AttackedSession, direction: Direction, content: bytes) -> None:
        self.overheard.add(f"{session.session_id} {direction}", content)
        frames = session.frames[direction]
        frame = Frame(session, direction, len(frames), content)
        frames.append(content)
        if session.middle is not None:
            with contextlib.suppress(PeerViolation):
                await session.send_all(session.middle.take(direction, content))
            return
        if any(which(frame) for which in self._holding):
            self._held.append((session, direction, content))
            return
        for instead in self.on_frame(frame):
            await session.send(direction, instead)


def replace_row(row: DeviceRow, **changes: object) -> DeviceRow:
    """The row with other members."""
    return type(row)(**{name: getattr(row, name) for name in row.__struct_fields__} | changes)
