#!/usr/bin/env python3
"""A person for demonstrations: answers the prompt on a demo display by moving the pointer and clicking.

    demo_person.py --display :N [--refuse] [--times N | --forever]

It works by real input events (XTest) on the real button, after the button is armed. It serves only a display
whose root window has the property _ALONGSIDE_DEMO_DISPLAY, which scripts/quickstart.sh puts on the virtual
display that it started itself: on a person's own desktop nobody but the person answers.

Exit statuses: 0 done, or the display is gone; 3 this is no demo display; 6 no display there, or no XTest.
"""

import argparse
import struct
import sys
import time
from collections.abc import Sequence
from typing import Any

DEMO_PROPERTY = "_ALONGSIDE_DEMO_DISPLAY"
PART_PROPERTY = "_ALONGSIDE_PART"
PROMPT_CLASS = b"alongside-prompt"
LOOK_S = 0.2
ARMED_AFTER_S = 2.0
MOVE_STEPS = 12
BUTTON_PRESS, BUTTON_RELEASE, MOTION, VIEWABLE = 4, 5, 6, 2
EXIT_REFUSED, EXIT_ENVIRONMENT = 3, 6


class DemoPerson:
    """Eyes and one hand at one display."""

    def __init__(self, connection: Any, xtest: Any, errors: tuple[type[Exception], ...]) -> None:
        self._connection = connection
        self._core = connection.core
        self._xtest = xtest
        self._window_errors = errors
        self._root = int(connection.setup.roots[connection.pref_screen].root)

    def is_demo_display(self) -> bool:
        """Whether quickstart marked this display as its own."""
        return bool(self._property(self._root, DEMO_PROPERTY))

    def wait_for_prompt(self) -> int:
        """Look until a prompt is on the screen; returns its window."""
        while True:
            found = self._find(self._root, "WM_CLASS", PROMPT_CLASS)
            if found:
                return found
            time.sleep(LOOK_S)

    def answer(self, prompt: int, part: str) -> None:
        """Read for a moment, then press that button until the prompt is gone."""
        time.sleep(ARMED_AFTER_S)
        while self._find(self._root, "WM_CLASS", PROMPT_CLASS) == prompt:
            button = self._find(prompt, PART_PROPERTY, part.encode())
            if button:
                self._press(button)
            time.sleep(LOOK_S * 2)

    def _press(self, window: int) -> None:
        try:
            size = self._core.GetGeometry(window).reply()
            corner = self._core.TranslateCoordinates(window, self._root, 0, 0).reply()
        except self._window_errors:
            return
        goal = (corner.dst_x + size.width // 2, corner.dst_y + size.height // 2)
        pointer = self._core.QueryPointer(self._root).reply()
        for step in range(1, MOVE_STEPS + 1):
            x = pointer.root_x + (goal[0] - pointer.root_x) * step // MOVE_STEPS
            y = pointer.root_y + (goal[1] - pointer.root_y) * step // MOVE_STEPS
            self._fake(MOTION, 0, x, y)
            time.sleep(0.02)
        self._fake(BUTTON_PRESS, 1)
        time.sleep(0.05)
        self._fake(BUTTON_RELEASE, 1)

    def _fake(self, kind: int, detail: int, x: int = 0, y: int = 0) -> None:
        self._xtest.FakeInput(kind, detail, 0, self._root, x, y, 0)
        self._connection.flush()

    def _find(self, top: int, name: str, value: bytes) -> int:
        """The first window below `top` that can be seen and has this word in that property; 0 if none."""
        waiting = [top]
        while waiting:
            window = waiting.pop()
            try:
                is_it = value in self._property(window, name).split(b"\0")
                if is_it and self._core.GetWindowAttributes(window).reply().map_state == VIEWABLE:
                    return window
                waiting += self._core.QueryTree(window).reply().children
            except self._window_errors:
                continue  # the window went away while we looked
        return 0

    def _property(self, window: int, name: str) -> bytes:
        atom = self._core.InternAtom(False, len(name), name).reply().atom
        return bytes(self._core.GetProperty(False, window, atom, 0, 0, 256).reply().value.buf())


def serve(display: str, *, part: str, times: int | None) -> int:
    """Answer so many prompts, or all that come; returns the exit status."""
    try:
        import xcffib
        import xcffib.xproto
        import xcffib.xtest
    except ImportError as exc:
        return _say(f"The demo person needs xcffib ({exc}); run scripts/quickstart.sh.", EXIT_ENVIRONMENT)
    try:
        connection: Any = xcffib.Connection(display)  # type: ignore[no-untyped-call]  # has no types
        xtest = connection(xcffib.xtest.key)
    except (xcffib.XcffibException, KeyError):
        return _say(f"There is no X display {display} with XTest.", EXIT_ENVIRONMENT)
    errors = (xcffib.xproto.WindowError, xcffib.xproto.DrawableError, struct.error)
    person = DemoPerson(connection, xtest, errors)
    if not person.is_demo_display():
        return _say(
            f"{display} is not a display that scripts/quickstart.sh started: here only the person answers.",
            EXIT_REFUSED,
        )
    answered = 0
    try:
        while times is None or answered < times:
            prompt = person.wait_for_prompt()
            person.answer(prompt, part)
            answered += 1
    except xcffib.ConnectionException:
        return 0
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description="Answers the prompt on a demo display.")
    parser.add_argument("--display", required=True, help="the demo display, for example :99")
    parser.add_argument("--refuse", action="store_true", help="press Don't allow")
    many = parser.add_mutually_exclusive_group()
    many.add_argument("--times", type=int, default=1, help="how many prompts to answer (default 1)")
    many.add_argument("--forever", action="store_true", help="answer every prompt until the display ends")
    given = parser.parse_args(argv)
    part = "refuse" if given.refuse else "allow"
    return serve(given.display, part=part, times=None if given.forever else given.times)


def _say(sentence: str, status: int) -> int:
    print(sentence, file=sys.stderr)
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
