"""What Tk cannot say to the X server about our windows: properties that window managers and tests read."""

import contextlib
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from agent.platform.x11.monitors import monitors
from protocol.messages.diagnostics import Display

if TYPE_CHECKING:
    import tkinter as tk

PART_PROPERTY = "_ALONGSIDE_PART"
# X11 protocol, appendix B: predefined atoms
_CARDINAL_ATOM, _RESOURCE_MANAGER_ATOM, _STRING_ATOM, _WINDOW_ATOM = 6, 23, 31, 33
_RESOURCES_LIMIT_WORDS = 16_384


class WindowProperties:
    """Sets properties over a connection of its own; without xcffib it does nothing."""

    def __init__(self, display: str | None = None) -> None:
        self._connection: Any = None
        self._errors: tuple[type[Exception], ...] = (ImportError, OSError)
        with contextlib.suppress(*self._errors):
            xcffib = import_module("xcffib")
            import_module("xcffib.xproto")
            import_module("xcffib.randr")
            self._errors = (xcffib.XcffibException, OSError)
            with contextlib.suppress(*self._errors):
                self._connection = xcffib.Connection(display)

    def name_part(self, window_id: int, part: str) -> None:
        """Call a control by its name ("allow", "stop"), for tests and assistive programs."""
        self._set(window_id, PART_PROPERTY, _STRING_ATOM, 8, part.encode())

    def leave_focus(self, wrapper_id: int) -> None:
        """Ask the window manager not to give this window the keyboard when it appears.

        Source: Extended Window Manager Hints 1.5, _NET_WM_USER_TIME of 0.
        """
        self._set(wrapper_id, "_NET_WM_USER_TIME", _CARDINAL_ATOM, 32, bytes(4))

    def parent_of(self, window_id: int) -> int:
        """The parent window; 0 when it cannot be asked."""
        if self._connection is None:
            return 0
        try:
            return int(self._connection.core.QueryTree(window_id).reply().parent)
        except self._errors:
            return 0

    def displays(self) -> list[Display]:
        """The monitors, the primary one first; empty when they cannot be asked."""
        if self._connection is None:
            return []
        try:
            return monitors(self._connection, self._root())
        except self._errors:
            return []

    def resource(self, name: str) -> str:
        """One of the desktop's settings, for example "Xft.dpi"; "" when it is not set.

        Source: Xlib, RESOURCE_MANAGER property of the root window.
        """
        if self._connection is None:
            return ""
        try:
            reply = self._connection.core.GetProperty(
                False, self._root(), _RESOURCE_MANAGER_ATOM, _STRING_ATOM, 0, _RESOURCES_LIMIT_WORDS
            ).reply()
            lines = bytes(reply.value.raw if hasattr(reply.value, "raw") else reply.value).decode("latin1")
        except self._errors:
            return ""
        found = (line.partition(":") for line in lines.splitlines())
        return next((value.strip() for key, _, value in found if key.strip() == name), "")

    def desktop_settings(self) -> bytes:
        """What the desktop's settings program says, for `xsettings`; empty where there is none.

        Source: freedesktop.org, "XSETTINGS - cross toolkit configuration proposal" 0.5.
        """
        if self._connection is None:
            return b""
        core, name = self._connection.core, "_XSETTINGS_SETTINGS"
        selection = f"_XSETTINGS_S{self._connection.pref_screen}"
        try:
            asked = [core.InternAtom(False, len(each), each) for each in (selection, name)]
            owned, kind = (int(request.reply().atom) for request in asked)
            owner = int(core.GetSelectionOwner(owned).reply().owner)
            if not owner:
                return b""
            reply = core.GetProperty(False, owner, kind, kind, 0, _RESOURCES_LIMIT_WORDS).reply()
            return bytes(reply.value.raw if hasattr(reply.value, "raw") else reply.value)
        except self._errors:
            return b""

    def has_window_manager(self) -> bool:
        """Whether windows can be minimised and found again (Extended Window Manager Hints 1.5)."""
        if self._connection is None:
            return False
        name = "_NET_SUPPORTING_WM_CHECK"
        try:
            core = self._connection.core
            atom = core.InternAtom(False, len(name), name).reply().atom
            reply = core.GetProperty(False, self._root(), atom, _WINDOW_ATOM, 0, 1).reply()
            return bool(reply.value_len)
        except self._errors:
            return False

    def close(self) -> None:
        """Disconnect. May be called twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def _root(self) -> int:
        return int(self._connection.setup.roots[self._connection.pref_screen].root)

    def _set(self, window_id: int, name: str, kind: int, bits: int, content: bytes) -> None:
        if self._connection is None:
            return
        with contextlib.suppress(*self._errors):
            core = self._connection.core
            atom = core.InternAtom(False, len(name), name).reply().atom
            core.ChangePropertyChecked(
                0, window_id, atom, kind, bits, len(content) * 8 // bits, content
            ).check()


def name_parts(properties: WindowProperties, parts: Mapping[str, "tk.Misc"]) -> None:
    """Call controls by their names."""
    window_ids = {part: widget.winfo_id() for part, widget in parts.items()}
    for widget in parts.values():
        widget.winfo_pointerxy()  # a round trip: now the server has made those windows
    for part, window_id in window_ids.items():
        properties.name_part(window_id, part)
