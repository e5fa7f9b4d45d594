"""Opening and closing channels; part of channel 0."""

from typing import Annotated

from msgspec import Meta

from protocol.codec import Message
from protocol.messages.presence import ShortText

ChannelNo = Annotated[int, Meta(ge=1, le=65535)]


class OpenChannel(Message, frozen=True, tag="channel.open"):
    """Technician to agent. `channel_no` is fresh; `grant_id` must be a live grant of the capability."""

    channel_no: ChannelNo
    capability: ShortText
    grant_id: ShortText


class ChannelOpened(Message, frozen=True, tag="channel.opened"):
    """Messages of the capability may flow on this channel in both directions."""

    channel_no: ChannelNo


class ChannelRefused(Message, frozen=True, tag="channel.refused"):
    """The channel was not opened; the session goes on."""

    channel_no: ChannelNo
    code: ShortText


class CloseChannel(Message, frozen=True, tag="channel.close"):
    """Technician to agent: done with it. The number is not used again in this session."""

    channel_no: ChannelNo


class ChannelClosed(Message, frozen=True, tag="channel.closed"):
    """Agent to technician: the channel is over; `code` says why ("finished" for the normal end)."""

    channel_no: ChannelNo
    code: ShortText
