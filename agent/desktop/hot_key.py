"""Stop by the keyboard: Ctrl+Alt+Shift+X, grabbed from the X server while a session lives."""

import contextlib
from collections.abc import Callable
from importlib import import_module
from typing import Any

import structlog

from agent.platform.x11.keyboard_map import CONTROL_MASK, LOCK_MASK, MOD1_MASK, SHIFT_MASK

log = structlog.get_logger()

KEYSYM_X = 0x78
_CHORD = CONTROL_MASK | MOD1_MASK | SHIFT_MASK
_NUM_LOCK_MASK = 0x10  # Mod2 on every keyboard description that XKB ships
_IGNORED = (0, LOCK_MASK, _NUM_LOCK_MASK, LOCK_MASK | _NUM_LOCK_MASK)
_ASYNCHRONOUS = 1
KEY_PRESS = 2


class HotKey:
    """Held between `grab` and `release`. `watch` gets the descriptor that becomes readable for `read`."""

    def __init__(self, display: str | None, on_pressed: Callable[[], None]) -> None:
        self._on_pressed = on_pressed
        self._connection: Any = None
        self._errors: tuple[type[Exception], ...] = (ImportError, OSError)
        self._keycode = 0
        self.is_grabbed = False
        self._is_taken = False  # as the log has it
        with contextlib.suppress(*self._errors):
            xcffib = import_module("xcffib")
            import_module("xcffib.xproto")
            self._errors = (xcffib.XcffibException, OSError)
            with contextlib.suppress(*self._errors):
                self._connection = xcffib.Connection(display)
                self._root = self._connection.setup.roots[self._connection.pref_screen].root

    def descriptor(self) -> int | None:
        """What becomes readable; None without a connection."""
        return int(self._connection.get_file_descriptor()) if self._connection is not None else None

    def is_available(self) -> bool:
        """Whether the keys can be had at this moment; nobody else holds them."""
        was_grabbed = self.is_grabbed
        is_available = self.grab()
        if not was_grabbed:
            self.release()
        return is_available

    def grab(self) -> bool:
        """Take the keys; False when another program holds them."""
        if self._connection is None or self.is_grabbed:
            return self.is_grabbed
        try:
            self._keycode = self._find_keycode()
            core = self._connection.core
            asked = [
                core.GrabKeyChecked(
                    False, self._root, _CHORD | extra, self._keycode, _ASYNCHRONOUS, _ASYNCHRONOUS
                )
                for extra in _IGNORED
            ]
            for request in asked:
                request.check()
        except self._errors as exc:
            if not self._is_taken:  # whoever tries again and again says it once
                log.warning("hot_key.taken", detail=repr(exc))
            self._is_taken = True
            self._ungrab()
            return False
        self.is_grabbed, self._is_taken = True, False
        return True

    def release(self) -> None:
        """Give the keys back."""
        if self.is_grabbed:
            self.is_grabbed = False
            self._ungrab()

    def read(self) -> None:
        """Call when the descriptor is readable."""
        if self._connection is None:
            return
        try:
            while (event := self._connection.poll_for_event()) is not None:
                if event.response_type & 0x7F == KEY_PRESS and self.is_grabbed:
                    self._on_pressed()
        except self._errors as exc:
            log.warning("hot_key.lost", detail=repr(exc))
            self.is_grabbed = False

    def close(self) -> None:
        """Give the keys back and disconnect. May be called twice."""
        self.release()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def _find_keycode(self) -> int:
        setup = self._connection.setup
        count = setup.max_keycode - setup.min_keycode + 1
        reply = self._connection.core.GetKeyboardMapping(setup.min_keycode, count).reply()
        at = list(reply.keysyms).index(KEYSYM_X) if KEYSYM_X in list(reply.keysyms) else 0
        return int(setup.min_keycode) + at // int(reply.keysyms_per_keycode)

    def _ungrab(self) -> None:
        with contextlib.suppress(*self._errors):
            for extra in _IGNORED:
                self._connection.core.UngrabKey(self._keycode, self._root, _CHORD | extra)
            self._connection.flush()
