"""Which key, on which level, gives a keysym: the server's core keyboard map, read as XKB lays it out.

Source: "The X Keyboard Extension: Protocol Specification", section 12.4 (from the XKB map to the core map):
the columns of a key are G1L1 G1L2 G2L1 G2L2 G1L3 G1L4 G2L3 G2L4.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SHIFT_MASK = 0x01
LOCK_MASK = 0x02
CONTROL_MASK = 0x04
MOD1_MASK = 0x08
MOD4_MASK = 0x40

SHIFT_L = 0xFFE1
LEVEL3_SHIFT = 0xFE03
NUM_LOCK = 0xFF7F
NO_SYMBOL = 0
_KEYPAD = range(0xFF80, 0xFFBE)
_GROUPS_IN_CORE_COLUMNS = 2
_LEVELS = 4


@dataclass(frozen=True, slots=True)
class Place:
    """A key and the level (bit 0 shift, bit 1 level-3 shift) that give a keysym."""

    keycode: int
    level: int


@dataclass(frozen=True, slots=True)
class KeyboardMap:
    """A copy of the server's map. `modifiers` holds, for each of the eight, the keycodes that set it."""

    keycode_min: int
    columns: int
    keysyms: Sequence[int]
    modifiers: tuple[frozenset[int], ...]

    def keysym(self, keycode: int, group: int, level: int) -> int:
        """What that key gives; a level that the key does not have gives the level below it."""
        for lower in (level, level & 1, level & 2, 0):
            found = self._at(keycode, group, lower)
            if found != NO_SYMBOL:
                return found
        return NO_SYMBOL

    def find(self, keysym: int, group: int) -> Place | None:
        """The place of a keysym in this group, the lowest level first."""
        for level in range(_LEVELS):
            for keycode in self._keycodes():
                if self._at(keycode, group, level) == keysym:
                    return Place(keycode, level)
        return None

    def unused(self) -> list[int]:
        """Keycodes that no key of this keyboard has."""
        return [
            keycode
            for keycode in self._keycodes()
            if not any(self._row(keycode)) and not any(keycode in keys for keys in self.modifiers)
        ]

    def modifier_mask(self, keysym: int) -> int:
        """The modifier bit that the key of this keysym sets; 0 when there is none."""
        for keycode in self._keycodes():
            if keysym in self._row(keycode):
                for bit, keys in enumerate(self.modifiers):
                    if keycode in keys:
                        return 1 << bit
        return 0

    def modifier_keycode(self, keysym: int) -> int:
        """The key of this keysym that is a modifier; 0 when there is none."""
        for keycode in self._keycodes():
            if keysym in self._row(keycode) and any(keycode in keys for keys in self.modifiers):
                return keycode
        return 0

    def is_alphabetic(self, keycode: int, group: int) -> bool:
        """Whether Caps Lock works on this key as Shift does: its two levels are one letter in two cases."""
        lower, upper = self._at(keycode, group, 0), self._at(keycode, group, 1)
        if upper == NO_SYMBOL or lower == upper:
            return False
        small = keysym_character(lower)
        return small != "" and small.upper() == keysym_character(upper)

    def level_now(self, keycode: int, group: int, mask: int) -> int:
        """The level that the modifiers in `mask` choose for this key."""
        is_shifted = bool(mask & SHIFT_MASK)
        if mask & LOCK_MASK and self.is_alphabetic(keycode, group):
            is_shifted = not is_shifted
        if mask & self.modifier_mask(NUM_LOCK) and self._at(keycode, group, 1) in _KEYPAD:
            is_shifted = not is_shifted
        is_level3 = bool(mask & self.modifier_mask(LEVEL3_SHIFT))
        return is_shifted | is_level3 << 1

    def _keycodes(self) -> range:
        return range(self.keycode_min, self.keycode_min + len(self.keysyms) // self.columns)

    def _row(self, keycode: int) -> Sequence[int]:
        first = (keycode - self.keycode_min) * self.columns
        return self.keysyms[first : first + self.columns]

    def _at(self, keycode: int, group: int, level: int) -> int:
        if group >= _GROUPS_IN_CORE_COLUMNS:
            # keys that are the same in every layout; letters of a third layout are bound where needed
            found = self._at(keycode, 0, level)
            return found if found >= 0xFD00 and found < 0x01000000 else NO_SYMBOL
        column = group * 2 + (level & 1) + (4 if level & 2 else 0)
        return self._row(keycode)[column] if column < self.columns else NO_SYMBOL


def keysym_character(keysym: int) -> str:
    """The character of a keysym of the Latin-1 or the Unicode range; "" for others."""
    if 0x20 <= keysym <= 0x7E or 0xA0 <= keysym <= 0xFF:
        return chr(keysym)
    if 0x01000100 <= keysym <= 0x0110FFFF and not 0x0100D800 <= keysym <= 0x0100DFFF:
        return chr(keysym - 0x01000000)
    return ""


def character_keysyms(character: str) -> tuple[int, ...]:
    """The keysyms that type a character, the most usual first; empty for control characters.

    Source: X11 protocol, appendix A: Latin-1 by its code, others as 0x01000000 + code point.
    """
    if character in "\n\t":
        return (0xFF0D,) if character == "\n" else (0xFF09,)
    code_point = ord(character)
    if 0x20 <= code_point <= 0x7E or 0xA0 <= code_point <= 0xFF:
        return (code_point,)
    if code_point < 0x20 or 0x7F <= code_point < 0xA0 or 0xD800 <= code_point <= 0xDFFF:
        return ()
    usual = (0x20AC,) if character == "€" else ()
    return (*usual, 0x01000000 + code_point)
