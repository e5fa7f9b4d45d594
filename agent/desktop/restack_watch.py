"""Tells when other windows may have come before ours, and when the desktop changed its size.

A compositing manager draws every window by itself, so the X server never says there that one is covered; what
it does say, to whoever asks at the root window, is that a window was mapped, raised or moved.
"""

import contextlib
from collections.abc import Callable, Collection
from importlib import import_module
from typing import Any

import structlog

log = structlog.get_logger()

_STRUCTURE_NOTIFY, _SUBSTRUCTURE_NOTIFY = 1 << 17, 1 << 19  # X11 protocol, SETofEVENT
_EVENT_MASK = 1 << 11  # ChangeWindowAttributes, value mask


class RestackWatch:
    """Quiet until `watch(is_needed=True)`; `descriptor` then becomes readable for `read`."""

    def __init__(self, display: str | None, own_windows: Callable[[], Collection[int]]) -> None:
        """`own_windows` are children of the root window whose events are our own doing."""
        self._own_windows = own_windows
        self._is_needed = False
        self._connection: Any = None
        self._errors: tuple[type[Exception], ...] = (ImportError, OSError)
        with contextlib.suppress(*self._errors):
            xcffib = import_module("xcffib")
            import_module("xcffib.xproto")
            self._errors = (xcffib.XcffibException, OSError)
            with contextlib.suppress(*self._errors):
                self._connection = xcffib.Connection(display)
                self._root = int(self._connection.setup.roots[self._connection.pref_screen].root)

    def descriptor(self) -> int | None:
        """What becomes readable; None without a connection: then nothing is told."""
        return int(self._connection.get_file_descriptor()) if self._connection is not None else None

    def watch(self, *, is_needed: bool) -> None:
        """Have the server tell from now on, or no longer."""
        if self._connection is None or is_needed == self._is_needed:
            return
        self._is_needed = is_needed
        mask = _STRUCTURE_NOTIFY | _SUBSTRUCTURE_NOTIFY if is_needed else 0
        with contextlib.suppress(*self._errors):
            self._connection.core.ChangeWindowAttributes(self._root, _EVENT_MASK, [mask])
            self._connection.flush()

    def read(self) -> bool:
        """Call when the descriptor is readable; whether a window that is not ours was the cause."""
        if self._connection is None:
            return False
        own = self._own_windows()
        is_foreign = False
        try:
            while (event := self._connection.poll_for_event()) is not None:
                is_foreign |= getattr(event, "window", 0) not in own
        except self._errors as exc:
            log.warning("restack_watch.lost", detail=repr(exc))
        return is_foreign

    def close(self) -> None:
        """Disconnect. May be called twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
