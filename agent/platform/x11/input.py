"""Input into an X11 desktop: XTest for the events, the server's own keyboard map for keysyms.

Sources: "X Test Extension Protocol", version 2.2 (XTestFakeInput); "X Window System Protocol",
ChangeKeyboardMapping. A keysym that no key has is bound to an unused keycode for as long as we are
connected; the least recently used one is bound anew when none is left (`borrowed_keys`).
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from agent.platform.x11 import keyboard_map as kb
from agent.platform.x11.borrowed_keys import BorrowedKeys
from agent.platform.x11.keyboard_map import KeyboardMap, Place
from agent.platform.x11.monitors import monitors
from protocol.errors import BackendUnavailable, ErrorCode
from protocol.limits import ALL_DISPLAYS_INDEX
from protocol.messages.diagnostics import Display
from protocol.messages.input import Event, Key, PointerButton, PointerMove, PointerWheel, TypeText

KEY_PRESS, KEY_RELEASE, BUTTON_PRESS, BUTTON_RELEASE, MOTION = 2, 3, 4, 5, 6  # X11 event codes
WHEEL_BUTTONS = range(4, 8)
SHORTCUT_MASK = kb.CONTROL_MASK | kb.MOD1_MASK | kb.MOD4_MASK
LOOK_AHEAD_CHARS = 64


class XTestInjector:
    """An `InputInjector` for one X11 display, with a connection of its own."""

    def __init__(self, display: str | None = None) -> None:
        """Connect to `display`, or to the one of the environment.

        Raises:
            BackendUnavailable: E_INPUT_NONE, with what is missing.
        """
        try:
            xcffib, xproto, randr, xtest = (
                import_module(name) for name in ("xcffib", "xcffib.xproto", "xcffib.randr", "xcffib.xtest")
            )
        except (ImportError, OSError) as exc:
            raise _unavailable(f"xcffib cannot be loaded ({exc}); install the agent's requirements") from None
        self._errors: tuple[type[Exception], ...] = (xcffib.XcffibException, OSError)
        try:
            self._connection: Any = xcffib.Connection(display)
            setup = self._connection.setup
            self._root = int(setup.roots[self._connection.pref_screen].root)
            self._keycode_min, self._keycode_max = int(setup.min_keycode), int(setup.max_keycode)
            self._xtest: Any = self._connection(xtest.key)
            self._randr: Any = self._connection(randr.key)
            self._xtest.GetVersion(2, 2).reply()
            self._randr.QueryVersion(1, 5).reply()
            mask = randr.NotifyMask
            self._randr.SelectInput(self._root, mask.ScreenChange | mask.CrtcChange | mask.OutputChange)
            # monitors that are set by hand come as a ConfigureNotify of the root window only
            structure = xproto.EventMask.StructureNotify
            self._connection.core.ChangeWindowAttributes(self._root, xproto.CW.EventMask, [structure])
        except (*self._errors, KeyError) as exc:
            raise _unavailable(
                f"X display {display or ''}: {exc!r}; XTest and RandR 1.5 are needed"
            ) from None
        self._mapping_notify = xproto.MappingNotifyEvent
        self._map: KeyboardMap | None = None
        self._monitors: list[Display] | None = None
        self._held: dict[int, int] = {}  # keysym: keycode
        self._buttons: set[int] = set()
        self._borrowed = BorrowedKeys()
        self._is_open = True

    def make_ready(self, event: Event) -> float:
        """See `InputInjector.make_ready`. Of a text, as many characters as there are keycodes for."""
        with self._alive():
            self._read_changes()
            wanted = self._wanted(event)
            chosen = self._borrowed.choose(wanted, self._keymap().unused(), self._held.values())
            if chosen:
                wait_s = self._borrowed.change_in_s(chosen, time.monotonic())
                if wait_s:
                    return wait_s
                self._bind(chosen)
        return self._borrowed.ready_in_s(time.monotonic())

    def inject(self, event: Event, display_index: int) -> None:
        """Play one event; see `InputInjector.inject`."""
        with self._alive():
            self._read_changes()
            match event:
                case PointerMove():
                    self._move(event, display_index)
                case PointerButton():
                    self._button(event.button, is_pressed=event.is_pressed)
                case PointerWheel():
                    self._wheel(event)
                case Key(keysym, True):
                    self._wait_for(event)
                    self._press(keysym)
                case Key(keysym, False):
                    self._release(keysym)
                case TypeText():
                    self._type(event.text)
            self._connection.flush()

    def release_all(self) -> None:
        """Everything that is down goes up."""
        keycodes, buttons = set(self._held.values()), set(self._buttons)
        self._held.clear()
        self._buttons.clear()
        if not self._is_open:
            return
        with suppress(*self._errors):
            for keycode in keycodes:
                self._fake(KEY_RELEASE, keycode)
            for button in buttons:
                self._fake(BUTTON_RELEASE, button)
            self._connection.flush()

    def settle(self) -> None:
        """See `InputInjector.settle`. The server takes a client's requests in order, XTest events at once."""
        with self._alive():
            self._connection.core.GetInputFocus().reply()

    def release_leftovers(self) -> None:
        """Let go of what a process of ours that was killed left down: the server does not do it.

        A key or button that the person holds stays down: the server counts each device's presses by itself.
        """
        with suppress(*self._errors):
            core = self._connection.core
            keys = bytes(core.QueryKeymap().reply().keys)
            for keycode in range(self._keycode_min, self._keycode_max + 1):
                if keys[keycode // 8] >> keycode % 8 & 1:
                    self._fake(KEY_RELEASE, keycode)
            mask = int(core.QueryPointer(self._root).reply().mask)
            for button in range(1, 6):
                if mask >> 7 + button & 1:
                    self._fake(BUTTON_RELEASE, button)
            self._connection.flush()

    def close(self) -> None:
        """Release all, take the bound keysyms back, disconnect."""
        if not self._is_open:
            return
        self.release_all()
        self._is_open = False
        with suppress(*self._errors):
            time.sleep(self._borrowed.free_in_s(time.monotonic()))
            for keysym, keycode in self._borrowed.keycodes.items():
                if keysym in self._row(keycode):
                    self._connection.core.ChangeKeyboardMapping(1, keycode, 1, [kb.NO_SYMBOL])
            self._connection.core.GetInputFocus().reply()
        with suppress(*self._errors):
            self._connection.disconnect()

    @contextmanager
    def _alive(self) -> Iterator[None]:
        if not self._is_open:
            raise _unavailable("closed")
        try:
            yield
        except self._errors as exc:
            if self._connection.has_error():
                self._is_open = False
                raise _unavailable(f"the X display went away: {exc!r}") from None

    def _read_changes(self) -> None:
        while True:
            try:
                event = self._connection.poll_for_event()
            except self._errors:
                if self._connection.has_error():
                    raise
                continue  # the error of an earlier request; the request had no effect
            if event is None:
                return
            if isinstance(event, self._mapping_notify):
                self._map = None
            else:
                self._monitors = None

    def _fake(self, kind: int, detail: int, x: int = 0, y: int = 0) -> None:
        self._xtest.FakeInput(kind, detail, 0, self._root, x, y, 0)

    def _move(self, event: PointerMove, display_index: int) -> None:
        if self._monitors is None:
            self._monitors = monitors(self._connection, self._root)
        shown = _shown(self._monitors, display_index)
        if shown is not None:
            x, y = min(max(event.x, 0), shown.width - 1), min(max(event.y, 0), shown.height - 1)
            self._fake(MOTION, 0, shown.x + x, shown.y + y)

    def _button(self, button: int, *, is_pressed: bool) -> None:
        if button in WHEEL_BUTTONS or is_pressed == (button in self._buttons):
            return
        self._fake(BUTTON_PRESS if is_pressed else BUTTON_RELEASE, button)
        (self._buttons.add if is_pressed else self._buttons.discard)(button)

    def _wheel(self, event: PointerWheel) -> None:
        for clicks, backwards, forwards in ((event.vertical, 4, 5), (event.horizontal, 6, 7)):
            for _ in range(abs(clicks)):
                button = forwards if clicks > 0 else backwards
                self._fake(BUTTON_PRESS, button)
                self._fake(BUTTON_RELEASE, button)

    def _wait_for(self, event: Event) -> None:
        while wait_s := self.make_ready(event):
            time.sleep(wait_s)

    def _type(self, text: str) -> None:
        for at, character in enumerate(text):
            keysyms = kb.character_keysyms(character)
            if keysyms:
                self._wait_for(TypeText(text=text[at : at + LOOK_AHEAD_CHARS]))
                keysym = self._known(keysyms, self._state()[1]) or keysyms[-1]
                self._press(keysym)
                self._release(keysym)

    def _known(self, keysyms: Sequence[int], group: int) -> int:
        """The first of these that a key has; 0 for none."""
        keymap = self._keymap()
        return next((keysym for keysym in keysyms if keymap.find(keysym, group)), 0)

    def _wanted(self, event: Event) -> list[int]:
        """The keysyms that need a key of ours, if the one that is pressed next has none yet."""
        match event:
            case Key(keysym, True) if keysym not in self._held:
                pressed: list[tuple[int, ...]] = [(keysym,)]
            case TypeText(text):
                pressed = [
                    kb.character_keysyms(character) for character in dict.fromkeys(text[:LOOK_AHEAD_CHARS])
                ]
            case _:
                return []
        group = self._state()[1]
        if not pressed or not pressed[0] or self._known(pressed[0], group):
            return []
        ours, wanted = self._borrowed.keycodes, []
        for keysyms in filter(None, pressed):
            known = self._known(keysyms, group)
            if not known:
                self._borrowed.forget(keysyms[-1])
            if not known or known in ours:
                wanted.append(known or keysyms[-1])
        return wanted

    def _press(self, keysym: int) -> None:
        if keysym in self._held:
            return
        mask, group = self._state()
        place = self._keymap().find(keysym, group)
        if place is None:
            return
        around = self._modifier_changes(keysym, place, mask, group)
        if around is None:
            place, around = self._borrow(keysym) or place, []
        for keycode, is_pressed in around:
            self._fake(KEY_PRESS if is_pressed else KEY_RELEASE, keycode)
        self._fake(KEY_PRESS, place.keycode)
        for keycode, is_pressed in reversed(around):
            self._fake(KEY_RELEASE if is_pressed else KEY_PRESS, keycode)
        self._held[keysym] = place.keycode
        self._borrowed.used(keysym, time.monotonic())

    def _release(self, keysym: int) -> None:
        keycode = self._held.pop(keysym, 0) or self._release_other_level(keysym)
        if keycode and keycode not in self._held.values():
            self._fake(KEY_RELEASE, keycode)
            self._borrowed.used(keysym, time.monotonic())

    def _release_other_level(self, keysym: int) -> int:
        """Shift may go up before the letter: then `a` is released where `A` was pressed."""
        for held, keycode in self._held.items():
            if keysym in self._row(keycode):
                del self._held[held]
                return keycode
        return 0

    def _modifier_changes(
        self, keysym: int, place: Place, mask: int, group: int
    ) -> list[tuple[int, bool]] | None:
        """Modifier keys to press or release around the key; None when another hand holds one down."""
        keymap = self._keymap()
        now = keymap.level_now(place.keycode, group, mask)
        if keymap.keysym(place.keycode, group, now) == keysym:
            return []
        if mask & SHORTCUT_MASK and keymap.is_alphabetic(place.keycode, group):
            return []  # Ctrl+Shift+T stays what it is, however the letter was named
        changes: list[tuple[int, bool]] = []
        for bit, modifier in ((1, kb.SHIFT_L), (2, kb.LEVEL3_SHIFT)):
            if (now ^ place.level) & bit:
                modifier_change = self._toggle(modifier, mask)
                if not modifier_change:
                    return None
                changes += modifier_change
        return changes

    def _toggle(self, modifier: int, mask: int) -> list[tuple[int, bool]]:
        keymap = self._keymap()
        bit = keymap.modifier_mask(modifier)
        if not mask & bit:
            keycode = keymap.modifier_keycode(modifier)
            return [(keycode, True)] if keycode else []
        setters = keymap.modifiers[bit.bit_length() - 1]
        return [(keycode, False) for keycode in sorted(set(self._held.values()) & setters)]

    def _state(self) -> tuple[int, int]:
        """The modifiers that are in force, and the keyboard group (XKB protocol, section 12.1)."""
        mask = int(self._connection.core.QueryPointer(self._root).reply().mask)
        return mask & 0xFF, mask >> 13 & 0x3

    def _keymap(self) -> KeyboardMap:
        if self._map is None:
            core = self._connection.core
            count = self._keycode_max - self._keycode_min + 1
            reply = core.GetKeyboardMapping(self._keycode_min, count).reply()
            modifiers = core.GetModifierMapping().reply()
            width = int(modifiers.keycodes_per_modifier)
            keys = [int(keycode) for keycode in modifiers.keycodes]
            self._map = KeyboardMap(
                self._keycode_min,
                int(reply.keysyms_per_keycode),
                [int(keysym) for keysym in reply.keysyms],
                tuple(frozenset(keys[at * width : (at + 1) * width]) - {0} for at in range(8)),
            )
        return self._map

    def _row(self, keycode: int) -> list[int]:
        reply = self._connection.core.GetKeyboardMapping(keycode, 1).reply()
        return [int(keysym) for keysym in reply.keysyms]

    def _borrow(self, keysym: int) -> Place | None:
        """A key of its own for a keysym; None when every keycode is in use by keys."""
        chosen = self._borrowed.choose([keysym], self._keymap().unused(), self._held.values())
        if not chosen:
            return None
        time.sleep(self._borrowed.change_in_s(chosen, time.monotonic()))
        self._bind(chosen)
        return Place(chosen[keysym], 0)

    def _bind(self, chosen: dict[int, int]) -> None:
        columns = self._keymap().columns
        for keysym, keycode in chosen.items():
            self._connection.core.ChangeKeyboardMapping(1, keycode, columns, [keysym] * columns)
        self._connection.flush()
        self._map = None
        self._borrowed.changed(chosen, time.monotonic())


def _shown(displays: list[Display], index: int) -> Display | None:
    """The display of this index, or the box around all of them; None if there is none."""
    if index < len(displays):
        return displays[index]
    if index != ALL_DISPLAYS_INDEX or not displays:
        return None
    x, y = min(one.x for one in displays), min(one.y for one in displays)
    right, bottom = max(one.x + one.width for one in displays), max(one.y + one.height for one in displays)
    return Display(name="all", x=x, y=y, width=right - x, height=bottom - y)


def _unavailable(detail: str) -> BackendUnavailable:
    return BackendUnavailable(detail, code=ErrorCode.E_INPUT_NONE)
