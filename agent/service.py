"""The running service: link, sessions, local socket and desktop child, from start to leave."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

import structlog

from agent.desktop.ipc_messages import TO_COMMAND_LINE_CODEC, Hello, Left, Status
from agent.desktop.pause_messages import UserPaused
from agent.desktop.update_messages import UpdateAnswer
from agent.desktop_link import DesktopLink, others_uid
from agent.desktop_process import DesktopProcess
from agent.link import RelayLink
from agent.local_frames import LocalConnection
from agent.local_server import LocalServer
from agent.pause import Pauses
from agent.policy_store import PolicyStore
from agent.rate import RateLimit
from agent.session_audit import Appends
from agent.sessions import Sessions
from agent.stop_order import StopOrder
from protocol.audit import AuditEvent, AuditKind
from protocol.errors import SupportError
from protocol.ids import DeviceId
from protocol.messages.control import PolicyPublished
from protocol.names import shown_text
from protocol.version import PRODUCT_VERSION

log = structlog.get_logger()

POLICY_REFUSALS_PER_HOUR_LIMIT = 20
READY_TIMEOUT_S = 5.0
UPDATE_HOLD_LIMIT_S = 60.0
LEAVE_CAUSE = "E_SESSION_STOPPED"


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """What `status` says that does not change while the service runs."""

    device_id: DeviceId
    organisation_id: str
    organisation_name: str
    group: str
    relay_url: str
    exec_socket: str = ""


class PolicyIntake:
    """Puts published policies in force, or keeps the old one; both are written down."""

    def __init__(
        self, policies: PolicyStore, audit: Appends, device_id: DeviceId, on_accepted: Callable[[], None]
    ) -> None:
        """`on_accepted` is called whenever another policy is in force."""
        self._on_accepted = on_accepted
        self._policies = policies
        self._audit = audit
        self._device_id = device_id
        self._rate = RateLimit(POLICY_REFUSALS_PER_HOUR_LIMIT, 3600.0)

    def take(self, published: PolicyPublished) -> None:
        """One envelope from the relay. What it says about itself beside the envelope is not believed."""
        try:
            if not self._policies.accept(published.envelope, datetime.now(UTC)):
                return
        except SupportError as exc:
            if not self._rate.allows(time.monotonic()):
                return
            log.warning("policy.refused", code=str(exc.code), detail=exc.detail)
            facts: dict[str, str | int] = {"code": exc.code.value, "detail": shown_text(exc.detail, 200)}
            self._note(AuditKind.POLICY_REFUSED, facts, succeeded=False)
            return
        log.info("policy.accepted", version=self._policies.version)
        self._note(AuditKind.POLICY_ACCEPTED, {"version": self._policies.version}, succeeded=True)
        self._on_accepted()

    def _note(self, kind: AuditKind, facts: dict[str, str | int], *, succeeded: bool) -> None:
        try:
            self._audit.append(AuditEvent(kind, "relay", self._device_id, "", succeeded, facts))
        except SupportError as exc:
            log.error("audit.failed", kind=kind.value, code=str(exc.code), detail=exc.detail)


class Keeper(Protocol):
    """Writes down now and then how much is left of what runs out."""

    async def keep_true(self) -> None:
        """Until cancelled."""
        ...


@dataclass(frozen=True, slots=True)
class ServiceParts:
    """The objects that `app.py` builds."""

    facts: StatusFacts
    policies: PolicyStore
    desktop: DesktopLink
    desktop_process: DesktopProcess | None
    link: RelayLink
    sessions: Sessions
    audit_log: Appends
    keepers: Sequence[Keeper]
    pauses: Pauses


class Service:
    """Runs the parts together until a signal or `leave`."""

    def __init__(self, parts: ServiceParts) -> None:
        self._parts = parts
        self._ended = asyncio.Event()
        self.was_left = False

    async def handle_status(self, _hello: Hello, connection: LocalConnection) -> None:
        """Answer `StatusAsked`."""
        await connection.send(TO_COMMAND_LINE_CODEC.encode(self.status(others_uid(connection))))
        await connection.finish()

    async def handle_update(self, _hello: Hello, connection: LocalConnection) -> None:
        """Answer `UpdateAsked`; without a session, none begins until the updater leaves or is late."""
        parts = self._parts
        answer = UpdateAnswer(PRODUCT_VERSION, parts.link.state, parts.sessions.count)
        with parts.sessions.held() if not answer.sessions else nullcontext():
            await connection.send(TO_COMMAND_LINE_CODEC.encode(answer))
            with suppress(TimeoutError, SupportError):
                async with asyncio.timeout(UPDATE_HOLD_LIMIT_S):
                    await connection.receive(1)
        await connection.finish()

    async def handle_leave(self, _hello: Hello, connection: LocalConnection) -> None:
        """Carry out `LeaveOrdered`: sessions end now, the files go when the service has ended."""
        await self._parts.sessions.end_all(LEAVE_CAUSE)
        self.was_left = True
        await connection.send(TO_COMMAND_LINE_CODEC.encode(Left()))
        await connection.finish()
        self._ended.set()

    def status(self, uid: int | None = None) -> Status:
        """What `alongside-agent status` prints; `uid`: with the sessions at this user's desktop alone."""
        parts = self._parts
        return Status(
            device_id=parts.facts.device_id,
            organisation_id=parts.facts.organisation_id,
            organisation_name=parts.facts.organisation_name,
            group=parts.facts.group,
            relay_url=parts.facts.relay_url,
            link=parts.link.state,
            link_code=parts.link.code or ("E_DEVICE_PENDING" if parts.link.is_pending else ""),
            policy_version=parts.policies.version,
            has_desktop=parts.desktop.seat is not None,
            sessions=parts.sessions.status(uid),
            policy_alarm=parts.policies.alarm or "",
            paused_s=parts.pauses.left_s(uid),
            paused_users=tuple(
                UserPaused(each.uid, each.left_s)
                for each in (parts.pauses.live() if uid is None else [])
                if each.uid is not None
            ),
            exec_socket=parts.facts.exec_socket,
        )

    async def run(
        self, servers: Sequence[LocalServer], *, as_json: bool, stop: StopOrder | None = None
    ) -> None:
        """Until SIGTERM, SIGINT, `stop` or `leave`; then sessions end, and the desktop child with them.

        The first server is the service's own, and the one that is told of.
        """
        with self._ended_by(stop):
            async with self.running(servers):
                await self._say_ready(servers[0], as_json=as_json)
                await self._ended.wait()

    @contextmanager
    def _ended_by(self, stop: StopOrder | None) -> Iterator[None]:
        if stop is None:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._ended.set)
            yield
            return
        stop.listen(self._ended.set)  # in a thread of Windows', which gets no signals
        try:
            yield
        finally:
            stop.forget()

    @asynccontextmanager
    async def running(self, servers: Sequence[LocalServer]) -> AsyncIterator[None]:
        """Everything runs while the context is open; then sessions end, and the desktop child with them."""
        for each in servers:
            await each.open()
        running = [asyncio.create_task(each.serve()) for each in servers]
        running += [asyncio.create_task(self._parts.link.run())]
        running += [asyncio.create_task(each.keep_true()) for each in self._parts.keepers]
        if self._parts.desktop_process is not None:
            running.append(asyncio.create_task(self._parts.desktop_process.run()))
        note_agent(self._parts.audit_log, AuditKind.AGENT_STARTED, self._parts.facts.device_id)
        try:
            yield
        finally:
            await self._parts.sessions.end_all("finished")
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            for each in servers:
                await each.close()
            note_agent(self._parts.audit_log, AuditKind.AGENT_STOPPED, self._parts.facts.device_id)

    async def _say_ready(self, server: LocalServer, *, as_json: bool) -> None:
        parts = self._parts
        waiting = [asyncio.create_task(parts.link.settled.wait()), asyncio.create_task(self._ended.wait())]
        if parts.desktop_process is not None:
            waiting[0] = asyncio.create_task(_both(parts.link.settled, parts.desktop.attached))
        try:
            await asyncio.wait(waiting, timeout=READY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        if as_json and not self._ended.is_set():
            print(json.dumps(self._ready_line(server)), flush=True)

    def _ready_line(self, server: LocalServer) -> dict[str, str | int | bool | None]:
        parts = self._parts
        return {
            "event": "ready",
            "device_id": parts.facts.device_id,
            "pid": os.getpid(),
            "desktop_pid": parts.desktop_process.pid if parts.desktop_process else None,
            "has_desktop": parts.desktop.seat is not None,
            "link": parts.link.state,
            "link_code": parts.link.code,
            "socket": str(server.socket_path),
        }


def note_agent(audit_log: Appends, kind: AuditKind, device_id: DeviceId) -> None:
    """Write that the agent starts or stops; it does so too when that cannot be written."""
    try:
        audit_log.append(AuditEvent(kind, "agent", device_id, "", succeeded=True))
    except SupportError as exc:
        log.error("audit.failed", kind=kind.value, code=str(exc.code), detail=exc.detail)


async def _both(first: asyncio.Event, second: asyncio.Event) -> Literal[True]:
    await first.wait()
    return await second.wait()
