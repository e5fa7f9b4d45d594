"""Channel `commands`: takes requests, lets the approved ones run side by side, ends them with the channel."""

import asyncio
from typing import ClassVar

from agent.capabilities.base import CapabilityChannel
from agent.capabilities.commands.run import CommandRun, CommandSurroundings
from agent.exec.book import RequestState
from agent.rate import RateLimit
from protocol.errors import EnvironmentFault, ErrorCode, PeerViolation, Refused, SupportError
from protocol.grantables import Grantable
from protocol.ids import RequestId, checked_request_id
from protocol.limits import COMMANDS_AT_ONCE_LIMIT
from protocol.messages.commands import (
    FROM_AGENT_CODEC,
    FROM_TECHNICIAN_CODEC,
    AskOutcome,
    CancelCommand,
    CommandOutcome,
    RunCommand,
)

REQUESTS_PER_MINUTE_LIMIT = 120  # each one is written down, whether it runs or not
REQUESTS_AT_ONCE_LIMIT = 4 * COMMANDS_AT_ONCE_LIMIT
NOT_TAKEN = "not_taken"


class CommandsCapability:
    """Runs what the signed catalogue holds while the grant lives; ends all of it with the channel."""

    name: ClassVar[str] = "commands"
    grantable: ClassVar[Grantable] = Grantable.COMMANDS_RUN

    def __init__(self, surroundings: CommandSurroundings) -> None:
        self._surroundings = surroundings
        self._rate = RateLimit(REQUESTS_PER_MINUTE_LIMIT, 60.0)

    async def serve(self, channel: CapabilityChannel) -> None:
        """See `agent.capabilities.base.Capability`."""
        await _ChannelService(self._surroundings, channel, self._rate).serve()


class _ChannelService:
    """The commands of one channel."""

    def __init__(
        self, surroundings: CommandSurroundings, channel: CapabilityChannel, rate: RateLimit
    ) -> None:
        self._surroundings = surroundings
        self._channel = channel
        self._rate = rate
        self._runs: dict[RequestId, CommandRun] = {}

    async def serve(self) -> None:
        try:
            while True:
                message = FROM_TECHNICIAN_CODEC.decode(await self._channel.receive())
                request_id = checked_request_id(message.request_id)
                match message:
                    case RunCommand():
                        await self._begin(request_id, message)
                    case CancelCommand():
                        if (run := self._runs.get(request_id)) is not None:
                            run.cancel()
                    case AskOutcome():
                        await self._tell_outcome(request_id)
        finally:
            tasks = [run.task for run in self._runs.values() if run.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell_outcome(self, request_id: RequestId) -> None:
        if not self._rate.allows(self._surroundings.monotonic_s()):
            raise PeerViolation("too many requests", code=ErrorCode.E_RATE)
        grant = self._channel.require(Grantable.COMMANDS_RUN)
        outcome = CommandOutcome(request_id, NOT_TAKEN, -1, "")
        try:
            found = self._surroundings.ledger.book.find(request_id)
            if found is not None and found.technician_id == grant.parties.technician_id:
                outcome = CommandOutcome(request_id, found.state.value, found.exit_status, found.code)
        except EnvironmentFault as exc:  # then nobody can say
            outcome = CommandOutcome(request_id, RequestState.UNKNOWN.value, -1, exc.code)
        await self._channel.send(FROM_AGENT_CODEC.encode(outcome))

    async def _begin(self, request_id: RequestId, request: RunCommand) -> None:
        if not self._rate.allows(self._surroundings.monotonic_s()):
            raise PeerViolation("too many requests", code=ErrorCode.E_RATE)
        run = CommandRun(self._surroundings, self._channel, request)
        try:
            run.take()
        except SupportError as exc:
            await run.refuse(exc)
            return
        if len(self._runs) >= REQUESTS_AT_ONCE_LIMIT:
            await run.refuse(Refused("too many requests at once", code=ErrorCode.E_BUSY))
            return
        self._runs[request_id] = run
        run.task = asyncio.create_task(run.run(), name=f"command {request_id}")
        run.task.add_done_callback(lambda _task: self._runs.pop(request_id, None))
