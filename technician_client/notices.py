"""What a live session tells whoever drives it, apart from answers to what was asked."""

from dataclasses import dataclass
from typing import TypeAlias

from protocol.messages.channel import ChannelClosed
from protocol.messages.consent import AskPending, GrantEnded
from protocol.messages.session import OfferRating


@dataclass(frozen=True, slots=True)
class SessionOver:
    """The session has ended; `code` is an error code or "technician_left", "finished"."""

    code: str


@dataclass(frozen=True, slots=True)
class PeerAlarm:
    """The device's audit log is not the one that was known (E_AUDIT_PEER); the session goes on."""

    code: str


SessionNotice: TypeAlias = OfferRating | GrantEnded | AskPending | ChannelClosed | PeerAlarm | SessionOver
