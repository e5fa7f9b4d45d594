"""The desktop's settings as its settings program hands them out on X11: theme, animations.

Source: freedesktop.org, "XSETTINGS - cross toolkit configuration proposal" 0.5. Any program of the person's
session may own them, so they are cut like a peer's bytes: what does not fit says nothing.
"""

import struct

_INTEGER, _TEXT, _COLOUR = 0, 1, 2
_COLOUR_BYTES = 8


def read_settings(content: bytes) -> dict[str, int | str]:
    """Numbers and texts by name; colours are left out, and everything where the bytes are not whole."""
    if len(content) < 12 or content[0] not in (0, 1):
        return {}
    order = "<>"[content[0]]
    try:
        return dict(_settings(content, order))
    except (struct.error, ValueError):
        return {}


def _settings(content: bytes, order: str) -> list[tuple[str, int | str]]:
    (count,) = struct.unpack_from(f"{order}I", content, 8)
    at, found = 12, []
    for _ in range(count):
        kind, name_length = struct.unpack_from(f"{order}BxH", content, at)
        name = _cut(content, at + 4, name_length).decode("ascii")
        at += 4 + _padded(name_length) + 4  # the last is the serial of its last change
        if kind == _INTEGER:
            (number,) = struct.unpack_from(f"{order}i", content, at)
            found.append((name, number))
            at += 4
        elif kind == _TEXT:
            (length,) = struct.unpack_from(f"{order}I", content, at)
            found.append((name, _cut(content, at + 4, length).decode()))
            at += 4 + _padded(length)
        elif kind == _COLOUR:
            at += _COLOUR_BYTES
        else:
            raise ValueError("a kind of setting that nobody defined")
    return found


def _cut(content: bytes, at: int, length: int) -> bytes:
    if at + length > len(content):
        raise ValueError("cut short")
    return content[at : at + length]


def _padded(length: int) -> int:
    return (length + 3) // 4 * 4
