"""What the list of updates says about one bundle, and which devices it is for (pure, decision 0027).

The list is TUF metadata (timestamp, snapshot, targets, root). An `UpdateOffer` is the `custom` part of a
target, so that the targets key signs it.
"""

import hashlib
from typing import Annotated, Final

import msgspec

from protocol.errors import DocumentRefused, ErrorCode
from protocol.platforms import Platform

UPDATE_ROOT_NAME: Final = "update-root.json"
"""The file of a bundle with the root that a fresh installation believes about updates."""

PERCENTS: Final = (1, 10, 100)
_POSITIONS: Final = 10_000
_Version = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6}){2}\Z")]


class UpdateOffer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A version, for whom, and to how many. Where it fails, `returns_to` is the lowest to go back to."""

    product: Annotated[str, msgspec.Meta(pattern=r"^agent\Z")]
    version: _Version
    platform: Platform
    machine: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_]{1,20}\Z")]
    percent: Annotated[int, msgspec.Meta(ge=1, le=100)]
    returns_to: _Version

    @property
    def target(self) -> str:
        """What its bundle is called in the list."""
        return target_name(self.platform, self.machine)


def target_name(platform: str, machine: str) -> str:
    """What the bundle for such computers is called in the list."""
    return f"agent-{platform}-{machine}.bundle"


def read_offer(custom: object) -> UpdateOffer:
    """The offer in a target's `custom` part.

    Raises:
        DocumentRefused: E_RELEASE_FORMAT.
    """
    try:
        return msgspec.convert(custom, UpdateOffer, strict=True)
    except msgspec.ValidationError as exc:
        raise DocumentRefused(str(exc)[:200], code=ErrorCode.E_RELEASE_FORMAT) from None


def ring_of(device_id: str) -> int:
    """The smallest of 1, 10 and 100 per cent that this device is among; the same for every release."""
    return next(percent for percent in PERCENTS if is_among(device_id, percent))


def is_among(device_id: str, percent: int) -> bool:
    """Whether this device is among the first `percent` of all."""
    digest = hashlib.sha256(b"alongside update ring\0" + device_id.encode()).digest()
    position = int.from_bytes(digest[:8], "big") * _POSITIONS >> 64
    return position * 100 < percent * _POSITIONS
