"""A desktop's settings program: the bytes that it publishes, and one that owns them on a display."""

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import xcffib
import xcffib.xproto


def written(settings: Mapping[str, int | str], order: str = "<") -> bytes:
    """These settings as XSETTINGS has them; `order` is "<" or ">"."""
    parts = [struct.pack(f"{order}BxxxII", "<>".index(order), 1, len(settings))]
    for name, value in settings.items():
        parts.append(struct.pack(f"{order}BxH", isinstance(value, str), len(name)) + _padded(name) + bytes(4))
        if isinstance(value, str):
            parts.append(struct.pack(f"{order}I", len(value.encode())) + _padded(value))
        else:
            parts.append(struct.pack(f"{order}i", value))
    return b"".join(parts)


def _padded(text: str) -> bytes:
    content = text.encode()
    return content + bytes(-len(content) % 4)


@contextmanager
def settings_program(display: str, settings: Mapping[str, int | str]) -> Iterator[None]:
    """Own the settings of this display for as long as this lasts."""
    connection = xcffib.Connection(display)
    try:
        core, setup = connection.core, connection.setup
        names = (f"_XSETTINGS_S{connection.pref_screen}", "_XSETTINGS_SETTINGS")
        selection, kind = (core.InternAtom(False, len(name), name).reply().atom for name in names)
        window, root = connection.generate_id(), setup.roots[connection.pref_screen]
        core.CreateWindow(0, window, root.root, 0, 0, 1, 1, 0, 2, 0, 0, [])
        content = written(settings)
        core.ChangePropertyChecked(0, window, kind, kind, 8, len(content), content).check()
        core.SetSelectionOwnerChecked(window, selection, 0).check()
        yield
    finally:
        connection.disconnect()
