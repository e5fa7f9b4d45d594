"""What the relay tells technicians and admins about devices; nothing of it is trusted for decisions."""

from typing import Annotated

from msgspec import Meta

from protocol.codec import Message
from protocol.limits import DEVICE_LIST_LIMIT, NAME_LIMIT_CHARS

ShortText = Annotated[str, Meta(max_length=NAME_LIMIT_CHARS)]


class DeviceRow(Message, frozen=True, tag="presence.device"):
    """One device as the relay knows it.

    `status` is "approved", "pending", "quarantined" (its key is on two computers) or "removed".
    """

    device_id: ShortText
    name: ShortText
    group: ShortText
    platform: ShortText
    status: ShortText
    is_present: bool
    first_seen_at_utc: ShortText
    last_seen_at_utc: ShortText


class DeviceList(Message, frozen=True, tag="presence.list"):
    """Answer to `control.list_devices`."""

    request_no: int
    devices: Annotated[list[DeviceRow], Meta(max_length=DEVICE_LIST_LIMIT)]


class PresenceChanged(Message, frozen=True, tag="presence.changed"):
    """A device of the organisation came, went or changed; sent unasked to technicians and admins."""

    device: DeviceRow
