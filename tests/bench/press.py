"""The program that presses a real key (XTEST) on the viewer's display and notes when.

Prints "ready", presses from the line "go" on, prints the times (ns, just before each press) as JSON.
"""

import argparse
import importlib
import json
import random
import sys
import time
from typing import Any

from tests.bench.x_board import XLook

KEY_A, PRESS, RELEASE, MOVE, BUTTON_DOWN, BUTTON_UP = 38, 2, 3, 6, 4, 5
HELD_S = 0.04
CLICK_AT = (1000, 1040)


class Hand:
    """A keyboard and a mouse at one display."""

    def __init__(self, display: str) -> None:
        self._look = XLook(display)
        connection = self._look.connection
        self._xtest: Any = connection(importlib.import_module("xcffib.xtest").key)
        self._root = self._look.screen.root

    def fake(self, kind: int, detail: int, at: tuple[int, int] = (0, 0)) -> None:
        """One event of a device, done when it returns."""
        self._xtest.FakeInput(kind, detail, 0, self._root, *at, 0)
        self._look.connection.core.GetInputFocus().reply()

    def click(self, at: tuple[int, int]) -> None:
        """Give the viewer the keyboard, as a person does."""
        self.fake(MOVE, 0, at)
        self.fake(BUTTON_DOWN, 1)
        self.fake(BUTTON_UP, 1)

    def press(self) -> int:
        """Press and let go; the time (ns) just before."""
        at_ns = time.monotonic_ns()
        self.fake(PRESS, KEY_A)
        time.sleep(HELD_S)
        self.fake(RELEASE, KEY_A)
        return at_ns


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--display", required=True)
    parser.add_argument("--presses", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    given = parser.parse_args()
    hand = Hand(given.display)
    hand.click(CLICK_AT)
    print("ready", flush=True)
    sys.stdin.readline()
    dice = random.Random(11)
    pressed = []
    for _ in range(given.presses):
        time.sleep(max(0.05, dice.uniform(0.75, 1.25) / given.rate - HELD_S))
        pressed.append(hand.press())
    print(json.dumps(pressed), flush=True)


if __name__ == "__main__":
    main()
