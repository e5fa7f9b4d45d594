"""The X11 screen source: XDamage says when and where, MIT-SHM reads, XFixes and XInput watch the cursor.

The pixels of the root window never include the cursor. Pointer motion is noticed by XInput 2 raw events,
which cost nothing while the pointer rests.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agent.platform.interfaces import Area, Cursor, DisplayArea, Noticed
from agent.platform.x11.bindings import load_bindings
from agent.platform.x11.connection import Desk, connect
from agent.platform.x11.cursor import CursorReader
from agent.platform.x11.readers import PixelReader, open_reader
from protocol.errors import BackendUnavailable
from protocol.limits import DISPLAY_LIMIT, DISPLAY_SIDE_LIMIT_PIXELS

if TYPE_CHECKING:
    from agent.platform.interfaces import Pixels

NAME = "xcffib"
DAMAGE_RECTANGLES_LIMIT = 256
REGION_HEADER_BYTES = 32
ALL_MASTER_DEVICES = 1
ROWS_AT_ONCE = 32


def open_x11_screen(display: str) -> X11Screen:
    """Opens the screen of an X server, for example ":0".

    Raises:
        BackendUnavailable: with what is missing and what would help.
    """
    if not display:
        raise BackendUnavailable("DISPLAY is not set; start the agent inside the person's graphical session")
    desk = connect(load_bindings(), display)
    try:
        return X11Screen(desk, open_reader(desk))
    except desk.bindings.xcffib.XcffibException as exc:
        desk.connection.disconnect()
        raise BackendUnavailable(f"the X server refused: {exc!r}") from exc


class X11Screen:
    """A `ScreenSource`; see there."""

    name = NAME

    def __init__(self, desk: Desk, reader: PixelReader) -> None:
        self.detail = f"X11, {reader.detail}" + (", 10-bit colours cut to 8" if desk.depth == 30 else "")
        self._desk = desk
        self._reader = reader
        self._bindings = desk.bindings
        self._is_open = True
        self._cursor = CursorReader(desk)
        self._randr: Any = desk.connection(desk.bindings.randr.key) if "RANDR" in desk.extensions else None
        self._damage: Any = desk.connection(desk.bindings.damage.key)
        self._xfixes: Any = desk.connection(desk.bindings.xfixes.key)
        self._damage_id, self._region_id = desk.connection.generate_id(), desk.connection.generate_id()
        self.wake_fd: int | None = desk.connection.get_file_descriptor()
        self._subscribe()

    def displays(self) -> Sequence[DisplayArea]:
        """See `ScreenSource`."""
        try:
            whole = self._desk.size()
            monitors = self._monitors() if self._randr else []
        except self._bindings.xcffib.XcffibException as exc:
            raise self._gone(exc) from exc
        cut = [(name, area.common_with(whole)) for name, area in monitors]
        found = [DisplayArea(name, area, 1.0) for name, area in cut if area is not None]
        return (found or [DisplayArea("screen", whole, 1.0)])[:DISPLAY_LIMIT]

    def look(self) -> Noticed:
        """See `ScreenSource`."""
        has_damage = are_displays_new = is_cursor_new = False
        try:
            while (event := self._next_event()) is not None:
                if isinstance(event, self._bindings.damage.NotifyEvent):
                    has_damage = True
                elif isinstance(event, self._bindings.xfixes.CursorNotifyEvent):
                    self._cursor.shape_changed()
                    is_cursor_new = True
                elif isinstance(event, self._bindings.xinput.RawMotionEvent):
                    is_cursor_new = True
                else:
                    are_displays_new |= self._tells_of_displays(event)
            damage = self._take_damage() if has_damage else ()
        except self._bindings.xcffib.XcffibException as exc:
            raise self._gone(exc) from exc
        return Noticed(damage, are_displays_new, is_cursor_new)

    def grab(self, area: Area) -> Pixels | None:
        """See `ScreenSource`."""
        try:
            pixels = self._reader.read(area)
        except self._bindings.xproto.MatchError:
            return None
        except self._bindings.xcffib.XcffibException as exc:
            raise self._gone(exc) from exc
        return eight_bit(pixels) if self._desk.depth == 30 else pixels

    def cursor(self) -> Cursor | None:
        """See `ScreenSource`."""
        try:
            return self._cursor.read()
        except self._bindings.xcffib.XcffibException as exc:
            raise self._gone(exc) from exc

    def close(self) -> None:
        """See `ScreenSource`."""
        if self._is_open:
            self._is_open = False
            self._reader.close()
            self._desk.connection.disconnect()

    def _subscribe(self) -> None:
        root, connection = self._desk.root, self._desk.connection
        self._xfixes.CreateRegion(self._region_id, 0, [], is_checked=True).check()
        # NonEmpty: one event per look, however much is drawn between two looks
        level = self._bindings.damage.ReportLevel.NonEmpty
        self._damage.Create(self._damage_id, root, level, is_checked=True).check()
        self._xfixes.SelectCursorInput(root, self._bindings.xfixes.CursorNotifyMask.DisplayCursor)
        if self._randr is not None:
            mask = self._bindings.randr.NotifyMask
            self._randr.SelectInput(root, mask.ScreenChange | mask.CrtcChange | mask.OutputChange)
            # monitors that are set by hand (RandR 1.5) come as a ConfigureNotify of the root window only
            structure = self._bindings.xproto.EventMask.StructureNotify
            connection.core.ChangeWindowAttributes(root, self._bindings.xproto.CW.EventMask, [structure])
        if "XInputExtension" in self._desk.extensions:
            xinput = connection(self._bindings.xinput.key)
            xinput.XIQueryVersion(2, 2).reply()
            motion = self._bindings.xinput.XIEventMask.RawMotion
            chosen = self._bindings.xinput.EventMask.synthetic(ALL_MASTER_DEVICES, 1, [motion])
            xinput.XISelectEvents(root, 1, [chosen], is_checked=True).check()
        connection.flush()

    def _next_event(self) -> Any:
        while True:
            try:
                return self._desk.connection.poll_for_event()
            except self._bindings.xcffib.Error:
                # a late error of an unchecked request, for example a detach of what the server dropped
                continue

    def _tells_of_displays(self, event: Any) -> bool:
        randr = self._bindings.randr
        configured = self._bindings.xproto.ConfigureNotifyEvent
        return isinstance(event, randr.ScreenChangeNotifyEvent | randr.NotifyEvent | configured)

    def _take_damage(self) -> tuple[Area, ...]:
        self._damage.Subtract(self._damage_id, 0, self._region_id)
        asked = self._xfixes.FetchRegion(self._region_id)
        # asked.reply() would make an object of each rectangle, also of thousands
        reply = bytes(self._desk.connection.wait_for_reply(asked.sequence).buf)
        count = (len(reply) - REGION_HEADER_BYTES) // 8
        if count > DAMAGE_RECTANGLES_LIMIT:
            return (Area(*struct.unpack_from("=hhHH", reply, 8)),)
        rectangles = struct.iter_unpack("=hhHH", reply[REGION_HEADER_BYTES : REGION_HEADER_BYTES + count * 8])
        return tuple(Area(*rectangle) for rectangle in rectangles)

    def _monitors(self) -> list[tuple[str, Area]]:
        monitors = list(self._randr.GetMonitors(self._desk.root, True).reply().monitors)
        monitors.sort(key=lambda monitor: not monitor.primary)
        asked = [self._desk.connection.core.GetAtomName(monitor.name) for monitor in monitors]
        names = [bytes(name.reply().name.raw).decode("utf-8", "replace") for name in asked]
        areas = [Area(monitor.x, monitor.y, monitor.width, monitor.height) for monitor in monitors]
        limit = DISPLAY_SIDE_LIMIT_PIXELS
        return [(name, Area(area.x, area.y, min(area.width, limit), min(area.height, limit)))
                for name, area in zip(names, areas, strict=True)]  # fmt: skip

    def _gone(self, exc: Exception) -> BackendUnavailable:
        return BackendUnavailable(f"the X server stopped answering ({type(exc).__name__})")


def eight_bit(pixels: Pixels) -> Pixels:
    """BGRX of 32-bit words with ten bits for each colour (depth 30); the two lowest bits are lost.

    In place where `pixels` can be written to; a few rows at a time, so that no second picture is needed.
    """
    import numpy as np

    cut = pixels if pixels.flags.writeable else np.empty_like(pixels)
    words, cut_words = pixels.view(np.uint32), cut.view(np.uint32)
    for top in range(0, len(words), ROWS_AT_ONCE):
        rows = slice(top, top + ROWS_AT_ONCE)
        band = words[rows]
        cut_words[rows] = ((band >> 2) & 0xFF) | ((band >> 4) & 0xFF00) | ((band >> 6) & 0xFF0000)
    return cut
