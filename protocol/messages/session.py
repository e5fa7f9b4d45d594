"""Channel 0 of the tunnel: the session itself, its consent and its channels.

agent → technician   session.ready            the first byte of application data in the tunnel
technician → agent   consent.ask              capabilities, reason, ticket number, length
agent → technician   consent.pending          the person is being asked
agent → technician   consent.answer           what was granted and what was not, each by itself
technician → agent   channel.open             one channel per granted capability
agent → technician   channel.opened / channel.refused
"""

from typing import Annotated, TypeAlias

from msgspec import Meta

from protocol.codec import Codec, Message
from protocol.limits import CHANNEL_MESSAGE_LIMIT_BYTES
from protocol.messages.channel import ChannelClosed, ChannelOpened, ChannelRefused, CloseChannel, OpenChannel
from protocol.messages.consent import Ask, AskAnswer, AskPending, GrantEnded, ReleaseGrant
from protocol.messages.presence import ShortText


class Ready(Message, frozen=True, tag="session.ready"):
    """Agent's first message: the technician's certificate was accepted. Nothing is sent before it.

    `offers` are the grantables that policy lets this technician ask for; `consent` is "ask" or
    "unattended".
    """

    version: int
    session_id: ShortText
    device_name: ShortText
    organisation_name: ShortText
    consent: ShortText
    offers: Annotated[list[ShortText], Meta(max_length=32)]


class Heartbeat(Message, frozen=True, tag="session.heartbeat"):
    """Either end, at least every SESSION_HEARTBEAT_S. `sent_at_ms` is the sender's monotonic clock."""

    beat_no: int
    sent_at_ms: int


class HeartbeatAnswer(Message, frozen=True, tag="session.heartbeat_answer"):
    """Answers at once; `answered_at_ms` is the answering end's monotonic clock (gives the offset)."""

    beat_no: int
    sent_at_ms: int
    answered_at_ms: int


class EndSession(Message, frozen=True, tag="session.end"):
    """Either end: over, for this reason (an error code, or "technician_left", "finished")."""

    cause: ShortText


FromAgent: TypeAlias = (
    Ready
    | AskPending
    | AskAnswer
    | GrantEnded
    | ChannelOpened
    | ChannelRefused
    | ChannelClosed
    | Heartbeat
    | HeartbeatAnswer
    | EndSession
)
FromTechnician: TypeAlias = (
    Ask | ReleaseGrant | OpenChannel | CloseChannel | Heartbeat | HeartbeatAnswer | EndSession
)

FROM_AGENT_CODEC: Codec[FromAgent] = Codec(FromAgent, CHANNEL_MESSAGE_LIMIT_BYTES)
FROM_TECHNICIAN_CODEC: Codec[FromTechnician] = Codec(FromTechnician, CHANNEL_MESSAGE_LIMIT_BYTES)
