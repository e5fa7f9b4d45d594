"""Channel 0 of the tunnel: the session itself, its consent and its channels.

agent → technician   session.ready            the first byte of application data in the tunnel
technician → agent   consent.ask              capabilities, reason, ticket number, length
agent → technician   consent.pending          the person is being asked
agent → technician   consent.answer           what was granted and what was not, each by itself
technician → agent   channel.open             one channel per granted capability
agent → technician   channel.opened / channel.refused
both                 session.record_asked / session.record_told   is your log still the one I know?
agent → technician   session.receipt          after session.end, and of sessions that were cut, after Ready
technician → agent   session.receipt_answer   signed by both ends, or the code that says why not
agent → technician   session.rating           what the person thought of an earlier session, after Ready
technician → agent   session.rating_taken     it was shown
"""

from typing import Annotated, TypeAlias

from msgspec import Meta

from protocol.codec import Codec, Finite, Message
from protocol.limits import CHANNEL_MESSAGE_LIMIT_BYTES, RATING_COMMENT_LIMIT_CHARS, RECEIPT_LIMIT_BYTES
from protocol.messages.channel import ChannelClosed, ChannelOpened, ChannelRefused, CloseChannel, OpenChannel
from protocol.messages.consent import Ask, AskAnswer, AskPending, GrantEnded, ReleaseGrant
from protocol.messages.presence import ShortText

ReceiptLine = Annotated[bytes, Meta(max_length=RECEIPT_LIMIT_BYTES)]
RecordHash = Annotated[str, Meta(max_length=64)]


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
    """Either end: over, for this reason (an error code, or "technician_left", "finished").

    `wait_s`: with E_CONSENT_PAUSED, E_READBACK_MISMATCH or E_READBACK_BLOCKED, for how long that still holds.
    """

    cause: ShortText
    wait_s: Finite = 0.0


class AskRecord(Message, frozen=True, tag="session.record_asked"):
    """Either end: which hash has record no. `seq` of your audit log? 0 asks for nothing but the head."""

    seq: Annotated[int, Meta(ge=0)]


class TellRecord(Message, frozen=True, tag="session.record_told"):
    """Answer: the hash of record no. `seq`, "" when there is none, and where the log's head is now."""

    seq: Annotated[int, Meta(ge=0)]
    sha256: RecordHash
    head_seq: Annotated[int, Meta(ge=0)]
    head_sha256: RecordHash


class OfferRating(Message, frozen=True, tag="session.rating"):
    """Agent, after Ready: what the person thought of an earlier session of this technician."""

    session_id: ShortText
    is_good: bool
    comment: Annotated[str, Meta(max_length=RATING_COMMENT_LIMIT_CHARS)]


class TakeRating(Message, frozen=True, tag="session.rating_taken"):
    """Technician: it was shown; the agent deletes it."""

    session_id: ShortText


class OfferReceipt(Message, frozen=True, tag="session.receipt"):
    """Agent: the receipt of this or of an earlier session, with the agent's signature."""

    session_id: ShortText
    receipt: ReceiptLine


class AnswerReceipt(Message, frozen=True, tag="session.receipt_answer"):
    """Technician: the receipt with both signatures and `code` "", or no receipt and why not."""

    session_id: ShortText
    receipt: ReceiptLine
    code: ShortText


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
    | AskRecord
    | TellRecord
    | OfferReceipt
    | OfferRating
    | EndSession
)
FromTechnician: TypeAlias = (
    Ask
    | ReleaseGrant
    | OpenChannel
    | CloseChannel
    | Heartbeat
    | HeartbeatAnswer
    | AskRecord
    | TellRecord
    | AnswerReceipt
    | TakeRating
    | EndSession
)

FROM_AGENT_CODEC: Codec[FromAgent] = Codec(FromAgent, CHANNEL_MESSAGE_LIMIT_BYTES)
FROM_TECHNICIAN_CODEC: Codec[FromTechnician] = Codec(FromTechnician, CHANNEL_MESSAGE_LIMIT_BYTES)
