"""Signed catalogues, orders and a command channel, for tests."""

import asyncio
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from weakref import finalize

from agent.capabilities.commands.capability import CommandsCapability
from agent.capabilities.commands.ledger import CommandLedger
from agent.capabilities.commands.run import CommandSurroundings, PolicyInForce
from agent.exec.book import CommandBook
from agent.exec.messages import RunOrder
from agent.exec.start import StartExecWorker, worker_starter
from protocol.approval import request_sha256
from protocol.catalogue import CommandEntry
from protocol.envelope import sign_envelope
from protocol.grantables import Grantable
from protocol.grants import GrantBook, GrantParties, seal_grant
from protocol.identity import Identity
from protocol.ids import DeviceId, RequestId, SessionId, SubjectId, new_request_id
from protocol.messages.commands import (
    FROM_AGENT_CODEC,
    FROM_TECHNICIAN_CODEC,
    CancelCommand,
    CommandEnded,
    CommandOutput,
    CommandRefused,
    CommandStarted,
    FromAgent,
    RunCommand,
)
from protocol.policy import POLICY_TYPE, default_policy, parse_policy
from tests.support.capability_channel import MemoryAudit, MemoryChannel
from tests.support.organisation import Organisation


def utc_now() -> datetime:
    return datetime.now(UTC)


def entry(command_id: str, *argv: str, **terms: Any) -> dict[str, Any]:
    """One entry of a catalogue document; `terms` replace the defaults."""
    return {
        "command_id": command_id,
        "title": command_id,
        "person_text": f"Runs {command_id}.",
        "argv": list(argv),
        "parameters": {},
        "platforms": ["linux"],
        "timeout_s": 10,
        "output_limit_bytes": 65536,
        "risk": "low",
    } | terms


def signed_policy(
    organisation: Organisation,
    entries: list[dict[str, Any]] | None = None,
    *,
    signer: Identity | None = None,
    **changes: Any,
) -> PolicyInForce:
    """A policy as the organisation publishes it: the default catalogue, or these entries."""
    document = default_policy(organisation.organisation_id, now=utc_now()) | changes
    if entries is not None:
        document["catalogue"] = {"commands": entries}
    payload = json.dumps(document).encode()
    envelope = sign_envelope(POLICY_TYPE, payload, signer or organisation.policy_signer())
    return PolicyInForce(parse_policy(payload), envelope)


class _Folder(CommandBook):
    """A book in a folder of its own, which goes with it."""

    def __init__(self) -> None:
        folder = mkdtemp(prefix="alongside-book-")
        super().__init__(Path(folder) / "commands.db")
        finalize(self, shutil.rmtree, folder, ignore_errors=True)


def fresh_book(*taken: RunCommand) -> CommandBook:
    """A book in which these requests were taken by Ada."""
    book = _Folder()
    for request in taken:
        book.take(RequestId(request.request_id), request.command_id, "ada")
    return book


def request_for(entry_of: CommandEntry, parameters: Mapping[str, str] | None = None) -> RunCommand:
    """A fresh request for this entry as it was displayed."""
    return RunCommand(new_request_id(), entry_of.command_id, entry_of.sha256, dict(parameters or {}))


def parties_for(device: Identity) -> GrantParties:
    """A session of this device with Ada."""
    return GrantParties(
        SubjectId("ada"), DeviceId(str(device.subject_id)), "os-1", SessionId("s-" + "a" * 26)
    )


@dataclass
class OrderTerms:
    """Everything an order is made from; tests change what they want to see refused."""

    device: Identity
    in_force: PolicyInForce
    request: RunCommand
    grantable: Grantable = Grantable.COMMANDS_RUN
    sealed_for: RunCommand | None = None
    sealed_at: datetime = field(default_factory=utc_now)

    def order(self) -> RunOrder:
        """What the service would send."""
        (grant,) = GrantBook(parties_for(self.device)).mint([self.grantable], until_s=time.monotonic() + 60)
        bound_to = request_sha256(self.sealed_for or self.request)
        return RunOrder(
            request=self.request,
            device_id=self.device.subject_id,
            platform="linux",
            policy_version=self.in_force.policy.version,
            policy_envelope=self.in_force.envelope,
            root_der=self.device.root_der,
            sealed_grant=seal_grant(grant, bound_to, self.device, remaining_s=60, now=self.sealed_at),
        )


def expired() -> datetime:
    """A time whose sealed grants are over."""
    return utc_now() - timedelta(minutes=10)


@dataclass
class Outcome:
    """What a technician was told about one request."""

    started: CommandStarted | None = None
    ended: CommandEnded | None = None
    refused: CommandRefused | None = None
    chunks: list[CommandOutput] = field(default_factory=list)

    @property
    def code(self) -> str:
        """The refusal's or the end's code."""
        last = self.refused or self.ended
        assert last is not None
        return last.code

    def output(self, stream: str = "stdout") -> bytes:
        """All of one stream."""
        return b"".join(chunk.chunk for chunk in self.chunks if chunk.stream == stream)


class CommandBench:
    """The capability on a channel in memory; use as an async context manager."""

    def __init__(
        self,
        device: Identity,
        in_force: PolicyInForce,
        start: StartExecWorker | None = None,
        *,
        book: CommandBook | None = None,
    ) -> None:
        self.in_force: PolicyInForce | None = in_force
        self.book = book or fresh_book()
        self.audit = MemoryAudit()
        self.channel = MemoryChannel(Grantable.COMMANDS_RUN, parties=parties_for(device))
        self.outcomes: dict[str, Outcome] = {}
        self.surroundings = CommandSurroundings(
            policy=lambda: self.in_force,
            device=device,
            device_group="default",
            trust=device.root_der,
            platform="linux",
            audit=self.audit,
            ledger=CommandLedger(self.book),
            start_worker=start or worker_starter(self.book.path),
            utc_now=utc_now,
        )
        self.serving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "CommandBench":
        self.serving = asyncio.create_task(CommandsCapability(self.surroundings).serve(self.channel))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End the channel as a revoke does."""
        assert self.serving is not None
        self.serving.cancel()
        await asyncio.gather(self.serving, return_exceptions=True)

    def ask(self, command_id: str, **parameters: str) -> RunCommand:
        """Send a request for a command of the catalogue."""
        assert self.in_force is not None
        request = request_for(self.in_force.policy.catalogue.find(command_id), parameters)
        self.send(request)
        return request

    def send(self, message: RunCommand | CancelCommand) -> None:
        """Send any message."""
        self.channel.feed(FROM_TECHNICIAN_CODEC.encode(message))

    async def next(self) -> FromAgent:
        """The next answer, whose ever it is."""
        message = FROM_AGENT_CODEC.decode(await self.channel.answer())
        outcome = self.outcomes.setdefault(message.request_id, Outcome())
        match message:
            case CommandStarted():
                outcome.started = message
            case CommandOutput():
                outcome.chunks.append(message)
            case CommandEnded():
                outcome.ended = message
            case CommandRefused():
                outcome.refused = message
        return message

    async def outcome(self, request: RunCommand) -> Outcome:
        """Everything about one request, to its end."""
        mine = self.outcomes.setdefault(request.request_id, Outcome())
        while mine.ended is None and mine.refused is None:
            await self.next()
        return mine

    async def run(self, command_id: str, **parameters: str) -> Outcome:
        """Send a request and wait for its end."""
        return await self.outcome(self.ask(command_id, **parameters))

    async def output_of(self, request: RunCommand) -> bytes:
        """Wait for the first output of a request."""
        mine = self.outcomes.setdefault(request.request_id, Outcome())
        while not mine.chunks:
            await self.next()
        return mine.output()
