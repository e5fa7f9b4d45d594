"""The agent's control link to the relay: for ever, with jittered waits; log-in, policy, offers, codes."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from agent.anchors import Anchors
from agent.code_desk import HeldNameplate
from agent.lasting_time import slept_s
from agent.state import RelayAddress
from protocol.aio.backoff import Backoff
from protocol.aio.first_of import first_of
from protocol.aio.log_in import connect_control, log_in
from protocol.aio.own_addresses import address_changed
from protocol.aio.wire import Wire
from protocol.errors import ErrorCode, PeerViolation, Refused, SupportError, Unreachable
from protocol.identity import Identity
from protocol.limits import LINK_SILENCE_LIMIT_S
from protocol.messages import control

log = structlog.get_logger()

# a refusal that somebody has to change first: asked again now and then
SLOW_RETRY_S = 60.0
HEARTBEAT_SHORTEST_S = 1.0
HOLD_TIMEOUT_S = 10.0
AFTER_CHANGE_S = 2.0
"""Within so long after a change of this machine's addresses the relay is tried, at a moment by chance."""

# refusals that nobody has to do anything about here: the relay helps itself, or its people help it
PASSING = frozenset({ErrorCode.E_RELAY_STORE, ErrorCode.E_INTERNAL})

CONNECTED, CONNECTING, REFUSED = "connected", "connecting", "refused"


@dataclass(frozen=True, slots=True)
class LinkParts:
    """Who logs in where, and who takes what comes."""

    identity: Identity
    relay: RelayAddress
    tls_ca: Path | None
    facts: control.DeviceFacts
    on_policy: Callable[[control.PolicyPublished], None]
    on_status: Callable[[control.StatusPublished], None]
    on_successors: Callable[[control.SuccessorsPublished], None]
    on_offer: Callable[
        [control.SessionOffered, Callable[[control.SessionDeclined], Awaitable[None]]], Awaitable[None]
    ]
    anchors: Anchors | None = None
    on_cloned: Callable[[], None] = lambda: None
    proxy: str = ""


class RelayLink:
    """Keeps one control link. `state` is "connected", "connecting" or "refused"; `code` says why."""

    def __init__(
        self,
        parts: LinkParts,
        backoff: Backoff | None = None,
        slept_s: Callable[[], float] = slept_s,
    ) -> None:
        """`slept_s`: for how long this machine has slept (see `lasting_time`)."""
        self._parts = parts
        self._slept_s = slept_s
        self._backoff = backoff or Backoff()
        self.state = CONNECTING
        self.code = ""
        self.is_pending = False
        self._is_cloned = False
        self.settled = asyncio.Event()
        self._wire: Wire | None = None
        self._up = asyncio.Event()
        self._held: HeldNameplate | None = None
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[None]] = {}

    async def hold(self, held: HeldNameplate) -> None:
        """Wait for technicians behind this nameplate, over every new link, until `release`.

        Raises:
            SupportError: the relay's refusal, E_CODE_TAKEN among others; why the relay cannot be asked.
        """
        try:
            async with asyncio.timeout(HOLD_TIMEOUT_S):
                await self.settled.wait()
                if self.state == REFUSED:
                    raise Refused(self._parts.relay.url, code=_known(self.code))
                await self._up.wait()
                self._held = held
                await self._send_hold()
        except TimeoutError:
            self._held = None
            raise Unreachable(self._parts.relay.url, code=_known(self.code)) from None
        except BaseException:
            self._held = None
            raise

    async def release(self) -> None:
        """Nobody waits behind the nameplate any more; a relay that cannot be told forgets it by itself."""
        held, self._held = self._held, None
        if held is not None and self._wire is not None:
            await _send(self._wire, control.ReleaseNameplate(held.nameplate))

    async def _send_hold(self) -> None:
        held = self._held
        if held is None or self._wire is None:
            raise Unreachable("", code=ErrorCode.E_LINK_LOST)
        await self._ask(self._wire, lambda number: control.HoldNameplate(number, held.nameplate, held.holder))

    async def _ask(self, wire: Wire, make: Callable[[int], control.FromClient]) -> None:
        """Send a request and wait until it is done; raises the relay's refusal."""
        number = next(self._numbers)
        future = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            await _send(wire, make(number))
            await future
        finally:
            self._answers.pop(number, None)

    async def _keep_anchors(self, wire: Wire) -> None:
        if self._parts.anchors is None:
            await asyncio.Event().wait()
            return

        async def keep(anchor: bytes) -> None:
            await self._ask(wire, lambda number: control.KeepAnchor(number, anchor))

        await self._parts.anchors.run(keep)

    async def run(self) -> None:
        """Keep the link until cancelled."""
        while True:
            try:
                await self._one_link()
            except Unreachable as exc:
                self._note(CONNECTING, exc)
            except PeerViolation as exc:
                self._note(CONNECTING, exc)
            except SupportError as exc:
                self._note(CONNECTING if exc.code in PASSING else REFUSED, exc)
            except Exception:
                log.exception("link.broke")
                self._note(CONNECTING, SupportError())
            await self._wait(self._delay_s())

    async def _wait(self, delay_s: float) -> None:
        """Before the next try; a change of this machine's addresses brings it forward.

        By chance, since a whole site may be back at once.
        """
        if self.state == REFUSED:
            await asyncio.sleep(delay_s)
            return
        with suppress(TimeoutError):
            started_s = asyncio.get_running_loop().time()
            async with asyncio.timeout(delay_s):
                await address_changed()
            left_s = delay_s - (asyncio.get_running_loop().time() - started_s)
            await asyncio.sleep(min(left_s, random.uniform(0.0, AFTER_CHANGE_S)))

    def _note(self, state: str, exc: SupportError) -> None:
        self.state, self.code = state, str(exc.code)
        self.settled.set()
        if exc.code is ErrorCode.E_DEVICE_CLONED and not self._is_cloned:
            self._parts.on_cloned()
        self._is_cloned = exc.code is ErrorCode.E_DEVICE_CLONED or self._is_cloned
        log.info("link.down", state=state, code=self.code, detail=exc.detail)

    def _delay_s(self) -> float:
        if self.state == REFUSED and self.code != ErrorCode.E_BUSY:
            return SLOW_RETRY_S * random.uniform(0.5, 1.5)
        return self._backoff.next_delay_s()

    async def _one_link(self) -> None:
        parts = self._parts
        wire = await connect_control(parts.relay.url, tls_ca=parts.tls_ca, proxy=parts.proxy)
        try:
            # who has no organisation has no relay of theirs either; a device's pin holds, also an empty one
            pinned = None if parts.identity.is_visitor else parts.relay.relay_id
            welcome, _ = await log_in(wire, parts.identity, pinned)
            if not parts.identity.is_visitor:
                await _send(wire, parts.facts)
            self._backoff.reset()
            self.state, self.code, self.is_pending = CONNECTED, "", welcome.status == "pending"
            self._is_cloned = False
            self.settled.set()
            log.info("link.up", relay=parts.relay.url, status=welcome.status)
            self._wire = wire
            self._up.set()
            if self._held is not None:  # one guess and ten minutes are counted here: nothing is won by it
                again = control.HoldNameplate(next(self._numbers), self._held.nameplate, self._held.holder)
                await _send(wire, again)
            beating = _beat(wire, welcome.heartbeat_s, self._slept_s)
            await first_of(self._listen(wire), beating, self._keep_anchors(wire))
        finally:
            self._wire = None
            self._up.clear()
            for future in self._answers.values():
                if not future.done():
                    future.set_exception(Unreachable("", code=ErrorCode.E_LINK_LOST))
            with suppress(SupportError):
                await wire.close()

    async def _listen(self, wire: Wire) -> None:
        async def decline(declined: control.SessionDeclined) -> None:
            await _send(wire, declined)

        while True:
            message = await _receive(wire)
            match message:
                case control.Ping(ping_no):
                    await _send(wire, control.Pong(ping_no=ping_no))
                case control.PolicyPublished():
                    self._parts.on_policy(message)
                case control.StatusPublished():
                    self._parts.on_status(message)
                case control.SuccessorsPublished():
                    self._parts.on_successors(message)
                case control.SessionOffered():
                    await self._parts.on_offer(message, decline)
                case control.Refused(request_no, code) if request_no == 0:
                    raise _refusal(code)
                case control.Done(request_no):
                    self._answer(request_no, None)
                case control.Refused(request_no, code):
                    self._answer(request_no, _refusal(code))
                case _:
                    pass  # answers to requests that an agent never makes

    def _answer(self, request_no: int, refusal: SupportError | None) -> None:
        future = self._answers.get(request_no)
        if future is None or future.done():
            if refusal is not None:
                log.warning("link.refused", code=str(refusal.code))
            return
        if refusal is None:
            future.set_result(None)
        else:
            future.set_exception(refusal)


async def _receive(wire: Wire) -> control.FromRelay:
    try:
        async with asyncio.timeout(LINK_SILENCE_LIMIT_S):
            return control.FROM_RELAY_CODEC.decode(await wire.receive())
    except TimeoutError:
        raise Unreachable("the relay is silent", code=ErrorCode.E_PEER_SILENT) from None


async def _send(wire: Wire, message: control.FromClient) -> None:
    await wire.send(control.FROM_CLIENT_CODEC.encode(message))


async def _beat(wire: Wire, heartbeat_s: float, slept_s: Callable[[], float]) -> None:
    ping_no = 0
    slept_before_s = slept_s()
    while True:
        await asyncio.sleep(max(heartbeat_s, HEARTBEAT_SHORTEST_S))
        if slept_s() - slept_before_s > LINK_SILENCE_LIMIT_S:
            # the relay has given up on us, and what lies between may have forgotten the link without a word
            raise Unreachable("this machine has slept", code=ErrorCode.E_LINK_LOST)
        ping_no += 1
        await _send(wire, control.Ping(ping_no=ping_no))


def _known(code: str) -> ErrorCode:
    try:
        return ErrorCode(code)
    except ValueError:
        return ErrorCode.E_RELAY_UNREACHABLE


def _refusal(code: str) -> SupportError:
    try:
        return SupportError("said by the relay", code=ErrorCode(code))
    except ValueError:
        return PeerViolation(f"unknown code {code[:40]!r}")
