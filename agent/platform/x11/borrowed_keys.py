"""Which unused keycode stands for a keysym that no key has, and when the keyboard map may change for it.

No client says when it has read a changed map, and Xlib forgets a change that is told to it while it waits for
the map after an earlier one (libX11 `XkbGetMapChanges`, then `flags &= ~XkbMapPending`): it goes on with what
the keycode was before, until it comes to the notice itself. So changes have to lie apart, or be all made
before the first key of them is pressed.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

REUSE_REST_S = 0.4  # a client reads the map when it gets to the key: the old one must not change before
CHANGE_REST_S = 0.1  # from one change of the map to the next, and from several to the first key
MORE_REST_S = 0.03  # for each further change that was made at once: a client reads the map for each
BOUND_LIMIT = 64


@dataclass(slots=True)
class BorrowedKeys:
    """The keycodes that are borrowed. Times are seconds of one monotonic clock."""

    _keycodes: dict[int, int] = field(default_factory=dict)  # of a keysym, least recently used first
    _used_s: dict[int, float] = field(default_factory=dict)  # when a keycode was
    _changed_s: float = float("-inf")
    _ready_s: float = float("-inf")

    @property
    def keycodes(self) -> dict[int, int]:
        """Of each keysym."""
        return dict(self._keycodes)

    def used(self, keysym: int, now_s: float) -> None:
        """Its key is pressed or released."""
        keycode = self._keycodes.pop(keysym, None)
        if keycode is not None:
            self._keycodes[keysym] = keycode
            self._used_s[keycode] = now_s

    def forget(self, keysym: int) -> None:
        """Somebody else set the map anew: no key has it any more."""
        self._keycodes.pop(keysym, None)

    def ready_in_s(self, now_s: float) -> float:
        """Until keys may be pressed after the newest changes."""
        return max(0.0, self._ready_s - now_s)

    def free_in_s(self, now_s: float) -> float:
        """Until all may be given back."""
        return self._rest_s(self._keycodes.values(), now_s)

    def choose(self, wanted: Sequence[int], unused: Sequence[int], held: Collection[int]) -> dict[int, int]:
        """A keycode for each of these keysyms that has none, for the first at least if there is any.

        `wanted`: in the order in which they are pressed next; those that come first keep theirs. `unused` are
        the keycodes that no key has, `held` those that are down: they stay what they are.
        """
        free = [code for code in reversed(unused) if code not in held]
        bound = {keysym: code for keysym, code in self._keycodes.items() if code not in unused}
        free = free[: max(0, BOUND_LIMIT - len(bound))]
        staying = dict.fromkeys(wanted[: len(free) + len(bound)])
        free += [code for keysym, code in bound.items() if keysym not in staying and code not in held]
        return dict(zip((keysym for keysym in staying if keysym not in bound), free, strict=False))

    def change_in_s(self, chosen: dict[int, int], now_s: float) -> float:
        """Until these may be bound: what was pressed before has to be read, and so has the last change."""
        return max(0.0, self._changed_s + CHANGE_REST_S - now_s, self._rest_s(chosen.values(), now_s))

    def changed(self, chosen: dict[int, int], now_s: float) -> None:
        """These are bound."""
        taken = set(chosen.values())
        self._keycodes = {kept: code for kept, code in self._keycodes.items() if code not in taken} | chosen
        further = len(chosen) - 1
        self._changed_s = now_s + further * MORE_REST_S
        self._ready_s = self._changed_s + CHANGE_REST_S if further > 0 else now_s

    def _rest_s(self, keycodes: Iterable[int], now_s: float) -> float:
        used_s = (self._used_s[code] for code in keycodes if code in self._used_s)
        return max(0.0, max(used_s, default=float("-inf")) + REUSE_REST_S - now_s)
