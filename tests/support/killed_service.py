"""A service that runs one request for a command and is SIGKILLed at a named step.

    python -m tests.support.killed_service FOLDER STEP

The capability, the book, the audit log, the exec worker and the program are the product's own and real; only
the channel is in memory. A step of the worker is carried out inside of it (`worker_main`). What the folder
holds is written by `prepare`.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.capabilities.commands.aftermath import settle_open_requests
from agent.capabilities.commands.capability import CommandsCapability
from agent.capabilities.commands.ledger import CommandLedger
from agent.capabilities.commands.run import CommandSurroundings, PolicyInForce
from agent.exec import start as start_module
from agent.exec import worker as worker_module
from agent.exec.book import CommandBook, RequestState
from agent.exec.messages import ExecEnded, ExecVerified
from agent.exec.start import WorkerProcess, worker_starter
from agent.session_audit import SessionAudit
from protocol.aio.audit_log import AuditLog
from protocol.audit import AuditKind
from protocol.envelope import carried_payload
from protocol.grantables import Grantable
from protocol.identity import Identity, load_identity, save_identity
from protocol.messages.commands import FROM_TECHNICIAN_CODEC, RunCommand
from protocol.policy import parse_policy
from tests.support.approved_commands import parties_for
from tests.support.capability_channel import MemoryChannel

SERVICE_STEPS = ("nothing_taken", "taken", "verified", "recorded", "let_go", "end_heard", "end_recorded")
WORKER_STEPS = ("begins_late", "begun", "spawned", "worker_dies", "ended")


def prepare(folder: Path, device: Identity, in_force: PolicyInForce, request: RunCommand) -> None:
    """What a service of this folder needs."""
    save_identity(device, folder / "identity.pem")
    (folder / "policy.dsse").write_bytes(in_force.envelope)
    (folder / "request").write_bytes(FROM_TECHNICIAN_CODEC.encode(request))


def book_of(folder: Path) -> CommandBook:
    """The book of this folder's service."""
    return CommandBook(folder / "commands.db")


def audit_of(folder: Path, device: Identity) -> SessionAudit:
    """The audit of this folder's service."""
    return SessionAudit(AuditLog(folder / "audit.jsonl"), str(device.subject_id), "", actor="ada")


def die() -> None:
    """As a power cut does."""
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


class DyingAudit(SessionAudit):
    """Dies after a record of this kind."""

    last_kind: AuditKind | None = None

    def write(
        self,
        kind: AuditKind,
        facts: Mapping[str, str | int] | None = None,
        *,
        succeeded: bool = True,
        actor: str = "",
    ) -> None:
        """See `SessionAudit`."""
        super().write(kind, facts, succeeded=succeeded, actor=actor)
        if kind is self.last_kind:
            die()


def arrange(step: str, audit: DyingAudit) -> None:
    """Have this process die at a step of the service."""
    match step:
        case "nothing_taken":
            audit.last_kind = AuditKind.COMMAND_REQUESTED
        case "taken":
            _after(CommandBook, "take", die)
        case "verified":
            _when_heard(ExecVerified)
        case "recorded":
            audit.last_kind = AuditKind.COMMAND_STARTED
        case "let_go":
            _after_async(WorkerProcess, "go")
        case "end_heard":
            _when_heard(ExecEnded)
        case "end_recorded":
            audit.last_kind = AuditKind.COMMAND_ENDED
        case _:
            script = str(Path(__file__).with_name("killed_worker.py"))
            start_module.WORKER_ARGV = (sys.executable, script, step)


def _after(owner: Any, name: str, then: Callable[[], None]) -> None:
    method = getattr(owner, name)

    def wrapped(*given: Any, **named: Any) -> Any:
        outcome = method(*given, **named)
        then()
        return outcome

    setattr(owner, name, wrapped)


def _after_async(owner: Any, name: str) -> None:
    method = getattr(owner, name)

    async def wrapped(*given: Any) -> None:
        await method(*given)
        die()

    setattr(owner, name, wrapped)


def _when_heard(kind: type) -> None:
    receive = WorkerProcess.receive

    async def wrapped(self: WorkerProcess) -> Any:
        message = await receive(self)
        if isinstance(message, kind):
            die()
        return message

    WorkerProcess.receive = wrapped


def worker_main(step: str, book: Path) -> None:
    """An exec worker whose service, or which itself, dies at this step."""
    service_pid = os.getppid()

    def kill_service() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # whose parent's death would end it: it goes on
        with suppress(ProcessLookupError):
            os.kill(service_pid, signal.SIGKILL)

    match step:
        case "begins_late":
            begin = CommandBook.begin

            def late(self: CommandBook, request_id: Any) -> None:
                kill_service()
                while (row := self.find(request_id)) is None or row.state is RequestState.TAKEN:
                    time.sleep(0.01)
                begin(self, request_id)

            CommandBook.begin = late
            # nor does it notice that nobody is there any more: the book alone stands in its way
            worker_module.ServiceLink.is_at_end = lambda _self: False
        case "begun":
            _after(CommandBook, "begin", lambda: (kill_service(), die())[1])
        case "spawned":
            _after(worker_module.RunningCommand, "__init__", kill_service)
        case "worker_dies":
            _after(worker_module.RunningCommand, "__init__", die)
        case "ended":
            _after(worker_module.RunningCommand, "run", kill_service)
    worker_module.serve(sys.stdin.fileno(), sys.stdout.fileno(), CommandBook(book))


async def serve_one(folder: Path, step: str) -> None:
    """From the start of a service to the end of its one request, unless it dies."""
    device = load_identity(folder / "identity.pem")
    book = book_of(folder)
    audit = DyingAudit(AuditLog(folder / "audit.jsonl"), str(device.subject_id), "", actor="ada")
    settle_open_requests(book, audit)
    arrange(step, audit)
    envelope = (folder / "policy.dsse").read_bytes()
    in_force = PolicyInForce(parse_policy(carried_payload(envelope)), envelope)
    channel = MemoryChannel(Grantable.COMMANDS_RUN, parties=parties_for(device))
    capability = CommandsCapability(
        CommandSurroundings(
            policy=lambda: in_force,
            device=device,
            device_group="default",
            trust=device.root_der,
            platform="linux",
            audit=audit,
            ledger=CommandLedger(book),
            start_worker=worker_starter(book.path),
            utc_now=lambda: datetime.now(UTC),
        )
    )
    channel.feed((folder / "request").read_bytes())
    serving = asyncio.create_task(capability.serve(channel))
    while book.find(_request_id(folder)) is None or _is_open(book, folder):  # noqa: ASYNC110 - a file
        await asyncio.sleep(0.02)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


def _request_id(folder: Path) -> Any:
    return FROM_TECHNICIAN_CODEC.decode((folder / "request").read_bytes()).request_id


def _is_open(book: CommandBook, folder: Path) -> bool:
    found = book.find(_request_id(folder))
    return found is not None and found.state in (RequestState.TAKEN, RequestState.STARTED)


if __name__ == "__main__":
    asyncio.run(serve_one(Path(sys.argv[1]), sys.argv[2]))
