"""The agent's control link to the relay: for ever, with jittered waits; log-in, facts, policy, offers."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from agent.state import RelayAddress
from protocol.aio.backoff import Backoff
from protocol.aio.first_of import first_of
from protocol.aio.log_in import connect_control, log_in
from protocol.aio.wire import Wire
from protocol.errors import ErrorCode, PeerViolation, SupportError, Unreachable
from protocol.identity import Identity
from protocol.limits import LINK_SILENCE_LIMIT_S
from protocol.messages import control

log = structlog.get_logger()

# a refusal that somebody has to change first: asked again now and then
SLOW_RETRY_S = 60.0
HEARTBEAT_SHORTEST_S = 1.0

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
    on_offer: Callable[
        [control.SessionOffered, Callable[[control.SessionDeclined], Awaitable[None]]], Awaitable[None]
    ]


class RelayLink:
    """Keeps one control link. `state` is "connected", "connecting" or "refused"; `code` says why."""

    def __init__(self, parts: LinkParts, backoff: Backoff | None = None) -> None:
        self._parts = parts
        self._backoff = backoff or Backoff()
        self.state = CONNECTING
        self.code = ""
        self.is_pending = False
        self.settled = asyncio.Event()

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
                self._note(REFUSED, exc)
            except Exception:
                log.exception("link.broke")
                self._note(CONNECTING, SupportError())
            await asyncio.sleep(self._delay_s())

    def _note(self, state: str, exc: SupportError) -> None:
        self.state, self.code = state, str(exc.code)
        self.settled.set()
        log.info("link.down", state=state, code=self.code, detail=exc.detail)

    def _delay_s(self) -> float:
        if self.state == REFUSED and self.code != ErrorCode.E_BUSY:
            return SLOW_RETRY_S * random.uniform(0.5, 1.5)
        return self._backoff.next_delay_s()

    async def _one_link(self) -> None:
        parts = self._parts
        wire = await connect_control(parts.relay.url, tls_ca=parts.tls_ca)
        try:
            welcome, _ = await log_in(wire, parts.identity, parts.relay.relay_id)
            await _send(wire, parts.facts)
            self._backoff.reset()
            self.state, self.code, self.is_pending = CONNECTED, "", welcome.status == "pending"
            self.settled.set()
            log.info("link.up", relay=parts.relay.url, status=welcome.status)
            await first_of(self._listen(wire), _beat(wire, welcome.heartbeat_s))
        finally:
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
                case control.SessionOffered():
                    await self._parts.on_offer(message, decline)
                case control.Refused(request_no, code) if request_no == 0:
                    raise _refusal(code)
                case _:
                    pass  # answers to requests that an agent never makes


async def _receive(wire: Wire) -> control.FromRelay:
    try:
        async with asyncio.timeout(LINK_SILENCE_LIMIT_S):
            return control.FROM_RELAY_CODEC.decode(await wire.receive())
    except TimeoutError:
        raise Unreachable("the relay is silent", code=ErrorCode.E_PEER_SILENT) from None


async def _beat(wire: Wire, heartbeat_s: float) -> None:
    ping_no = 0
    while True:
        await asyncio.sleep(max(heartbeat_s, HEARTBEAT_SHORTEST_S))
        ping_no += 1
        await _send(wire, control.Ping(ping_no=ping_no))


async def _send(wire: Wire, message: control.FromClient) -> None:
    await wire.send(control.FROM_CLIENT_CODEC.encode(message))


def _refusal(code: str) -> SupportError:
    try:
        return SupportError("said by the relay", code=ErrorCode(code))
    except ValueError:
        return PeerViolation(f"unknown code {code[:40]!r}")
