"""Channel `commands`: takes requests, lets the approved ones run side by side, ends them with the channel."""

import asyncio
from typing import ClassVar

from agent.capabilities.base import CapabilityChannel
from agent.capabilities.commands.run import CommandRun, CommandSurroundings
from agent.rate import RateLimit
from protocol.errors import ErrorCode, PeerViolation, Refused, SupportError
from protocol.grantables import Grantable
from protocol.ids import RequestId, checked_request_id
from protocol.limits import COMMANDS_AT_ONCE_LIMIT
from protocol.messages.commands import FROM_TECHNICIAN_CODEC, CancelCommand, RunCommand

REQUESTS_PER_MINUTE_LIMIT = 120  # each one is written down, whether it runs or not
REQUESTS_AT_ONCE_LIMIT = 4 * COMMANDS_AT_ONCE_LIMIT


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
        finally:
            tasks = [run.task for run in self._runs.values() if run.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _begin(self, request_id: RequestId, request: RunCommand) -> None:
        if not self._rate.allows(self._surroundings.monotonic_s()):
            raise PeerViolation("too many requests", code=ErrorCode.E_RATE)
        run = CommandRun(self._surroundings, self._channel, request)
        try:
            run.record_request()
            self._surroundings.ledger.take(request_id)
        except SupportError as exc:
            await run.refuse(exc)
            return
        if len(self._runs) >= REQUESTS_AT_ONCE_LIMIT:
            await run.refuse(Refused("too many requests at once", code=ErrorCode.E_BUSY))
            return
        self._runs[request_id] = run
        run.task = asyncio.create_task(run.run(), name=f"command {request_id}")
        run.task.add_done_callback(lambda _task: self._runs.pop(request_id, None))
