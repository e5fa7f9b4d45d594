"""What a person sees of devices, tokens, policies and records. Texts of peers pass `protocol.names`."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from protocol.messages.presence import DeviceRow
from protocol.names import shown_name, shown_text

CELL_LIMIT_CHARS = 120


def cell(value: object) -> Text:
    """One value as plain text: no markup, no control characters."""
    return Text(shown_text(str(value), CELL_LIMIT_CHARS))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> Table:
    """A plain table; numbers stand right."""
    made = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    kept = [list(row) for row in rows]
    for index, column in enumerate(columns):
        is_number = bool(kept) and all(isinstance(row[index], int | float) for row in kept)
        made.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in kept:
        made.add_row(*(cell(value) for value in row))
    return made


def pairs(rows: Iterable[tuple[str, object]], *, title: str = "") -> Table:
    """Names beside their values."""
    made = Table(title=title or None, title_justify="left", box=None, pad_edge=False, show_header=False)
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(Text(name), cell(value))
    return made


def standing(row: DeviceRow) -> str:
    """How the device stands, in one word a person understands."""
    if row.status != "approved":
        words = {"pending": "waits for approval", "quarantined": "QUARANTINED: its key was copied"}
        return words.get(row.status, row.status)
    return "here" if row.is_present else "away"


def device_table(rows: Iterable[DeviceRow]) -> Table:
    """The fleet, those that are here first."""
    order = sorted(rows, key=lambda row: (not row.is_present, row.name.casefold(), row.device_id))
    bearers = Counter(_compared(row.name) for row in order)
    return table(
        ("NAME", "STATE", "GROUP", "SYSTEM", "LAST SEEN (UTC)", "DEVICE"),
        (
            (
                _name_among(row.name, bearers),
                standing(row),
                row.group,
                row.platform,
                row.last_seen_at_utc,
                row.device_id,
            )
            for row in order
        ),
    )


def _name_among(name: str, bearers: Counter[str]) -> str:
    """The name, and how many devices call themselves so: a name is a device's own word and proves nothing."""
    count = bearers[_compared(name)]
    return name if count == 1 else f"{shown_name(name)} (one of {count} of this name)"


def _compared(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def utc_text(moment: datetime) -> str:
    """A moment as we print it: RFC 3339, seconds, "Z"."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def bytes_text(count: int) -> str:
    """A number of bytes in binary units, for reading: 1536 is "1.5 KiB"."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("the last unit takes everything")


def length_text(seconds: float) -> str:
    """A length of time for reading: 93784 s is "1 d 2 h 3 min"."""
    minutes, rest_s = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if count]
    return " ".join(parts) or f"{rest_s} s"
