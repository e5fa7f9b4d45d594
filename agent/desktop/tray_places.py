"""Where the icon is: in a tray that hears the session's bus, else in one of X11 (XEmbed), else nowhere."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.desktop.language import Language
from agent.desktop.tray_icon import IconCalls, TrayIcon
from agent.desktop.tray_state import TrayState, tray_ppm
from agent.desktop.tray_text import TITLE, state_word

if TYPE_CHECKING:
    from agent.desktop.bus_icon import BusIcon
    from agent.desktop.tray_item import Shown


@dataclass(frozen=True, slots=True)
class TrayPlace:
    """`display`: X11's. `bus_address`: the session bus's, "" without one. `tk`: of the window thread."""

    display: str
    bus_address: str
    tk: Any
    language: Language


class TrayPlaces:
    """One icon at a time: many panels show both kinds. It has no name before the first `show`."""

    def __init__(self, place: TrayPlace, clicked: Callable[[], None], changed: Callable[[], None]) -> None:
        self._place, self._changed = place, changed
        self._state, self._revision = TrayState.OFFLINE, 1
        self._bus: BusIcon | None = None
        calls = IconCalls(clicked, self._choose)
        self._x11 = TrayIcon(place.display, calls, lambda side: tray_ppm(self._state, side))
        if place.bus_address:
            self._bus = _bus_icon(place, calls, self._shown())

    @property
    def is_placed(self) -> bool:
        """The person can see it."""
        return self._x11.is_placed or (self._bus is not None and self._bus.is_placed)

    def descriptor(self) -> int | None:
        """What becomes readable for `read`; None where X11 has no connection for us."""
        return self._x11.descriptor()

    def read(self) -> None:
        """What the X server says of the icon."""
        self._x11.read()

    def look(self) -> None:
        """Call now and then."""
        if self._bus is not None:
            self._bus.look()
        self._x11.read()

    def show(self, state: TrayState) -> None:
        """The state is this now."""
        self._state, self._revision = state, self._revision + 1
        if self._bus is not None:
            self._bus.show(self._shown())
        self._x11.show(f"{TITLE}: {state_word(state, self._place.language)}")

    def close(self) -> None:
        """Take it away. May be called twice."""
        if self._bus is not None:
            self._bus.close()
        self._x11.close()

    def _choose(self) -> None:
        self._x11.wanted(is_wanted=self._bus is None or not self._bus.is_placed)
        self._changed()

    def _shown(self) -> "Shown":
        from agent.desktop.tray_item import PICTURE_SIDES, Shown, argb_picture

        state, say = self._state, self._place.language.say
        word = state_word(state, self._place.language)
        return Shown(
            title=f"{TITLE}: {word}",
            state=word,
            open_word=say("Open Alongside"),
            is_urgent=state is TrayState.IN_SESSION,
            pictures=tuple(argb_picture(tray_ppm(state, side), side) for side in PICTURE_SIDES),
            revision=self._revision,
            is_from_right=self._place.language.is_from_right,
        )


def _bus_icon(place: TrayPlace, calls: IconCalls, shown: "Shown") -> "BusIcon":
    from agent.desktop.bus_icon import BusIcon

    return BusIcon(place.bus_address, place.tk, calls, shown)
