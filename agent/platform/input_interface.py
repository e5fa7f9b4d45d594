"""What a platform must offer so that a technician's pointer and keyboard act."""

from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol, TypeAlias

from protocol.messages.input import Event


class InputInjector(Protocol):
    """Plays pointer and keyboard events into the person's desktop. Calls come one at a time.

    An injector remembers what it holds down, so that `release_all` brings up exactly that.
    """

    def make_ready(self, event: Event) -> float:
        """Change what has to change before this event can be played; plays nothing.

        Returns how many seconds later to ask again, until it returns 0.0: then playing it, or the first
        character of its text, waits for nothing. `inject` alone does the waiting by itself.

        Raises:
            BackendUnavailable: E_INPUT_NONE, the desktop is gone.
        """
        ...

    def inject(self, event: Event, display_index: int) -> None:
        """Play one event; positions are pixels of that display, clamped to it; of the box around
        all displays for ALL_DISPLAYS_INDEX.

        A release of what is not held, and a display that does not exist, change nothing. A second press
        of a held key changes nothing either: the desktop repeats keys by itself.

        Raises:
            Refused: E_INPUT_PAUSED, the system itself asks the person; nothing was played.
            BackendUnavailable: E_INPUT_NONE, the desktop is gone.
        """
        ...

    def release_all(self) -> None:
        """Every key and button that this injector holds goes up. Never raises for a desktop that is gone."""
        ...

    def settle(self) -> None:
        """Return when the desktop has taken all that was played so far: nothing of it comes later.

        Raises:
            BackendUnavailable: E_INPUT_NONE, the desktop is gone.
        """
        ...

    def close(self) -> None:
        """Release all, undo what was changed in the keyboard mapping, disconnect. May be called twice."""
        ...


class PersonDid(Enum):
    """What a device of the person's own did."""

    MOVED = auto()
    PRESSED = auto()
    TYPED = auto()


TellPerson: TypeAlias = Callable[[PersonDid, float, float], None]
"""Called in the watch's thread: what, and for MOVED by how many pixels to the right and down."""


class PersonWatch(Protocol):
    """Tells of a person's own devices, and never of what is injected, until it is closed."""

    def close(self) -> None:
        """No call begins after this. May be called twice, and not from the call itself."""
        ...
