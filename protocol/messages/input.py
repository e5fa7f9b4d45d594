"""Channel `input`: what the technician's pointer and keyboard do, and what of it did not act."""

from typing import Annotated, TypeAlias

from msgspec import Meta

from protocol.codec import Codec, Message
from protocol.limits import (
    CHANNEL_MESSAGE_LIMIT_BYTES,
    INPUT_EVENTS_PER_MESSAGE_LIMIT,
    KEYSYM_LIMIT,
    TEXT_INPUT_LIMIT_CHARS,
)
from protocol.messages.presence import ShortText
from protocol.messages.screen import Offset

Keysym = Annotated[int, Meta(ge=1, le=KEYSYM_LIMIT)]


class PointerMove(Message, frozen=True, tag="input.move"):
    """Absolute, in pixels of the shown display; clamped to it by the agent."""

    x: Offset
    y: Offset


class PointerButton(Message, frozen=True, tag="input.button"):
    """Button 1 left, 2 middle, 3 right, 8 back, 9 forward (X11 numbering; the wheel has its own message)."""

    button: Annotated[int, Meta(ge=1, le=9)]
    is_pressed: bool


class PointerWheel(Message, frozen=True, tag="input.wheel"):
    """Wheel clicks; positive is down and right."""

    horizontal: Annotated[int, Meta(ge=-50, le=50)]
    vertical: Annotated[int, Meta(ge=-50, le=50)]


class Key(Message, frozen=True, tag="input.key"):
    """A key by its X keysym (X11R7 keysymdef.h; 0x01000000 + code point for other characters)."""

    keysym: Keysym
    is_pressed: bool


class TypeText(Message, frozen=True, tag="input.text"):
    """Text to be typed as if by keys; for input methods, dead keys and pasted lines."""

    text: Annotated[str, Meta(max_length=TEXT_INPUT_LIMIT_CHARS)]


Event: TypeAlias = PointerMove | PointerButton | PointerWheel | Key | TypeText


class InputEvents(Message, frozen=True, tag="input.events"):
    """Events in order. `sent_at_ms`: the technician's monotonic clock, as in its heartbeats."""

    sent_at_ms: int
    display_index: Annotated[int, Meta(ge=0, le=64)]
    events: Annotated[list[Event], Meta(min_length=1, max_length=INPUT_EVENTS_PER_MESSAGE_LIMIT)]


class ReleaseAll(Message, frozen=True, tag="input.release_all"):
    """The page lost its focus: every key and button that is down goes up."""


class InputState(Message, frozen=True, tag="input.state"):
    """Agent to technician: whether events act, and if not, the code that says why ("" when they do).

    First of all, and again whenever that changes.
    """

    is_active: bool
    code: ShortText


class InputDropped(Message, frozen=True, tag="input.dropped"):
    """Agent to technician: so many events did not act since the last one of these, and why (E_INPUT_*)."""

    events: int
    code: ShortText


FromTechnician: TypeAlias = InputEvents | ReleaseAll
FromAgent: TypeAlias = InputState | InputDropped
FROM_TECHNICIAN_CODEC: Codec[FromTechnician] = Codec(FromTechnician, CHANNEL_MESSAGE_LIMIT_BYTES)
FROM_AGENT_CODEC: Codec[FromAgent] = Codec(FromAgent, 1024)
