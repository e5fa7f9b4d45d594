"""Channels inside the tunnel: frames, priorities and credit (sans-I/O, the same class at both ends).

A frame is `kind u8 | channel u16 | length u16 | payload`, big endian, at most one TLS record long, so
that a key press never waits behind more than one record of a picture. A message is cut into frames;
its last one has kind END. A sender spends credit (payload plus header, and never less than what holding
a message costs its receiver) on its channel; the receiver gives it back as its program consumes messages.
What has no credit waits here, not in the network.

Source of the credit scheme: RFC 9113 section 5.2 (flow control), per channel only.
"""

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from protocol.errors import ErrorCode, PeerViolation, WrongState
from protocol.limits import (
    CHANNEL_LIMIT,
    CHANNEL_MESSAGE_LIMIT_BYTES,
    CHANNEL_QUEUE_LIMIT_BYTES,
    CHANNEL_WINDOW_BYTES,
    FRAME_COST_LEAST_BYTES,
    FRAME_HEADER_BYTES,
    FRAME_PAYLOAD_LIMIT_BYTES,
    SCREEN_MESSAGE_LIMIT_BYTES,
    SCREEN_WINDOW_BYTES,
)

_HEADER = struct.Struct(">BHH")
_CREDIT = struct.Struct(">I")
CONTROL_CHANNEL = 0
SMALLEST_CUT_BYTES = 512  # a smaller rest of a budget is not worth a frame of its own


class Kind(IntEnum):
    """What a frame carries."""

    PART = 0
    END = 1
    CREDIT = 2


class Priority(IntEnum):
    """Lower goes first; channels of one priority take turns frame by frame."""

    CONTROL = 0
    INPUT = 1
    PICTURE = 2
    BULK = 3


@dataclass(frozen=True, slots=True)
class ChannelTerms:
    """How one channel is treated; both ends must use the same. A message must fit into half a window."""

    priority: Priority
    window_bytes: int = CHANNEL_WINDOW_BYTES
    message_limit_bytes: int = CHANNEL_MESSAGE_LIMIT_BYTES


CONTROL_TERMS = ChannelTerms(Priority.CONTROL)

# by capability; what is not here cannot be opened
CHANNEL_TERMS: dict[str, ChannelTerms] = {
    "input": ChannelTerms(Priority.INPUT),
    "screen": ChannelTerms(Priority.PICTURE, SCREEN_WINDOW_BYTES, SCREEN_MESSAGE_LIMIT_BYTES),
    "diagnostics": ChannelTerms(Priority.BULK),
    "commands": ChannelTerms(Priority.BULK),
}


@dataclass(frozen=True, slots=True)
class ChannelMessage:
    """A whole message that arrived; `cost_bytes` is what `consumed` has to give back."""

    channel_no: int
    content: bytes
    cost_bytes: int


@dataclass(slots=True)
class _Sending:
    terms: ChannelTerms
    credit_bytes: int
    queue: deque[memoryview] = field(default_factory=deque)
    queued_bytes: int = 0


@dataclass(slots=True)
class _Receiving:
    terms: ChannelTerms
    allowed_bytes: int
    parts: bytearray = field(default_factory=bytearray)
    parts_cost_bytes: int = 0
    owed_bytes: int = 0


class Channels:
    """Multiplexes one ordered, reliable byte stream. Channel 0 is open from the start."""

    def __init__(self) -> None:
        self._sending: dict[int, _Sending] = {}
        self._receiving: dict[int, _Receiving] = {}
        self._closed: set[int] = set()
        self._credits: deque[bytes] = deque()
        self._received = bytearray()
        self._turn: dict[Priority, deque[int]] = {priority: deque() for priority in Priority}
        self.open(CONTROL_CHANNEL, CONTROL_TERMS)

    def open(self, channel_no: int, terms: ChannelTerms) -> None:
        """Let messages flow on this number. Both ends do it before the first message.

        Raises:
            WrongState: the number is or was in use, or too many channels are open.
        """
        if channel_no in self._sending or channel_no in self._closed:
            raise WrongState(f"channel {channel_no} is or was in use")
        if len(self._sending) >= CHANNEL_LIMIT:
            raise WrongState(f"more than {CHANNEL_LIMIT} channels")
        self._sending[channel_no] = _Sending(terms, terms.window_bytes)
        self._receiving[channel_no] = _Receiving(terms, terms.window_bytes)
        self._turn[terms.priority].append(channel_no)

    def close(self, channel_no: int) -> None:
        """Drop the channel with what is queued; later frames for it are ignored. May be called twice."""
        sending = self._sending.pop(channel_no, None)
        if sending is None:
            return
        self._receiving.pop(channel_no)
        self._turn[sending.terms.priority].remove(channel_no)
        self._closed.add(channel_no)

    def send(self, channel_no: int, message: bytes) -> None:
        """Queue one message.

        Raises:
            WrongState: the channel is not open, the message is over the channel's limit, or the
                caller ignores back-pressure so long that CHANNEL_QUEUE_LIMIT_BYTES are waiting.
        """
        sending = self._sending.get(channel_no)
        if sending is None:
            raise WrongState(f"channel {channel_no} is not open")
        if len(message) > sending.terms.message_limit_bytes:
            raise WrongState(f"{len(message)} bytes on channel {channel_no}, limit is exceeded")
        if sending.queued_bytes + len(message) > CHANNEL_QUEUE_LIMIT_BYTES:
            raise WrongState(f"channel {channel_no} has {sending.queued_bytes} bytes waiting")
        sending.queue.append(memoryview(message))
        sending.queued_bytes += len(message)

    def queued_bytes(self, channel_no: int) -> int:
        """What waits on this channel for credit or its turn; 0 for a closed one."""
        sending = self._sending.get(channel_no)
        return sending.queued_bytes if sending else 0

    def next_frames(self, budget_bytes: int) -> bytes:
        """Take out up to about `budget_bytes` of frames, most urgent first; empty if nothing may go.

        At least one frame is returned if one may go, so a small budget still makes progress.
        """
        taken = bytearray()
        while self._credits and len(taken) < budget_bytes:
            taken += self._credits.popleft()
        while not taken or budget_bytes - len(taken) >= SMALLEST_CUT_BYTES:
            frame = self._next_frame(max(budget_bytes - len(taken), SMALLEST_CUT_BYTES))
            if not frame:
                break
            taken += frame
        return bytes(taken)

    def _next_frame(self, room_bytes: int) -> bytes:
        for priority in Priority:
            turn = self._turn[priority]
            for _ in range(len(turn)):
                channel_no = turn[0]
                turn.rotate(-1)
                frame = self._cut(channel_no, room_bytes)
                if frame:
                    return frame
        return b""

    def _cut(self, channel_no: int, room_bytes: int) -> bytes:
        sending = self._sending[channel_no]
        if not sending.queue or sending.credit_bytes < FRAME_COST_LEAST_BYTES:
            return b""
        message = sending.queue[0]
        room = room_bytes - FRAME_HEADER_BYTES
        size = min(len(message), FRAME_PAYLOAD_LIMIT_BYTES, room, sending.credit_bytes - FRAME_HEADER_BYTES)
        is_end = size == len(message)
        if is_end:
            sending.queue.popleft()
        else:
            sending.queue[0] = message[size:]
        sending.queued_bytes -= size
        sending.credit_bytes -= _cost_bytes(size)
        return _HEADER.pack(Kind.END if is_end else Kind.PART, channel_no, size) + bytes(message[:size])

    def receive(self, received: bytes) -> list[ChannelMessage]:
        """Messages that these bytes of the stream complete, oldest first.

        Raises:
            PeerViolation: E_MESSAGE_FORMAT, E_MESSAGE_SIZE, E_CHANNEL_UNKNOWN or E_CHANNEL_CREDIT.
        """
        self._received += received
        messages: list[ChannelMessage] = []
        start = 0
        for kind, channel_no, begin, end in self._whole_frames():
            message = self._take(kind, channel_no, memoryview(self._received)[begin:end])
            if message is not None:
                messages.append(message)
            start = end
        del self._received[:start]
        return messages

    def _whole_frames(self) -> Iterator[tuple[int, int, int, int]]:
        start = 0
        while len(self._received) - start >= FRAME_HEADER_BYTES:
            kind, channel_no, length = _HEADER.unpack_from(self._received, start)
            if length > FRAME_PAYLOAD_LIMIT_BYTES:
                raise PeerViolation(f"frame of {length} bytes", code=ErrorCode.E_MESSAGE_SIZE)
            end = start + FRAME_HEADER_BYTES + length
            if len(self._received) < end:
                return
            yield kind, channel_no, start + FRAME_HEADER_BYTES, end
            start = end

    def _take(self, kind: int, channel_no: int, payload: memoryview) -> ChannelMessage | None:
        content = bytes(payload)
        payload.release()
        if channel_no in self._closed:
            return None
        receiving = self._receiving.get(channel_no)
        if receiving is None:
            raise PeerViolation(f"frame for channel {channel_no}", code=ErrorCode.E_CHANNEL_UNKNOWN)
        if kind == Kind.CREDIT:
            self._add_credit(channel_no, content)
            return None
        if kind not in (Kind.PART, Kind.END) or (kind == Kind.PART and not content):
            raise PeerViolation(f"frame of kind {kind}", code=ErrorCode.E_MESSAGE_FORMAT)
        return _assemble(channel_no, receiving, content, is_end=kind == Kind.END)

    def _add_credit(self, channel_no: int, payload: bytes) -> None:
        sending = self._sending[channel_no]
        if len(payload) != _CREDIT.size:
            raise PeerViolation("malformed credit", code=ErrorCode.E_MESSAGE_FORMAT)
        (given,) = _CREDIT.unpack(payload)
        if sending.credit_bytes + given > sending.terms.window_bytes:
            raise PeerViolation(
                f"credit above the window of channel {channel_no}", code=ErrorCode.E_CHANNEL_CREDIT
            )
        sending.credit_bytes += given

    def consumed(self, message: ChannelMessage) -> None:
        """The program took this message; its cost goes back to the sender in batches of a quarter window."""
        receiving = self._receiving.get(message.channel_no)
        if receiving is None:
            return
        receiving.owed_bytes += message.cost_bytes
        if receiving.owed_bytes * 4 >= receiving.terms.window_bytes:
            receiving.allowed_bytes += receiving.owed_bytes
            self._credits.append(
                _HEADER.pack(Kind.CREDIT, message.channel_no, _CREDIT.size)
                + _CREDIT.pack(receiving.owed_bytes)
            )
            receiving.owed_bytes = 0

    @property
    def has_credit_to_give(self) -> bool:
        """Whether a credit frame waits to be taken by `next_frames`."""
        return bool(self._credits)


def _cost_bytes(payload_bytes: int) -> int:
    return max(payload_bytes + FRAME_HEADER_BYTES, FRAME_COST_LEAST_BYTES)


def _assemble(
    channel_no: int, receiving: _Receiving, content: bytes, *, is_end: bool
) -> ChannelMessage | None:
    cost_bytes = _cost_bytes(len(content))
    if cost_bytes > receiving.allowed_bytes:
        raise PeerViolation(f"no credit left on channel {channel_no}", code=ErrorCode.E_CHANNEL_CREDIT)
    receiving.allowed_bytes -= cost_bytes
    receiving.parts += content
    receiving.parts_cost_bytes += cost_bytes
    if len(receiving.parts) > receiving.terms.message_limit_bytes:
        raise PeerViolation(f"message too large on channel {channel_no}", code=ErrorCode.E_MESSAGE_SIZE)
    if not is_end:
        return None
    message = ChannelMessage(channel_no, bytes(receiving.parts), receiving.parts_cost_bytes)
    receiving.parts.clear()
    receiving.parts_cost_bytes = 0
    return message
