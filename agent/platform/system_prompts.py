"""The windows in which a system asks its own person for a password: not for anybody far away (CON-17).

On X11 such a window is one like any other, and says of itself what it is (WM_CLASS). So this holds for honest
programs; a shell that draws the question itself, as GNOME's does, has no window of its own for it.
"""

from agent.platform.interfaces import SeenWindow, WindowWatch
from protocol.private_windows import SYSTEM_PROMPTS


class SystemPrompts:
    """Whether one is to be seen now. It owns the watch."""

    def __init__(self, watch: WindowWatch) -> None:
        self._watch = watch
        self._seen: tuple[SeenWindow, ...] = ()
        self._is_one = False

    def is_one_up(self) -> bool:
        """Look, and say.

        Raises:
            BackendUnavailable: the desktop does not tell any more.
        """
        # one that is gone since the last look is told once more, and not the next time
        return self._has_seen_one() and self._has_seen_one()

    def _has_seen_one(self) -> bool:
        seen = self._watch.look()
        if seen is not self._seen:
            self._seen = seen
            self._is_one = any(window.places and _is_prompt(window) for window in seen)
        return self._is_one

    def close(self) -> None:
        """Let go of the watch. May be called twice."""
        self._watch.close()


def _is_prompt(window: SeenWindow) -> bool:
    return any(entry.fits(words.classes, ()) for words in window.inside for entry in SYSTEM_PROMPTS)
