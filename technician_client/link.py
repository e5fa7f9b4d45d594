"""The link to the relay: logs in, stays logged in, asks and is told. Nothing here is trusted content."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self, TypeAlias, TypeVar

import structlog

from protocol.aio.backoff import Backoff
from protocol.aio.log_in import connect_control, log_in
from protocol.aio.wire import Wire
from protocol.errors import ErrorCode, PeerViolation, SupportError, Unreachable
from protocol.identity import Identity
from protocol.ids import DeviceId
from protocol.limits import DEVICE_LIST_LIMIT, LINK_HEARTBEAT_S, LINK_SILENCE_LIMIT_S
from protocol.messages import control
from protocol.messages.presence import DeviceList, DeviceRow, PresenceChanged
from protocol.policy import Policy
from technician_client.broadcast import Broadcast
from technician_client.policies import PolicyStore
from technician_client.refusals import refusal
from technician_client.relay_address import RelayAddress
from technician_client.status_store import StatusStore

News = TypeVar("News")
REQUEST_TIMEOUT_S = 10.0
WANTED_PAUSE_S = 0.5
"""Between two tries while somebody waits for the connection; the back-off's longer wait is for nobody."""

log = structlog.get_logger(__name__)


class LinkState(StrEnum):
    """Where the link stands; REFUSED is tried again too, only a person may have to do something first."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The link's state changed; `code` is "" or why it is not connected."""

    state: LinkState
    code: str


@dataclass(frozen=True, slots=True)
class PolicyAccepted:
    """A newer policy is in force here."""

    policy: Policy


LinkEvent: TypeAlias = DeviceRow | LinkChanged | PolicyAccepted


class OpenWire(Protocol):
    """Opens the control link's socket; tests give wires in memory."""

    async def __call__(self, relay: RelayAddress) -> Wire:
        """A new wire to the relay; raises Unreachable."""
        ...


async def open_control_wire(relay: RelayAddress) -> Wire:
    """The real socket."""
    return await connect_control(relay.url, tls_ca=relay.tls_ca_file)


class RelayLink:
    """One link that reconnects by itself. Use as `async with`; requests wait for a connection."""

    def __init__(
        self,
        relay: RelayAddress,
        identity: Identity,
        policies: PolicyStore,
        *,
        statuses: StatusStore | None = None,
        open_wire: OpenWire = open_control_wire,
        backoff: Backoff | None = None,
    ) -> None:
        self.relay = relay
        self.policies = policies
        self.statuses = statuses
        self.state = LinkState.CONNECTING
        self.code = ""
        self._identity = identity
        self._open_wire = open_wire
        self._backoff = backoff or Backoff()
        self._wire: Wire | None = None
        self._task: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[control.FromRelay]] = {}
        self._declined: dict[str, asyncio.Future[str]] = {}
        self._rows: dict[str, DeviceRow] = {}
        self._events: Broadcast[LinkEvent] = Broadcast()
        self._settled = asyncio.Event()
        self._wanted = asyncio.Event()
        self._policy_came = asyncio.Event()
        self._failure: SupportError | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="relay link")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the link; waiting requests fail. May be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # -- what a caller asks ------------------------------------------------------------------------

    async def connected(self, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        """Wait for the connection, or for a try to fail; between two tries the next one starts at once.

        Raises:
            SupportError: why it could not be made (E_RELAY_UNREACHABLE, E_ORG_UNKNOWN, E_CERT_EXPIRED …).
        """
        if self._wire is None:
            self._settled.clear()
            self._wanted.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError:
            raise self._failure or Unreachable(self.relay.url) from None
        if self._wire is None:
            raise self._failure or Unreachable(self.relay.url)

    async def devices(self) -> list[DeviceRow]:
        """Every device of the organisation that the relay lists; raises as `connected`."""
        answer = await self.request(control.ListDevices)
        if not isinstance(answer, DeviceList):
            raise PeerViolation(f"{type(answer).__name__} instead of the devices")
        self._rows = {row.device_id: row for row in answer.devices}
        return answer.devices

    def known_devices(self) -> list[DeviceRow]:
        """The devices as they were last heard of; does not ask."""
        return list(self._rows.values())

    async def anchors(self, device_id: DeviceId) -> list[control.AnchorRow]:
        """What the relay keeps of this device's audit log, oldest first; raises as `connected`."""
        answer = await self.request(lambda number: control.ListAnchors(number, device_id))
        if not isinstance(answer, control.AnchorList):
            raise PeerViolation(f"{type(answer).__name__} instead of the anchors")
        return answer.anchors

    async def open_session(self, device_id: DeviceId) -> control.SessionOpened:
        """Ask for a session socket to this device.

        Raises:
            SupportError: E_DEVICE_UNKNOWN, E_DEVICE_AWAY, E_DEVICE_PENDING, E_DEVICE_CLONED, E_RATE,
                and as `connected`.
        """
        answer = await self.request(lambda number: control.OpenSession(number, device_id))
        if not isinstance(answer, control.SessionOpened):
            raise PeerViolation(f"{type(answer).__name__} instead of a session")
        return answer

    async def open_code_session(self, nameplate: str) -> control.SessionOpened:
        """Ask for a session socket to the device that waits there.

        Raises:
            SupportError: E_CODE_UNKNOWN, E_CERT_ORG, E_RATE, and as `connected`.
        """
        answer = await self.request(lambda number: control.OpenCodeSession(number, nameplate))
        if not isinstance(answer, control.SessionOpened):
            raise PeerViolation(f"{type(answer).__name__} instead of a session")
        return answer

    async def declined(self, session_id: str) -> str:
        """Wait until the agent declines this session; returns the code. Cancel it when nobody waits."""
        future = self._declined.setdefault(session_id, asyncio.get_running_loop().create_future())
        try:
            return await future
        finally:
            self._declined.pop(session_id, None)

    async def policy(self, timeout_s: float = REQUEST_TIMEOUT_S) -> Policy:
        """The newest verified policy; right after the start, waits for the relay to hand it over.

        Raises:
            SupportError: E_POLICY_MISSING, E_POLICY_EXPIRED, the reason why the relay's was refused.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._policy_came.wait()
        except TimeoutError:
            pass  # the one on disk counts, if there is one
        return self.policies.require(now=datetime.now(UTC))

    def watch(
        self, choose: Callable[[LinkEvent], News | None]
    ) -> contextlib.AbstractContextManager[asyncio.Queue[News]]:
        """A queue of what `choose` makes of each event while the context is open; see `Broadcast`."""
        return self._events.watch(choose)

    async def request(self, make: Callable[[int], control.FromClient]) -> control.FromRelay:
        """Send what `make` builds for a fresh request number; returns its answer.

        Raises:
            SupportError: the relay's refusal with its code; E_LINK_LOST; and as `connected`.
        """
        await self.connected()
        if self._wire is None:
            raise Unreachable("", code=ErrorCode.E_LINK_LOST)
        number = next(self._numbers)
        future: asyncio.Future[control.FromRelay] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await self._wire.send(control.FROM_CLIENT_CODEC.encode(make(number)))
                return await future
        except TimeoutError:
            raise Unreachable(f"{self.relay.url} does not answer") from None
        finally:
            self._waiting.pop(number, None)

    # -- the background task -----------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                await self._connect_and_serve()
            except SupportError as exc:
                self._lost(exc)
            except Exception as exc:  # the root of this task
                log.exception("link.failed")
                self._lost(Unreachable(type(exc).__name__, code=ErrorCode.E_INTERNAL))
            await self._pause(self._backoff.next_delay_s())

    async def _pause(self, delay_s: float) -> None:
        """Wait before the next try, no longer than WANTED_PAUSE_S if somebody asks for the connection."""
        self._wanted.clear()
        shortest_s = min(delay_s, WANTED_PAUSE_S)
        await asyncio.sleep(shortest_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s - shortest_s):
                await self._wanted.wait()

    async def _connect_and_serve(self) -> None:
        wire = await self._open_wire(self.relay)
        try:
            welcome, _ = await log_in(wire, self._identity, self.relay.relay_id or None)
            self._backoff.reset()
            self._wire, self._failure = wire, None
            self._settled.set()
            self._change(LinkState.CONNECTED, "")
            beating = asyncio.create_task(self._beat(wire, welcome.heartbeat_s))
            try:
                await self._listen(wire)
            finally:
                beating.cancel()
                await asyncio.gather(beating, return_exceptions=True)
        finally:
            self._wire = None
            await wire.close()

    async def _beat(self, wire: Wire, heartbeat_s: float) -> None:
        for number in itertools.count(1):
            await asyncio.sleep(min(max(heartbeat_s, 1.0), LINK_HEARTBEAT_S))
            await wire.send(control.FROM_CLIENT_CODEC.encode(control.Ping(number)))

    async def _listen(self, wire: Wire) -> None:
        while True:
            try:
                async with asyncio.timeout(LINK_SILENCE_LIMIT_S):
                    encoded = await wire.receive()
            except TimeoutError:
                raise Unreachable("the relay is silent", code=ErrorCode.E_PEER_SILENT) from None
            message = control.FROM_RELAY_CODEC.decode(encoded)
            if isinstance(message, control.Ping):
                await wire.send(control.FROM_CLIENT_CODEC.encode(control.Pong(message.ping_no)))
            else:
                self._take(message)

    def _take(self, message: control.FromRelay) -> None:
        match message:
            case PresenceChanged(device):
                self._note_row(device)
            case control.SuccessorsPublished():
                if self.statuses is not None and self.statuses.take_successors(message.steps):
                    self.policies.load(now=datetime.now(UTC))
            case control.PolicyPublished():
                self._note_policy(message)
            case control.StatusPublished():
                if self.statuses is not None:
                    self.statuses.take(message.envelope, now=datetime.now(UTC))
            case control.SessionDeclined(session_id, code):
                future = self._declined.get(session_id)
                if future is not None and not future.done():
                    future.set_result(code)
            case control.Refused(request_no, code):
                self._answer(request_no, refusal(code, "said by the relay"))
            case control.SessionOpened():
                # the agent may decline before the caller gets to run; only sessions we asked for are noted
                if message.request_no in self._waiting:
                    self._declined[message.session_id] = asyncio.get_running_loop().create_future()
                self._answer(message.request_no, message)
            case control.Done() | DeviceList() | control.TokenList() | control.AnchorList():
                self._answer(message.request_no, message)
            case control.Pong():
                pass
            case _:
                raise PeerViolation(f"{type(message).__name__} is not for a technician")

    def _answer(self, request_no: int, answer: control.FromRelay | SupportError) -> None:
        if request_no == 0 and isinstance(answer, SupportError):
            raise answer
        future = self._waiting.get(request_no)
        if future is None or future.done():
            return  # it was given up on
        if isinstance(answer, SupportError):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _note_row(self, row: DeviceRow) -> None:
        if row.device_id not in self._rows and len(self._rows) >= DEVICE_LIST_LIMIT:
            raise PeerViolation("more devices than a relay may list")
        self._rows[row.device_id] = row
        self._events.tell(row)

    def _note_policy(self, message: control.PolicyPublished) -> None:
        try:
            policy = self.policies.accept(message.envelope, now=datetime.now(UTC))
        except SupportError as exc:
            log.warning("policy.refused", code=str(exc.code), detail=exc.detail)
        else:
            self._events.tell(PolicyAccepted(policy))
        self._policy_came.set()

    def _lost(self, failure: SupportError) -> None:
        log.info("link.lost", code=str(failure.code), detail=failure.detail)
        self._failure = failure
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(failure)
        is_passing = isinstance(failure, Unreachable)
        self._change(LinkState.CONNECTING if is_passing else LinkState.REFUSED, str(failure.code))
        self._settled.set()

    def _change(self, state: LinkState, code: str) -> None:
        if (state, code) != (self.state, self.code):
            self.state, self.code = state, code
            self._events.tell(LinkChanged(state, code))
