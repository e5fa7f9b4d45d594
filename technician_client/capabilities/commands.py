"""Runs one approved command over an open `commands` channel."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Protocol

from protocol.catalogue import CommandEntry
from protocol.errors import PeerViolation, SupportError
from protocol.ids import RequestId, new_request_id
from protocol.messages.commands import (
    FROM_AGENT_CODEC,
    FROM_TECHNICIAN_CODEC,
    AskOutcome,
    CancelCommand,
    CommandEnded,
    CommandOutcome,
    CommandRefused,
    FromAgent,
    RunCommand,
)


class MessageStream(Protocol):
    """A channel of a session; `protocol.aio.channel_io.ChannelStream` is one."""

    async def send(self, message: bytes) -> None:
        """Queue a message."""
        ...

    async def receive(self) -> bytes:
        """The next message; raises SupportError when the channel is over."""
        ...


async def run_command(
    stream: MessageStream,
    entry: CommandEntry,
    parameters: Mapping[str, str],
    *,
    request_id: RequestId | None = None,
    approval: bytes = b"",
) -> AsyncGenerator[FromAgent, None]:
    """Run the entry; yields what the agent says, with `CommandEnded` or `CommandRefused` as the last.

    Closing the generator before that cancels the command. A fresh `request_id` is made when none is given;
    `approval` is the second person's, for that id.

    Raises:
        Refused: E_COMMAND_PARAMETER, by our own check, before anything is sent.
        SupportError: the channel ended. PeerViolation: a message of another request.
    """
    entry.build_argv(parameters)
    request_id = request_id or new_request_id()
    order = RunCommand(request_id, entry.command_id, entry.sha256, dict(parameters), approval)
    await stream.send(FROM_TECHNICIAN_CODEC.encode(order))
    is_over = False
    try:
        while not is_over:
            message = FROM_AGENT_CODEC.decode(await stream.receive())
            if message.request_id != request_id:
                raise PeerViolation(f"message of request {message.request_id}")
            is_over = isinstance(message, CommandEnded | CommandRefused)
            yield message
    finally:
        if not is_over:
            await _cancel(stream, request_id)


async def ask_outcome(stream: MessageStream, request_id: RequestId) -> CommandOutcome:
    """What became of a request of ours, also of an earlier session; raises SupportError."""
    await stream.send(FROM_TECHNICIAN_CODEC.encode(AskOutcome(request_id)))
    message = FROM_AGENT_CODEC.decode(await stream.receive())
    if not isinstance(message, CommandOutcome) or message.request_id != request_id:
        raise PeerViolation("another answer than the outcome")
    return message


async def _cancel(stream: MessageStream, request_id: RequestId) -> None:
    with suppress(SupportError):  # the channel is over, and the command with it
        await stream.send(FROM_TECHNICIAN_CODEC.encode(CancelCommand(request_id)))
