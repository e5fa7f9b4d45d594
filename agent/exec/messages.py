"""What the service and one exec worker say to each other: frames of `agent.local_frames`, pipes or a socket.

    service                                  worker
      RunOrder            ->                 verifies signature, grant, entry and parameters again
                          <-  ExecVerified   (or ExecRefused, the end)
      Go                  ->                 the service has written `command.started`
                          <-  ExecStarted, ExecOutput ..., ExecEnded

The end of the worker's standard input means: end the command now. On a socket that is the end of what the
service sends (shutdown(2)); it still hears the rest.
"""

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from protocol.codec import Codec, Finite, Message
from protocol.messages.commands import RunCommand
from protocol.messages.presence import ShortText

ORDER_LIMIT_BYTES = 1 << 20
FROM_WORKER_LIMIT_BYTES = 64 << 10
OUTPUT_CHUNK_LIMIT_BYTES = 15_000  # with its header it still fits one frame of the tunnel
DETAIL_LIMIT_CHARS = 300


class RunOrder(Message, frozen=True, tag="exec.order"):
    """Service: run this. Everything the worker needs to decide for itself whether it may.

    `policy_envelope` is the signed document as it was received; `sealed_grant` is bound to `request`;
    `successors` are the steps from the pinned root to the newest.
    """

    request: RunCommand
    device_id: ShortText
    platform: ShortText
    policy_version: int
    policy_envelope: bytes
    root_der: bytes
    sealed_grant: bytes
    successors: list[bytes] = msgspec.field(default_factory=list)


class Go(Message, frozen=True, tag="exec.go"):
    """Service: the audit record is written, start it."""


class ExecVerified(Message, frozen=True, tag="exec.verified"):
    """Worker: everything holds; `argv` would be started. It waits for Go."""

    argv: list[str]


class ExecStarted(Message, frozen=True, tag="exec.started"):
    """Worker: the program runs, as the leader of its own session and process group `pid`.

    `guardian_pid` is the process whose end ends everything; 0 where there is none.
    """

    pid: int
    guardian_pid: int = 0


class ExecOutput(Message, frozen=True, tag="exec.output"):
    """Worker: output as it comes. `stream` is "stdout" or "stderr"."""

    stream: ShortText
    chunk: bytes


class ExecEnded(Message, frozen=True, tag="exec.ended"):
    """Worker: over. `exit_status` is -1 when we ended it, 128 + n for signal n.

    Nothing of it is left, unless `code` is E_COMMAND_OUTCOME.
    """

    exit_status: int
    is_truncated: bool
    took_s: Finite
    code: ShortText


class ExecRefused(Message, frozen=True, tag="exec.refused"):
    """Worker: nothing was started."""

    code: ShortText
    detail: Annotated[str, Meta(max_length=DETAIL_LIMIT_CHARS)]


ToWorker: TypeAlias = RunOrder | Go
FromWorker: TypeAlias = ExecVerified | ExecStarted | ExecOutput | ExecEnded | ExecRefused
TO_WORKER_CODEC: Codec[ToWorker] = Codec(ToWorker, ORDER_LIMIT_BYTES)
FROM_WORKER_CODEC: Codec[FromWorker] = Codec(FromWorker, FROM_WORKER_LIMIT_BYTES)
