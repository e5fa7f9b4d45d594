"""A person at the device's desktop in an end-to-end test: waits for windows and uses the real pointer."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.x_person import Seen, XPerson
from tests.support.x_screen import with_cookie

WAIT_S = 20.0
ARMED_AFTER_S = 1.8
LOOK_EVERY_S = 0.02
PROMPT, INDICATOR = "alongside-prompt", "alongside-indicator"


class Person:
    """Everything is done through the X server alone; nothing of the product is asked or told."""

    def __init__(self, screen: dict[str, str]) -> None:
        self._screen = screen
        self._prompt_seen_s = 0.0

    def sees(self, wm_class: str) -> bool:
        """Whether a visible window of this class is on the screen."""
        with self._present() as person:
            return person.find_class(wm_class) is not None

    def sees_part(self, part: str) -> bool:
        """Whether this control or line of ours is on the screen."""
        with self._present() as person:
            return person.find(part) is not None

    def wait_for_window(self, wm_class: str) -> Seen:
        """Wait for a window of this class."""
        return self._wait(lambda person: person.find_class(wm_class), wm_class)

    def wait_for_prompt(self) -> None:
        """Wait for the consent prompt."""
        self.wait_for_window(PROMPT)
        self._prompt_seen_s = time.monotonic()

    def allow(self) -> None:
        """Click Allow once it is armed."""
        time.sleep(max(0.0, self._prompt_seen_s + ARMED_AFTER_S - time.monotonic()))
        self.press("allow")

    def refuse(self) -> None:
        """Click Don't allow."""
        self.press("refuse")

    def pointer(self) -> tuple[int, int]:
        """Where the pointer is."""
        with self._present() as person:
            at = person.connection.core.QueryPointer(person.root).reply()
        return at.root_x, at.root_y

    def press(self, part: str) -> float:
        """Click this control of ours; the monotonic time of the click."""
        seen = self._wait(lambda person: person.find(part), part)
        with self._present() as person:
            pressed_s = time.monotonic()
            person.click(*seen.middle)
        return pressed_s

    def _wait(self, look: Callable[[XPerson], Seen | None], what: str) -> Seen:
        deadline_s = time.monotonic() + WAIT_S
        with self._present() as person:
            while time.monotonic() < deadline_s:
                found = look(person)
                if found is not None:
                    return found
                time.sleep(LOOK_EVERY_S)
        raise AssertionError(f"no {what} within {WAIT_S:.0f} s")

    @contextmanager
    def _present(self) -> Iterator[XPerson]:
        with with_cookie(self._screen):
            person = XPerson(self._screen["DISPLAY"])
        try:
            yield person
        finally:
            person.close()
