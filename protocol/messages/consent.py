"""Asking for capabilities and hearing what was granted; part of channel 0."""

from typing import Annotated

from msgspec import Meta

from protocol.codec import Finite, Message
from protocol.limits import REASON_LIMIT_CHARS, SESSION_LENGTH_LIMIT_S, TICKET_NUMBER_LIMIT_CHARS
from protocol.messages.presence import ShortText

AskNo = Annotated[int, Meta(ge=1, le=1_000_000)]


class Ask(Message, frozen=True, tag="consent.ask"):
    """The technician asks for these grantables, for so many seconds, and says why."""

    ask_no: AskNo
    grantables: Annotated[list[ShortText], Meta(min_length=1, max_length=32)]
    reason: Annotated[str, Meta(max_length=REASON_LIMIT_CHARS)]
    ticket_number: Annotated[str, Meta(max_length=TICKET_NUMBER_LIMIT_CHARS)]
    length_s: Annotated[int, Meta(ge=10, le=SESSION_LENGTH_LIMIT_S)]


class AskPending(Message, frozen=True, tag="consent.pending"):
    """The person is being asked; the answer comes within `timeout_s`."""

    ask_no: AskNo
    timeout_s: Finite


class GivenGrant(Message, frozen=True, tag="consent.grant"):
    """One grant, good for `remaining_s` from now on the agent's clock."""

    grant_id: ShortText
    grantable: ShortText
    remaining_s: Finite


class AskAnswer(Message, frozen=True, tag="consent.answer"):
    """The end of one ask: what was granted, and for what was not, the code that says why."""

    ask_no: AskNo
    granted: Annotated[list[GivenGrant], Meta(max_length=32)]
    refused: Annotated[dict[str, ShortText], Meta(max_length=32)]


class GrantEnded(Message, frozen=True, tag="consent.ended"):
    """A grant is over: E_GRANT_ENDED (time), E_SESSION_STOPPED (the person), or another code."""

    grant_id: ShortText
    grantable: ShortText
    code: ShortText


class ReleaseGrant(Message, frozen=True, tag="consent.release"):
    """The technician gives a grant back."""

    grant_id: ShortText
