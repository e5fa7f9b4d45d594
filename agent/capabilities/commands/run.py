"""One request for a command: recorded, decided, handed to an exec worker, followed to its end."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from agent.capabilities.base import CapabilityAudit, CapabilityChannel
from agent.capabilities.commands.ledger import CommandLedger
from agent.exec.approval import Ground, approve
from agent.exec.book import CommandBook
from agent.exec.messages import (
    DETAIL_LIMIT_CHARS,
    ExecEnded,
    ExecOutput,
    ExecRefused,
    ExecStarted,
    ExecVerified,
    FromWorker,
    RunOrder,
)
from agent.exec.start import ExecWorker, StartExecWorker
from protocol.approval import request_sha256
from protocol.audit import AuditKind
from protocol.errors import ErrorCode, Refused, SupportError, Unreachable
from protocol.grantables import Grantable
from protocol.grants import Grant, seal_grant
from protocol.identity import Identity
from protocol.ids import RequestId
from protocol.messages.commands import (
    FROM_AGENT_CODEC,
    CommandEnded,
    CommandOutput,
    CommandRefused,
    CommandStarted,
    FromAgent,
    RunCommand,
)
from protocol.names import shown_text
from protocol.policy import Policy
from protocol.trust import Trust

log = structlog.get_logger()

FACT_LIMIT_CHARS = 300
OVERTIME_S = 60.0  # beyond the command's timeout, for a slow link; then the worker is taken for stuck


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """The newest accepted policy and the signed envelope that it came in."""

    policy: Policy
    envelope: bytes
    successors: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandSurroundings:
    """What the capability is given: the session's audit, and the ledger that all sessions share."""

    policy: Callable[[], PolicyInForce | None]
    device: Identity
    device_group: str
    trust: Trust | bytes
    platform: str  # "linux", as in the catalogue
    audit: CapabilityAudit
    ledger: CommandLedger
    start_worker: StartExecWorker
    utc_now: Callable[[], datetime]
    monotonic_s: Callable[[], float] = time.monotonic


class CommandRun:
    """One request, from its record in the audit log to its end."""

    def __init__(
        self, surroundings: CommandSurroundings, channel: CapabilityChannel, request: RunCommand
    ) -> None:
        self._surroundings = surroundings
        self._channel = channel
        self._request = request
        self._worker: ExecWorker | None = None
        self._is_cancelled = False
        self._started_s: float | None = None
        self._argv: list[str] = []
        self._approver_id = ""
        self._is_taken = False
        self._is_perhaps_left = False
        self._output_bytes = 0
        self.task: asyncio.Task[None] | None = None  # set by whoever runs it

    def cancel(self) -> None:
        """The technician wants it ended; before it has started this refuses it."""
        self._is_cancelled = True
        if self._worker is not None:
            self._worker.cancel()

    def take(self) -> None:
        """Before anything else: write down that it was asked for, and take its id for good.

        Raises:
            SupportError: E_AUDIT_WRITE, E_DATA_DISK, E_GRANT_NONE; Refused: E_STATE, it was taken before.
        """
        request = self._request
        given = " ".join(f"{name}={value}" for name, value in sorted(request.parameters.items()))
        facts: dict[str, str | int] = {
            "entry_sha256": shown_text(request.entry_sha256, FACT_LIMIT_CHARS),
            "parameters": shown_text(given, FACT_LIMIT_CHARS),
        }
        self._surroundings.audit.write(AuditKind.COMMAND_REQUESTED, self._facts(facts))
        technician_id = self._channel.require(Grantable.COMMANDS_RUN).parties.technician_id
        command_id = shown_text(request.command_id, FACT_LIMIT_CHARS)
        self._surroundings.ledger.book.take(RequestId(request.request_id), command_id, technician_id)
        self._is_taken = True

    async def run(self) -> None:
        """Everything after the record; raises nothing but its cancellation, and leaves no process."""
        try:
            async with self._surroundings.ledger.place():
                await self._run_placed()
        except SupportError as exc:
            with contextlib.suppress(SupportError):  # the channel's own reader learns that it is over
                await self._stop_short(exc)
        except asyncio.CancelledError:
            self._record_cut()
            raise
        except Exception:
            log.exception("command.failed", command_id=self._request.command_id[:64])
            with contextlib.suppress(SupportError):
                await self._stop_short(SupportError())

    async def _run_placed(self) -> None:
        timeout_s, order = self._order(self._channel.require(Grantable.COMMANDS_RUN))
        self._check_wanted()
        worker = await self._surroundings.start_worker(order)
        self._worker = worker
        try:
            async with asyncio.timeout(timeout_s + OVERTIME_S):
                await self._follow(worker)
        except TimeoutError:
            raise Refused("the exec worker is stuck", code=ErrorCode.E_COMMAND_TIMEOUT) from None
        finally:
            self._is_perhaps_left = not await worker.end()

    def _order(self, grant: Grant) -> tuple[float, RunOrder]:
        around = self._surroundings
        in_force = around.policy()
        if in_force is None:
            raise Refused("no catalogue was published to this device", code=ErrorCode.E_COMMAND_UNKNOWN)
        now = around.utc_now()
        device_id = around.device.subject_id
        ground = Ground(
            around.platform,
            around.trust,
            device_id,
            around.device_group,
            grant.parties.technician_id,
        )
        approved = approve(in_force.policy, self._request, ground, now=now)
        self._approver_id = approved.approver_id
        bound_to = request_sha256(self._request)
        remaining_s = grant.until_s - around.monotonic_s()
        order = RunOrder(
            request=self._request,
            device_id=device_id,
            platform=around.platform,
            policy_version=in_force.policy.version,
            policy_envelope=in_force.envelope,
            root_der=around.device.root_der,
            successors=list(in_force.successors),
            sealed_grant=seal_grant(grant, bound_to, around.device, remaining_s=remaining_s, now=now),
        )
        return approved.entry.timeout_s, order

    async def _follow(self, worker: ExecWorker) -> None:
        while True:
            message = await self._hear(worker)
            match message:
                case ExecVerified():
                    await self._let_go(worker, message.argv)
                case ExecStarted():
                    await self._send(CommandStarted(self._request.request_id, self._argv))
                case ExecOutput():
                    self._output_bytes += len(message.chunk)
                    await self._send(CommandOutput(self._request.request_id, message.stream, message.chunk))
                case ExecEnded():
                    await self._finish(message)
                    return
                case ExecRefused():
                    self._check_wanted()
                    raise Refused(message.detail, code=_known_code(message.code))

    async def _hear(self, worker: ExecWorker) -> FromWorker:
        try:
            return await worker.receive()
        except Unreachable as exc:
            if self._started_s is None:
                raise
            raise Unreachable(exc.detail, code=ErrorCode.E_COMMAND_OUTCOME) from None

    def _check_wanted(self) -> None:
        if self._is_cancelled:
            raise Refused("cancelled before it started", code=ErrorCode.E_STATE)

    async def _let_go(self, worker: ExecWorker, argv: list[str]) -> None:
        self._check_wanted()
        self._channel.require(Grantable.COMMANDS_RUN)
        facts = self._facts({"program": shown_text(argv[0], FACT_LIMIT_CHARS)})
        if self._approver_id:
            facts["approved_by"] = self._approver_id
        self._surroundings.audit.write(AuditKind.COMMAND_STARTED, facts)
        self._argv = argv
        self._started_s = self._surroundings.monotonic_s()
        self._is_perhaps_left = True  # until the worker's end says otherwise
        await worker.go()

    async def _finish(self, ended: ExecEnded) -> None:
        self._record_end(ended)
        await self._send(
            CommandEnded(
                self._request.request_id, ended.exit_status, ended.is_truncated, ended.took_s, ended.code
            )
        )

    def _record_cut(self) -> None:
        """The channel is over, by the person, the grant's end or the link: nobody is left to be told."""
        if self._started_s is not None:
            self._record_end(self._ended_by_us(ErrorCode.E_GRANT_ENDED))
        else:
            self._keep(lambda book, request_id: book.refuse(request_id, ErrorCode.E_GRANT_ENDED))

    def _keep(self, change: Callable[[CommandBook, RequestId], None]) -> None:
        """Write into the book what has happened; at the worst it is found open at the next start."""
        try:
            change(self._surroundings.ledger.book, RequestId(self._request.request_id))
        except SupportError as exc:
            log.error("command.book_failed", code=str(exc.code), detail=exc.detail)

    def _ended_by_us(self, code: ErrorCode) -> ExecEnded:
        took_s = self._surroundings.monotonic_s() - (self._started_s or 0.0)
        code = ErrorCode.E_COMMAND_OUTCOME if self._is_perhaps_left else code
        return ExecEnded(-1, False, took_s, code.value)

    def _record_end(self, ended: ExecEnded) -> None:
        self._started_s = None
        facts: dict[str, str | int] = {
            "exit_status": ended.exit_status,
            "took_ms": round(ended.took_s * 1000),
            "output_bytes": self._output_bytes,
        }
        if ended.code:
            facts["code"] = ended.code
        has_succeeded = ended.exit_status == 0
        if ended.code == ErrorCode.E_COMMAND_OUTCOME:
            self._surroundings.audit.note(AuditKind.COMMAND_UNKNOWN, self._facts(facts), succeeded=False)
            self._keep(lambda book, request_id: book.lose(request_id))
            return
        self._surroundings.audit.note(AuditKind.COMMAND_ENDED, self._facts(facts), succeeded=has_succeeded)
        self._keep(lambda book, request_id: book.finish(request_id, ended.exit_status, ended.code))

    async def _stop_short(self, exc: SupportError) -> None:
        """Before its start it is refused, after it has started it has ended."""
        if self._started_s is not None:
            await self._finish(self._ended_by_us(exc.code))
        else:
            await self.refuse(exc)

    async def refuse(self, exc: SupportError) -> None:
        """Record and say that it is not run."""
        detail = shown_text(exc.detail, DETAIL_LIMIT_CHARS)
        facts = self._facts({"code": exc.code.value, "detail": detail})
        self._surroundings.audit.note(AuditKind.COMMAND_REFUSED, facts, succeeded=False)
        if self._is_taken:
            self._keep(lambda book, request_id: book.refuse(request_id, exc.code))
        await self._send(CommandRefused(self._request.request_id, exc.code, detail))

    async def _send(self, message: FromAgent) -> None:
        await self._channel.send(FROM_AGENT_CODEC.encode(message))

    def _facts(self, facts: dict[str, str | int]) -> dict[str, str | int]:
        command_id = shown_text(self._request.command_id, FACT_LIMIT_CHARS)
        return {"request_id": self._request.request_id, "command_id": command_id} | facts


def _known_code(code: str) -> ErrorCode:
    try:
        return ErrorCode(code)
    except ValueError:
        return ErrorCode.E_COMMAND_FAILED
