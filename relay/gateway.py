"""The WebSocket `/v1/control`: challenge, log-in, then messages in both directions."""

import asyncio
import contextlib
import ipaddress
import secrets
import time
from collections import deque
from datetime import UTC, datetime

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from protocol.certificates import Role, VerifiedPeer
from protocol.errors import EnvironmentFault, ErrorCode, PeerViolation, Refused, SupportError, Unreachable
from protocol.ids import OrganisationId
from protocol.limits import (
    CONTROL_MESSAGE_LIMIT_BYTES,
    LINK_HEARTBEAT_S,
    LINK_SILENCE_LIMIT_S,
    LOGIN_TIMEOUT_S,
    NONCE_BYTES,
    VISITORS_LIMIT,
)
from protocol.messages.control import (
    FROM_CLIENT_CODEC,
    FROM_RELAY_CODEC,
    PRE_LOGIN_CODEC,
    Challenge,
    FromRelay,
    LogIn,
    Ping,
    Succeed,
    Visit,
    Welcome,
)
from protocol.messages.control import Refused as RefusedMessage
from protocol.version import PROTOCOL_VERSION
from relay.intake import Intake
from relay.presence import Presence
from relay.ratelimit import FAILED_LOGIN_COST, LOGIN_COST, LOGIN_RATE, VISIT_RATE, Pace, RateLimit
from relay.registry import Admitted, Registry, Visitor
from relay.requests import RequestDesk

_LOG = structlog.get_logger()
_OUTBOX_LIMIT_BYTES = 4 * CONTROL_MESSAGE_LIMIT_BYTES
_FLUSH_TIMEOUT_S = 2.0
_JUDGED_WITHIN_S = LOGIN_TIMEOUT_S - 2.0
# the others wait in line: what was begun for somebody who gives up meanwhile is lost for everybody, and when
# a whole fleet comes back all of it would be (aiosqlite does what nobody waits for any more)
_JUDGED_AT_ONCE = 8
_PING_AFTER_S = 1.5 * LINK_HEARTBEAT_S  # who pings by itself is asked nothing: half of an idle link's traffic
_IPV6_CUSTOMER_BITS = 64
_KEEPING_ALIVE = frozenset({WSMsgType.PING, WSMsgType.PONG})
_NO_MESSAGE = _KEEPING_ALIVE | {WSMsgType.TEXT}


class ControlLink:
    """Implements `relay.links.Link` over one WebSocket; `pump` sends what was posted."""

    def __init__(self, socket: web.WebSocketResponse, peer: VerifiedPeer | Visitor, address: str) -> None:
        self._socket = socket
        self._peer = peer
        self._address = address
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._is_ending = False
        self._wake = asyncio.Event()

    @property
    def organisation_id(self) -> OrganisationId:
        """See `Link`."""
        return self._peer.organisation_id

    @property
    def subject_id(self) -> str:
        """See `Link`."""
        return self._peer.subject_id

    @property
    def role(self) -> Role:
        """See `Link`."""
        return self._peer.role

    @property
    def is_visitor(self) -> bool:
        """See `Link`."""
        return isinstance(self._peer, Visitor)

    @property
    def source(self) -> str:
        """See `Link`."""
        return self._address if self.is_visitor else f"{self.organisation_id}/{self.subject_id}"

    @property
    def is_ending(self) -> bool:
        """Whether the link is to close after what is posted was sent."""
        return self._is_ending

    def post(self, message: FromRelay) -> None:
        """See `Link`."""
        if self._is_ending:
            return
        encoded = FROM_RELAY_CODEC.encode(message)
        self._outbox_bytes += len(encoded)
        if self._outbox_bytes > _OUTBOX_LIMIT_BYTES:
            _LOG.warning("link.too_slow", subject=self.subject_id, role=self.role.value)
            self._outbox.clear()
            self.end()
            return
        self._outbox.append(encoded)
        self._wake.set()

    def refuse(self, request_no: int, code: ErrorCode) -> None:
        """See `Link`."""
        self.post(RefusedMessage(request_no, code))
        if request_no == 0:
            self.end()

    def end(self) -> None:
        """Close after what is posted was sent."""
        self._is_ending = True
        self._wake.set()

    async def pump(self) -> None:
        """Send what is posted until the link ends."""
        with contextlib.suppress(ConnectionError):
            while True:
                while self._outbox:
                    encoded = self._outbox.popleft()
                    self._outbox_bytes -= len(encoded)
                    await self._socket.send_bytes(encoded)
                if self._is_ending:
                    await self._socket.close()
                    return
                self._wake.clear()
                await self._wake.wait()


class Gateway:
    """Serves every control link of this relay."""

    def __init__(
        self, registry: Registry, desk: RequestDesk, presence: Presence, *, behind_proxy: bool
    ) -> None:
        self._registry = registry
        self._desk = desk
        self._presence = presence
        self._behind_proxy = behind_proxy
        self._login_rate = RateLimit(LOGIN_RATE)
        self._judging = asyncio.Semaphore(_JUDGED_AT_ONCE)
        self._visit_rate = RateLimit(VISIT_RATE)
        self._visitors = 0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One connection, from the challenge to its end."""
        socket = web.WebSocketResponse(
            compress=False,
            max_msg_size=CONTROL_MESSAGE_LIMIT_BYTES + 1,  # aiohttp refuses what is as large as its limit
            autoclose=True,
            autoping=False,  # whoever has not logged in gets no answers to thousands of pings
            timeout=_FLUSH_TIMEOUT_S,
        )
        await socket.prepare(request)
        try:
            admitted = await self._admit(request, socket)
        except SupportError as exc:
            await _refuse(socket, exc.code)
            if isinstance(exc, PeerViolation) and request.transport is not None:
                _hang_up(request.transport)
            if (intake := _intake(request)) is not None:
                intake.go_on()  # to its own end of the connection
            if not isinstance(exc, PeerViolation):
                await socket.close()
            return socket
        except (ConnectionError, TimeoutError):
            await socket.close()
            return socket
        if (intake := _intake(request)) is not None:
            intake.lift()
        await self._serve_link(request, socket, admitted)
        return socket

    def drain(self) -> None:
        """The relay stops: every link is closed after what is posted was sent."""
        for link in self._presence.everybody():
            link.end()

    async def _admit(self, request: web.Request, socket: web.WebSocketResponse) -> Admitted:
        address = _address(request, behind_proxy=self._behind_proxy)
        try:
            nonce = secrets.token_bytes(NONCE_BYTES)
            async with asyncio.timeout(LOGIN_TIMEOUT_S):
                encoded = await self._challenge(socket, nonce)
            if (intake := _intake(request)) is not None:
                intake.hold()
            return await self._judge_in_time(encoded, nonce, address)
        except SupportError as exc:
            if exc.code is not ErrorCode.E_RATE and not isinstance(exc, EnvironmentFault):  # that is our own
                self._login_rate.charge(address, time.monotonic(), FAILED_LOGIN_COST)
            _LOG.warning("login.refused", address=address, code=exc.code.value, detail=exc.detail[:200])
            raise

    async def _challenge(self, socket: web.WebSocketResponse, nonce: bytes) -> bytes:
        challenge = Challenge(PROTOCOL_VERSION, nonce, self._registry.relay_id)
        await socket.send_bytes(FROM_RELAY_CODEC.encode(challenge))
        return await _receive(socket, may_ping=False)

    async def _judge_in_time(self, encoded: bytes, nonce: bytes, address: str) -> Admitted:
        """Who waits longer has gone: a database that does not answer is said while somebody listens."""
        try:
            async with asyncio.timeout(_JUDGED_WITHIN_S):
                return await self._judge(encoded, nonce, address)
        except TimeoutError:
            raise EnvironmentFault("it does not answer", code=ErrorCode.E_RELAY_STORE) from None

    async def _judge(self, encoded: bytes, nonce: bytes, address: str) -> Admitted:
        if not self._login_rate.take(address, time.monotonic(), LOGIN_COST):
            raise Refused("too many log-ins", code=ErrorCode.E_RATE)
        message = PRE_LOGIN_CODEC.decode(encoded)
        now = datetime.now(UTC)
        if isinstance(message, Visit):
            return self._visit(message, address)
        if isinstance(message, LogIn):
            async with self._judging:
                return await self._registry.log_in(message, nonce, now)
        if isinstance(message, Succeed):
            admitted = await self._registry.succeed(message, nonce, now)
            _LOG.info("root.succeeded", organisation_id=admitted.peer.organisation_id)
            await self._desk.tell_successors(admitted.peer.organisation_id)
            return admitted
        admitted = await self._registry.claim(message, nonce, now)
        _LOG.info("relay.claimed", organisation_id=admitted.peer.organisation_id)
        return admitted

    def _visit(self, message: Visit, address: str) -> Admitted:
        if not self._visit_rate.take(address, time.monotonic()):
            raise Refused("too many visits", code=ErrorCode.E_RATE)
        if self._visitors >= VISITORS_LIMIT:
            raise Refused("too many visitors", code=ErrorCode.E_BUSY)
        return self._registry.visit(message)

    async def _serve_link(
        self, request: web.Request, socket: web.WebSocketResponse, admitted: Admitted
    ) -> None:
        peer = admitted.peer
        link = ControlLink(socket, peer, _address(request, behind_proxy=self._behind_proxy))
        self._visitors += link.is_visitor
        link.post(_welcome(admitted))
        older = self._presence.arrived(link)
        if older is not None:
            older.refuse(0, ErrorCode.E_BUSY)
        log = _LOG.bind(organisation_id=peer.organisation_id, role=peer.role.value, subject=peer.subject_id)
        log.info("link.opened", status=admitted.status)
        pump = asyncio.create_task(link.pump())
        try:
            await self._desk.welcome(link)
            await self._listen(link, socket)
        except SupportError as exc:
            log.warning("link.ended", code=exc.code.value, detail=exc.detail)
            if not isinstance(exc, Unreachable):
                link.refuse(0, exc.code)
        finally:
            self._visitors -= link.is_visitor
            is_away = self._presence.left(link)
            self._desk.gone(link)
            link.end()
            if is_away and not link.is_visitor:
                await self._say_farewell(link)
            await _finish(request, pump)
            log.info("link.closed")

    async def _listen(self, link: ControlLink, socket: web.WebSocketResponse) -> None:
        heard_at_s = pinged_at_s = time.monotonic()
        ping_no = 0
        pace = Pace()
        while not link.is_ending:
            silent_at_s = heard_at_s + LINK_SILENCE_LIMIT_S
            quiet_since_s = max(heard_at_s, pinged_at_s)
            wait_s = min(quiet_since_s + _PING_AFTER_S, silent_at_s) - time.monotonic()
            try:
                message = FROM_CLIENT_CODEC.decode(await _receive(socket, max(0.01, wait_s)))
            except TimeoutError:
                pinged_at_s = time.monotonic()
                if pinged_at_s >= silent_at_s:
                    raise Unreachable("silent", code=ErrorCode.E_PEER_SILENT) from None
                ping_no += 1
                link.post(Ping(ping_no))
                continue
            heard_at_s = time.monotonic()
            await self._desk.handle(link, message)
            # at least a turn of the event loop, whatever is in the buffer already
            await asyncio.sleep(pace.wait_s(heard_at_s))

    async def _say_farewell(self, link: ControlLink) -> None:
        try:
            await self._desk.farewell(link)
        except SupportError as exc:
            _LOG.warning("store.failed", code=exc.code.value, detail=exc.detail)


def _welcome(admitted: Admitted) -> Welcome:
    peer = admitted.peer
    return Welcome(peer.organisation_id, peer.subject_id, peer.role.value, LINK_HEARTBEAT_S, admitted.status)


async def _receive(
    socket: web.WebSocketResponse, timeout_s: float | None = None, *, may_ping: bool = True
) -> bytes:
    """The next binary message; WebSocket pings before it are answered.

    Raises:
        PeerViolation: E_MESSAGE_SIZE, E_MESSAGE_FORMAT.
        Unreachable: E_LINK_LOST, the socket is closed.
        TimeoutError: nothing came in time.
    """
    async with asyncio.timeout(timeout_s):  # not receive's own timeout: a WebSocket ping would restart it
        message = await socket.receive()
        while may_ping and message.type in _KEEPING_ALIVE:
            if message.type is WSMsgType.PING:
                await socket.pong(message.data)
            message = await socket.receive()
    if message.type is WSMsgType.BINARY:
        return bytes(message.data)
    if message.type in _NO_MESSAGE:
        raise PeerViolation("not a binary frame", code=ErrorCode.E_MESSAGE_FORMAT)
    if message.type is WSMsgType.ERROR:
        is_too_big = getattr(message.data, "code", 0) == WSCloseCode.MESSAGE_TOO_BIG
        code = ErrorCode.E_MESSAGE_SIZE if is_too_big else ErrorCode.E_MESSAGE_FORMAT
        raise PeerViolation("broken frame", code=code)
    raise Unreachable("closed", code=ErrorCode.E_LINK_LOST)


async def _refuse(socket: web.WebSocketResponse, code: ErrorCode) -> None:
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(_FLUSH_TIMEOUT_S):
            await socket.send_bytes(FROM_RELAY_CODEC.encode(RefusedMessage(0, code)))


def _hang_up(transport: asyncio.Transport) -> None:
    """Whatever else it sent is not read; a TLS peer's own end is not waited for, with all its buffers."""
    if transport.get_write_buffer_size():
        transport.close()
    else:
        transport.abort()  # the refusal is with the kernel


async def _finish(request: web.Request, pump: asyncio.Task[None]) -> None:
    """Let the last messages go out, but wait for nobody who does not read them."""
    done, _ = await asyncio.wait([pump], timeout=_FLUSH_TIMEOUT_S)
    if not done:
        pump.cancel()
        if request.transport is not None:
            request.transport.abort()
        await asyncio.wait([pump])
    if not pump.cancelled() and pump.exception() is not None:
        _LOG.error("link.pump_failed", exc_info=pump.exception())


def _intake(request: web.Request) -> Intake | None:
    protocol = request.transport.get_protocol() if request.transport is not None else None
    return protocol if isinstance(protocol, Intake) else None


def _address(request: web.Request, *, behind_proxy: bool) -> str:
    """Whom log-in attempts are counted for: the address, of IPv6 the customer's prefix.

    Behind a proxy it is the entry that this proxy appended to X-Forwarded-For.
    """
    text = request.remote or ""
    if behind_proxy:
        text = request.headers.get("X-Forwarded-For", text).rpartition(",")[2].strip()
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "unknown"
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:  # at a socket of both, where all IPv4 would be one customer
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _IPV6_CUSTOMER_BITS), strict=False))
