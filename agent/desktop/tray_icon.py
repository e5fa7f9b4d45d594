"""The icon in the desktop's tray, on X11.

Source: freedesktop.org, "System Tray Protocol Specification" 0.3, and "XEmbed Protocol Specification" 0.5.
Tk cannot dock a window, and pystray's did not hear clicks here; this is the protocol itself, over a
connection of its own. A tray that dies takes its icon with it; one that comes, or comes back, gets it.
"""

import contextlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from importlib import import_module
from typing import Any

import structlog

log = structlog.get_logger()

WINDOW_NAME = "alongside-tray"
SIDE_PX = 24  # until the tray says how large it has to be
SIDE_LIMIT_PX = 128
REQUEST_DOCK = 0
XEMBED_VERSION, XEMBED_MAPPED = 0, 1
# X11 protocol, appendix B: predefined atoms
_STRING_ATOM, _VISUAL_ATOM, _WM_NAME_ATOM, _HINTS_ATOM, _SIZE_HINTS_ATOM, _WM_CLASS_ATOM = (
    31,
    32,
    39,
    40,
    41,
    67,
)
_MIN_AND_BASE_SIZE = 1 << 4 | 1 << 8  # ICCCM 4.1.2.3, WM_SIZE_HINTS
_PRESSES, _EXPOSES, _STRUCTURE = 1 << 2, 1 << 15, 1 << 17  # SETofEVENT
_BACK_PIXEL, _BORDER_PIXEL, _EVENTS, _COLORMAP = 1 << 1, 1 << 3, 1 << 11, 1 << 13  # window attributes
_Z_PIXMAP, _INPUT_OUTPUT = 2, 1
_WHITE = 0xFFFFFFFF


class _Event(IntEnum):
    """X11 protocol, appendix B: event codes."""

    PRESS = 4
    EXPOSE = 12
    DESTROYED = 17
    REPARENTED = 21
    CONFIGURED = 22
    CLIENT_MESSAGE = 33


@dataclass(frozen=True, slots=True)
class IconCalls:
    """`clicked`: the person pressed it. `changed`: it is in a tray now, or no longer."""

    clicked: Callable[[], None]
    changed: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Visual:
    visual_id: int
    depth: int


class TrayIcon:
    """`descriptor` becomes readable for `read`. Without a tray it waits for one."""

    def __init__(self, display: str | None, calls: IconCalls, draw: Callable[[int], bytes]) -> None:
        """`draw` makes the picture, a PPM of this side."""
        self._calls, self._draw = calls, draw
        self._connection: Any = None
        self._errors: tuple[type[Exception], ...] = (ImportError, OSError)
        self._title = ""
        self._tray = self._window = self._context = 0
        self._size, self._hinted_px = (SIDE_PX, SIDE_PX), 0
        self.is_placed, self._is_wanted = False, True
        with contextlib.suppress(*self._errors):
            xcffib = import_module("xcffib")
            self._proto: Any = import_module("xcffib.xproto")
            self._errors = (xcffib.XcffibException, OSError)
            with contextlib.suppress(*self._errors):
                self._connection = xcffib.Connection(display)
                self._start()

    def descriptor(self) -> int | None:
        """What becomes readable; None without a connection."""
        return int(self._connection.get_file_descriptor()) if self._connection is not None else None

    def show(self, title: str) -> None:
        """The picture has changed; `title` says what it means, where a tray shows that."""
        self._title = title
        if self._window:
            with contextlib.suppress(*self._errors):
                self._name()
                self._paint()
            self.read()

    def read(self) -> None:
        """Call when the descriptor is readable, and after whatever asked the server something."""
        if self._connection is None:
            return
        try:
            self._connection.flush()
            while (event := self._connection.poll_for_event()) is not None:
                self._take(event)
                self._connection.flush()  # it may read events too, and then nothing becomes readable
        except self._errors as exc:
            log.warning("tray_icon.lost", detail=repr(exc))

    def wanted(self, *, is_wanted: bool) -> None:
        """Be in a tray, or in none."""
        if is_wanted is self._is_wanted or self._connection is None:
            return
        self._is_wanted = is_wanted
        with contextlib.suppress(*self._errors):
            if is_wanted:
                self._dock()
            else:
                self._forget()
        self.read()

    def close(self) -> None:
        """Take it away and disconnect. May be called twice."""
        connection, self._connection = self._connection, None
        self.is_placed = False
        if connection is not None:
            connection.disconnect()

    def _start(self) -> None:
        connection = self._connection
        number = connection.pref_screen
        screen = connection.setup.roots[number]
        self._root, self._screen = int(screen.root), screen
        names = (f"_NET_SYSTEM_TRAY_S{number}", "_NET_SYSTEM_TRAY_OPCODE", "_NET_SYSTEM_TRAY_VISUAL")
        asked = {
            name: connection.core.InternAtom(False, len(name), name)
            for name in (*names, "MANAGER", "_XEMBED_INFO", "_NET_WM_NAME", "UTF8_STRING")
        }
        atoms = {name: int(request.reply().atom) for name, request in asked.items()}
        self._selection, self._opcode, self._visual_atom = (atoms[name] for name in names)
        self._manager, self._info = atoms["MANAGER"], atoms["_XEMBED_INFO"]
        self._long_name, self._utf8 = atoms["_NET_WM_NAME"], atoms["UTF8_STRING"]
        connection.core.ChangeWindowAttributes(self._root, _EVENTS, [_STRUCTURE])
        self._dock()

    def _dock(self) -> None:
        """Ask the tray that there is, if there is one."""
        core = self._connection.core
        tray = int(core.GetSelectionOwner(self._selection).reply().owner)
        if not tray or self._window or not self._is_wanted:
            return
        try:
            core.ChangeWindowAttributesChecked(tray, _EVENTS, [_STRUCTURE]).check()
            self._tray = tray
            self._make_window(self._wanted_visual(tray))
            self._send(tray, self._opcode, (0, REQUEST_DOCK, self._window, 0, 0))
            self._connection.flush()
        except self._errors as exc:  # it died meanwhile
            log.info("tray_icon.not_docked", detail=repr(exc))
            self._forget()

    def _wanted_visual(self, tray: int) -> _Visual:
        screen = self._screen
        reply = self._connection.core.GetProperty(False, tray, self._visual_atom, _VISUAL_ATOM, 0, 1).reply()
        wanted = int(reply.value.to_atoms()[0]) if reply.value_len else 0
        for allowed in screen.allowed_depths:
            if allowed.depth in (24, 32) and any(each.visual_id == wanted for each in allowed.visuals):
                return _Visual(wanted, int(allowed.depth))
        return _Visual(int(screen.root_visual), int(screen.root_depth))

    def _make_window(self, visual: _Visual) -> None:
        connection, core = self._connection, self._connection.core
        self._depth, self._size = visual.depth, (SIDE_PX, SIDE_PX)
        colormap, self._window, self._context = (connection.generate_id() for _ in range(3))
        core.CreateColormap(0, colormap, self._root, visual.visual_id)
        core.CreateWindow(
            visual.depth,
            self._window,
            self._root,
            0,
            0,
            SIDE_PX,
            SIDE_PX,
            0,
            _INPUT_OUTPUT,
            visual.visual_id,
            _BACK_PIXEL | _BORDER_PIXEL | _EVENTS | _COLORMAP,
            [_WHITE, 0, _PRESSES | _EXPOSES | _STRUCTURE, colormap],
        )
        core.CreateGC(self._context, self._window, 0, [])
        name = WINDOW_NAME.encode()
        self._property(_WM_CLASS_ATOM, _STRING_ATOM, 8, name + b"\0" + name + b"\0")
        self._property(self._info, self._info, 32, struct.pack("=2I", XEMBED_VERSION, XEMBED_MAPPED))
        self._hint(SIDE_PX)
        self._name()

    def _hint(self, side_px: int) -> None:
        """Say how large it wants to be: trays that use GtkSocket give it one pixel otherwise."""
        self._hinted_px = side_px
        least = (side_px, side_px)
        hints = (_MIN_AND_BASE_SIZE, 0, 0, 0, 0, *least, *([0] * 8), *least, 0)
        self._property(_HINTS_ATOM, _SIZE_HINTS_ATOM, 32, struct.pack("=18I", *hints))

    def _name(self) -> None:
        self._property(_WM_NAME_ATOM, _STRING_ATOM, 8, self._title.encode("latin1", "replace"))
        self._property(self._long_name, self._utf8, 8, self._title.encode())

    def _property(self, name: int, kind: int, bits: int, content: bytes) -> None:
        self._connection.core.ChangeProperty(
            0, self._window, name, kind, bits, len(content) * 8 // bits, content
        )

    def _send(self, window: int, kind: int, words: tuple[int, int, int, int, int]) -> None:
        proto = self._proto
        content = proto.ClientMessageData.synthetic(list(words), "5I")
        event = proto.ClientMessageEvent.synthetic(32, window, kind, content)
        self._connection.core.SendEvent(False, window, 0, event.pack())

    def _take(self, event: Any) -> None:
        match event.response_type & 0x7F:
            case _Event.CLIENT_MESSAGE if (
                event.type == self._manager and event.data.data32[1] == self._selection
            ):
                self._dock()
            case _Event.DESTROYED if event.window in (self._tray, self._window):
                self._lose()
            case _Event.REPARENTED if event.window == self._window:
                if event.parent == self._root:
                    self._lose()
                else:
                    self._place()
            case _Event.CONFIGURED if event.window == self._window:
                self._resize(int(event.width), int(event.height))
            case _Event.EXPOSE if event.window == self._window:
                self._paint()
            case _Event.PRESS if event.event == self._window:
                self._calls.clicked()

    def _resize(self, width: int, height: int) -> None:
        self._size = (width, height)
        if width < height <= SIDE_LIMIT_PX and self._hinted_px != height:
            self._hint(height)  # as wide as this tray is high
        self._paint()

    def _place(self) -> None:
        self.is_placed = True
        log.info("tray_icon.placed")
        self._calls.changed()

    def _lose(self) -> None:
        """The tray is gone: without this the X server would leave the icon on the bare desktop."""
        was_placed = self.is_placed
        self._forget()
        self._dock()
        if was_placed:
            self._calls.changed()

    def _forget(self) -> None:
        window, self._window = self._window, 0
        self._tray, self.is_placed = 0, False
        if window:
            with contextlib.suppress(*self._errors):
                self._connection.core.DestroyWindowChecked(window).check()

    def _paint(self) -> None:
        width, height = self._size
        side = max(1, min(width, height, SIDE_LIMIT_PX))
        picture = _pixels(self._draw(side), side)
        self._connection.core.PutImage(
            _Z_PIXMAP,
            self._window,
            self._context,
            side,
            side,
            (width - side) // 2,
            (height - side) // 2,
            0,
            self._depth,
            len(picture),
            picture,
        )


def _pixels(ppm: bytes, side: int) -> bytes:
    """A PPM's pixels as the server wants them: blue, green, red, and opaque."""
    found = ppm[len(ppm) - side * side * 3 :]
    picture = bytearray(b"\xff" * (side * side * 4))
    picture[0::4], picture[1::4], picture[2::4] = found[2::3], found[1::3], found[0::3]
    return bytes(picture)
