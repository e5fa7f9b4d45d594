"""The displays of an X11 desktop by RandR 1.5: the primary one first, as `ScreenSource.displays` has them."""

from importlib import import_module
from typing import Any

from protocol.errors import BackendUnavailable
from protocol.limits import DISPLAY_LIMIT
from protocol.messages.diagnostics import Display


def monitors(connection: Any, root: int) -> list[Display]:
    """The active monitors, physical pixels; the whole desktop where the server has none."""
    randr = import_module("xcffib.randr")
    found = list(connection(randr.key).GetMonitors(root, True).reply().monitors)
    found.sort(key=lambda monitor: not monitor.primary)
    names = [connection.core.GetAtomName(monitor.name) for monitor in found]
    displays = [
        Display(
            name=bytes(name.reply().name.raw).decode("utf-8", "replace")[:64],
            x=int(monitor.x),
            y=int(monitor.y),
            width=int(monitor.width),
            height=int(monitor.height),
        )
        for name, monitor in zip(names, found, strict=True)
    ]
    if displays:
        return displays[:DISPLAY_LIMIT]
    whole = connection.core.GetGeometry(root).reply()
    return [Display(name="screen", x=0, y=0, width=int(whole.width), height=int(whole.height))]


def read_displays(display: str | None = None) -> list[Display]:
    """The displays, over a connection of its own that is closed again.

    Raises:
        BackendUnavailable: E_SCREEN_NONE.
    """
    try:
        xcffib = import_module("xcffib")
        import_module("xcffib.xproto")
    except (ImportError, OSError) as exc:
        raise BackendUnavailable(f"xcffib cannot be loaded ({exc})") from None
    try:
        connection = xcffib.Connection(display)
        try:
            return monitors(connection, int(connection.setup.roots[connection.pref_screen].root))
        finally:
            connection.disconnect()
    except (xcffib.XcffibException, OSError, KeyError) as exc:
        raise BackendUnavailable(f"X display {display or ''}: {exc!r}") from None
