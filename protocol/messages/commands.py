"""Channel `commands`: approved commands of the signed catalogue."""

from typing import Annotated, TypeAlias

from msgspec import Meta

from protocol.codec import Codec, Finite, Message
from protocol.limits import (
    APPROVAL_LIMIT_BYTES,
    CHANNEL_MESSAGE_LIMIT_BYTES,
    COMMAND_PARAMETERS_LIMIT,
    COMMAND_VALUE_LIMIT_CHARS,
)
from protocol.messages.presence import ShortText

Value = Annotated[str, Meta(max_length=COMMAND_VALUE_LIMIT_CHARS)]


class RunCommand(Message, frozen=True, tag="commands.run_command"):
    """Technician: run this entry. `entry_sha256` (hex) is of the catalogue entry that was displayed.

    `approval` is the second person's signed yes (`protocol.approval`) where the entry takes two people.
    """

    request_id: ShortText
    command_id: ShortText
    entry_sha256: Annotated[str, Meta(min_length=64, max_length=64)]
    parameters: Annotated[dict[str, Value], Meta(max_length=COMMAND_PARAMETERS_LIMIT)]
    approval: Annotated[bytes, Meta(max_length=APPROVAL_LIMIT_BYTES)] = b""


class CancelCommand(Message, frozen=True, tag="commands.cancel"):
    """Technician: end it now."""

    request_id: ShortText


class AskOutcome(Message, frozen=True, tag="commands.ask_outcome"):
    """Technician: what became of this request of mine, also of an earlier session? Runs nothing."""

    request_id: ShortText


class CommandStarted(Message, frozen=True, tag="commands.started"):
    """Agent: the process runs; `argv` is what was started."""

    request_id: ShortText
    argv: list[str]


class CommandOutput(Message, frozen=True, tag="commands.output"):
    """Agent: a piece of output, as it comes. `stream` is "stdout" or "stderr"."""

    request_id: ShortText
    stream: ShortText
    chunk: bytes


class CommandEnded(Message, frozen=True, tag="commands.ended"):
    """Agent: over. `exit_status` is -1 when it was ended by us; `code` is "" or the error code."""

    request_id: ShortText
    exit_status: int
    is_truncated: bool
    took_s: Finite
    code: ShortText


class CommandRefused(Message, frozen=True, tag="commands.refused"):
    """Agent: not run. `detail` names the parameter or the rule; it is plain text to be shown."""

    request_id: ShortText
    code: ShortText
    detail: Annotated[str, Meta(max_length=300)]


class CommandOutcome(Message, frozen=True, tag="commands.outcome"):
    """Agent: `state` is "taken", "started", "ended", "refused", "not_run", "unknown" or "not_taken"."""

    request_id: ShortText
    state: ShortText
    exit_status: int
    code: ShortText


FromTechnician: TypeAlias = RunCommand | CancelCommand | AskOutcome
FromAgent: TypeAlias = CommandStarted | CommandOutput | CommandEnded | CommandRefused | CommandOutcome
FROM_TECHNICIAN_CODEC: Codec[FromTechnician] = Codec(FromTechnician, CHANNEL_MESSAGE_LIMIT_BYTES)
FROM_AGENT_CODEC: Codec[FromAgent] = Codec(FromAgent, CHANNEL_MESSAGE_LIMIT_BYTES)
