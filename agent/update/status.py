"""What the last look at the list of updates found: one small file that everybody may read.

The service, `doctor` and the console show it; only the updater writes it.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from protocol.errors import EnvironmentFault
from protocol.private_files import write_private_file

_LIMIT_BYTES: Final = 16 << 10
_PUBLIC_FILE: Final = 0o644
WARNING_AFTER: Final = timedelta(hours=24)
ALARM_AFTER: Final = timedelta(days=7)


class Frozen(StrEnum):
    """For how long no list has been believed that was still valid."""

    NO = "no"
    EXPIRED = "expired"
    WARNING = "warning"
    ALARM = "alarm"


class UpdateStatus(msgspec.Struct, frozen=True):
    """`outcome` is a word of `look` or `install`, `code` an error code or "".

    `believed_until_utc`: until when the newest list counts; `since_utc`: when the first look was made.
    """

    version: str = ""
    offered: str = ""
    percent: int = 0
    ring: int = 100
    outcome: str = ""
    code: str = ""
    detail: str = ""
    checked_at_utc: datetime | None = None
    since_utc: datetime | None = None
    believed_until_utc: datetime | None = None
    device_id: str = ""
    relay_url: str = ""

    def frozen(self, now: datetime) -> Frozen:
        """How long a hostile or forgotten relay has kept newer lists from this device."""
        valid_until = self.believed_until_utc or self.since_utc
        if valid_until is None or now <= valid_until:
            return Frozen.NO
        if now - valid_until >= ALARM_AFTER:
            return Frozen.ALARM
        return Frozen.WARNING if now - valid_until >= WARNING_AFTER else Frozen.EXPIRED


def read_status(path: Path) -> UpdateStatus | None:
    """What was found last; None when nothing was, or the file cannot be read."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_LIMIT_BYTES), type=UpdateStatus, strict=True)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def write_status(path: Path, status: UpdateStatus) -> None:
    """Replace it in one step; raises EnvironmentFault E_DATA_DISK."""
    write_private_file(path, msgspec.json.encode(status))
    try:
        path.chmod(_PUBLIC_FILE)
    except OSError as exc:
        raise EnvironmentFault(str(exc)) from None


def utc_now() -> datetime:
    """The time now, as the file carries it."""
    return datetime.now(UTC).replace(microsecond=0)
