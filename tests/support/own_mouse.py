"""A person's own mouse at Xvfb: the server's device "Xvfb mouse", moved and pressed by number.

XTestFakeInput plays events of any device that it is given the number of (XInput, XTestFakeDeviceMotionEvent).
The server takes them as that device's; only those of its XTEST devices are what injection makes.
"""

import io
import struct
from typing import Any

import xcffib
import xcffib.xinput
import xcffib.xtest

from tests.support.x_person import XPerson

NAME = "Xvfb mouse"
BUTTON_DOWN, BUTTON_UP, MOTION = 3, 4, 5  # XIproto.h
FAKE_INPUT = 2


class OwnMouse:
    """Beside the hands of an `XPerson`, whose connection it uses."""

    def __init__(self, person: XPerson) -> None:
        self._connection = person.connection
        self._root = person.root
        self._xtest: Any = self._connection(xcffib.xtest.key)
        xinput: Any = self._connection(xcffib.xinput.key)
        self._first = self._connection.core.QueryExtension(15, "XInputExtension").reply().first_event
        xinput.XIQueryVersion(2, 2).reply()
        names = {
            bytes(each.name.raw).decode(): each.deviceid for each in xinput.XIQueryDevice(0).reply().infos
        }
        self._number = int(names[NAME])

    def move(self, dx: int, dy: int) -> None:
        """So many pixels further; the server's acceleration does not touch steps this small."""
        values = struct.pack("=BBHHBB6i", self._first, self._number, 0, 0, 2, 0, dx, dy, 0, 0, 0, 0)
        self._fake(MOTION, 1, values)

    def click(self) -> None:
        """The left button, where the pointer is."""
        self._fake(BUTTON_DOWN, 1)
        self._fake(BUTTON_UP, 1)

    def go(self, x: int, y: int) -> None:
        """Towards there in small steps, looking where the pointer is, as an eye does."""
        for _ in range(3000):
            at = self._connection.core.QueryPointer(self._root).reply()
            dx, dy = x - at.root_x, y - at.root_y
            if not dx and not dy:
                return
            self.move(max(-3, min(3, dx)), max(-3, min(3, dy)))
        raise AssertionError("the pointer does not get there")

    def _fake(self, kind: int, detail: int, values: bytes = b"") -> None:
        event = struct.pack("=xx2xBB2xI16x7xB", self._first + kind, detail, 0, self._number)
        self._xtest.send_request(
            FAKE_INPUT, io.BytesIO(event + values), xcffib.VoidCookie, is_checked=True
        ).check()
