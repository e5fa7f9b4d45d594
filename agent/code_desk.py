"""The support code that this device shows: drawn, kept in memory, counted, and told about.

One code at a time, bound to the connection of the command that shows it: when that is closed, the code
is void. The guess is counted and on disk, as `code.tried`, before anything is compared.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from agent.desktop.ipc_messages import (
    TO_COMMAND_LINE_CODEC,
    Hello,
    HelpCode,
    HelpNews,
    HelpOutcome,
    IpcRefused,
)
from agent.local_frames import LocalConnection
from agent.rate import RateLimit
from agent.session_audit import Appends
from protocol.audit import AuditEvent, AuditKind
from protocol.code_life import CodeLife
from protocol.errors import ErrorCode, Refused, SupportError
from protocol.ids import DeviceId, SessionId
from protocol.limits import CODES_PER_HOUR_LIMIT, NAMEPLATE_HOLDER_BYTES
from protocol.support_code import draw_code

log = structlog.get_logger()

DRAWS_LIMIT = 8
LOOK_EVERY_S = 1.0
_NOT_FOR_COMMANDS = 64  # a command line sends nothing more


@dataclass(frozen=True, slots=True)
class HeldNameplate:
    """What the relay is told of a code. `holder` is random and stays the same over new links."""

    nameplate: str
    holder: bytes


def boot_clock_s() -> float:
    """Seconds of a clock that nobody sets; where the system has one, it goes on during sleep."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class CodeDeskParts:
    """`hold` and `release` talk to the relay; `check_policy` raises when this user gets none."""

    device_id: DeviceId
    audit_log: Appends
    hold: Callable[[HeldNameplate], Awaitable[None]]
    release: Callable[[], Awaitable[None]]
    check_policy: Callable[[int], None]
    clock_s: Callable[[], float] = boot_clock_s


class CodeDesk:
    """Shows codes to the person and hands out the one guess of each."""

    def __init__(self, parts: CodeDeskParts) -> None:
        self._parts = parts
        self._life: CodeLife | None = None
        self._asker_uid = -1
        self._told: asyncio.Future[HelpNews] | None = None
        self._rate = RateLimit(CODES_PER_HOUR_LIMIT, 3600.0)

    @property
    def asker_uid(self) -> int | None:
        """The user who asked for the code that is shown now; None: none is."""
        return self._asker_uid if self._life is not None else None

    @property
    def nameplate(self) -> str:
        """Where this device waits now, or ""."""
        return self._life.code.nameplate if self._life is not None else ""

    async def handle_help(self, _hello: Hello, connection: LocalConnection) -> None:
        """Show a code to the command that asked, until something came of it or the command is gone."""
        try:
            shown = await self._show(connection.peer.uid)
        except SupportError as exc:
            log.info("code.not_shown", code=str(exc.code), detail=exc.detail)
            await connection.send(TO_COMMAND_LINE_CODEC.encode(IpcRefused(code=exc.code)))
            await connection.finish()
            return
        try:
            await connection.send(TO_COMMAND_LINE_CODEC.encode(shown))
            news = await self._wait(connection)
            if news is not None:
                await connection.send(TO_COMMAND_LINE_CODEC.encode(news))
                await connection.finish()
        finally:
            await self._put_away()

    def take(self, nameplate: str, session_id: SessionId) -> "Guess":
        """The one guess at the code behind this nameplate; counted and on disk when this returns.

        Raises:
            Refused: E_CODE_UNKNOWN, E_CODE_EXPIRED, E_CODE_USED. SupportError: E_AUDIT_WRITE.
        """
        life = self._life
        if life is None or life.code.nameplate != nameplate:
            raise Refused("no code is shown there", code=ErrorCode.E_CODE_UNKNOWN)
        guess = Guess(self, life, life.take(self._parts.clock_s()), session_id, self._asker_uid)
        self.write(AuditKind.CODE_TRIED, session_id)
        return guess

    def tell(self, life: CodeLife, news: HelpNews) -> None:
        """For `Guess`: what came of it, if that code is still shown."""
        if life is self._life and self._told is not None and not self._told.done():
            self._told.set_result(news)

    def write(self, kind: AuditKind, session_id: str = "", code: str = "") -> None:
        """Write what became of the code; raises SupportError (E_AUDIT_WRITE). Never a digit of it."""
        facts: dict[str, str | int] = {"code": code} if code else {}
        actor = "person" if kind in (AuditKind.CODE_SHOWN, AuditKind.CODE_ENDED) else "relay"
        is_good = kind is not AuditKind.CODE_REFUSED
        self._parts.audit_log.append(
            AuditEvent(kind, actor, self._parts.device_id, session_id, is_good, facts)
        )

    def note(self, kind: AuditKind, session_id: str = "", code: str = "") -> None:
        """Write what stands also when it cannot be written."""
        try:
            self.write(kind, session_id, code)
        except SupportError as exc:
            log.error("audit.failed", kind=kind.value, code=str(exc.code), detail=exc.detail)

    async def _show(self, asker_uid: int) -> HelpCode:
        self._parts.check_policy(asker_uid)
        if self._life is not None:
            raise Refused("another command shows a code", code=ErrorCode.E_BUSY)
        if not self._rate.allows(asyncio.get_running_loop().time()):
            raise Refused("too many codes in an hour", code=ErrorCode.E_RATE)
        for draw_no in range(1, DRAWS_LIMIT + 1):
            code = draw_code()
            self._life = life = CodeLife(code, now_s=self._parts.clock_s())
            self._asker_uid = asker_uid
            self._told = asyncio.get_running_loop().create_future()
            try:
                holder = secrets.token_bytes(NAMEPLATE_HOLDER_BYTES)
                await self._parts.hold(HeldNameplate(code.nameplate, holder))
            except BaseException as exc:
                self._life = None
                is_taken = isinstance(exc, SupportError) and exc.code is ErrorCode.E_CODE_TAKEN
                if not is_taken or draw_no == DRAWS_LIMIT:
                    raise
                continue
            self.write(AuditKind.CODE_SHOWN)
            return HelpCode(code=code.shown(), expires_in_s=life.deadline_s - self._parts.clock_s())
        raise AssertionError("the last draw returns or raises")

    async def _wait(self, connection: LocalConnection) -> HelpNews | None:
        """What came of the code; None when the person does not wait any more."""
        life, told = self._life, self._told
        assert life is not None
        assert told is not None
        leaving = asyncio.create_task(_closed(connection))
        try:
            while not (told.done() or leaving.done()):
                waiting: set[asyncio.Future[Any]] = {leaving, told}
                await asyncio.wait(waiting, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                if life.tick(self._parts.clock_s()):
                    self.note(AuditKind.CODE_ENDED, code=ErrorCode.E_CODE_EXPIRED)
                    return HelpNews(outcome=HelpOutcome.EXPIRED)
            if told.done():
                return told.result()
            if life.cancel():
                self.note(AuditKind.CODE_ENDED)
            return None
        finally:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)

    async def _put_away(self) -> None:
        life, self._life, self._told = self._life, None, None
        if life is not None:
            life.cancel()
        with suppress(SupportError):
            await self._parts.release()


class Guess:
    """The one guess at a code. Whoever holds it says what came of it, once."""

    def __init__(
        self, desk: CodeDesk, life: CodeLife, secret: str, session_id: SessionId, asker_uid: int
    ) -> None:
        """`asker_uid`: the user who asked for help, and whose desktop it is about."""
        self.secret = secret
        self.asker_uid = asker_uid
        self._desk = desk
        self._life = life
        self._session_id = session_id

    def matched(self, news: HelpNews) -> None:
        """The technician has the code.

        Raises:
            Refused: E_CODE_USED, the person took it back meanwhile. SupportError: E_AUDIT_WRITE.
        """
        if not self._life.judged(is_right=True):
            raise Refused("the person does not wait any more", code=ErrorCode.E_CODE_USED)
        self._desk.write(AuditKind.CODE_MATCHED, self._session_id)
        self._desk.tell(self._life, news)

    def failed(self, code: ErrorCode) -> None:
        """It was another code, or nothing came of it."""
        if self._life.judged(is_right=False):
            self._desk.note(AuditKind.CODE_REFUSED, self._session_id, code)
            self._desk.tell(self._life, HelpNews(outcome=HelpOutcome.WRONG))


async def _closed(connection: LocalConnection) -> None:
    with suppress(SupportError):
        await connection.receive(_NOT_FOR_COMMANDS)
