"""Channel 0 of the tunnel before `session.ready`, when the two ends meet by a support code.

technician → agent   pairing.element          before it the agent's guess counter was not touched
agent → technician   pairing.element          CODE_REPLY_S after it came
technician → agent   pairing.confirmation
agent → technician   pairing.confirmation     CODE_REPLY_S after it came: its own, or noise when it was wrong
"""

from typing import Annotated, TypeAlias

from msgspec import Meta

from protocol.codec import Codec, Message
from protocol.limits import (
    PAIRING_CONFIRMATION_BYTES,
    PAIRING_ELEMENT_BYTES,
    PAIRING_MESSAGE_LIMIT_BYTES,
)
from protocol.messages.session import EndSession

_ElementBytes = Annotated[bytes, Meta(min_length=PAIRING_ELEMENT_BYTES, max_length=PAIRING_ELEMENT_BYTES)]
_ConfirmationBytes = Annotated[
    bytes, Meta(min_length=PAIRING_CONFIRMATION_BYTES, max_length=PAIRING_CONFIRMATION_BYTES)
]


class PairingElement(Message, frozen=True, tag="pairing.element"):
    """Either end: its SPAKE2 element, behind the letter of its side (A technician, B device)."""

    element: _ElementBytes


class PairingConfirmation(Message, frozen=True, tag="pairing.confirmation"):
    """Either end: proof that it derived the same key."""

    confirmation: _ConfirmationBytes


InPairing: TypeAlias = PairingElement | PairingConfirmation | EndSession

PAIRING_CODEC: Codec[InPairing] = Codec(InPairing, PAIRING_MESSAGE_LIMIT_BYTES)
