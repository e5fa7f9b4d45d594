"""Watches the windows of an X server over a connection of its own, so that none is missed between two looks.

After `look` everything that the server did before that moment is known: events arrive in the order in which
things happened, and a reply arrives after every event that came about before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.platform.interfaces import Area, SeenWindow
from agent.platform.x11.bindings import Bindings, load_bindings
from agent.platform.x11.window_book import WindowBook
from agent.platform.x11.window_words import Reading, WordReader
from protocol.errors import BackendUnavailable

ROUNDS_LIMIT = 24
"""A look ends after so many rounds of questions; windows that go on changing then count as anything."""
SENT_BY_A_CLIENT = 0x80  # X protocol, "Events": the most significant bit, set by SendEvent


def open_x11_window_watch(display: str) -> X11WindowWatch:
    """Watches the windows of an X server, for example ":0".

    Raises:
        BackendUnavailable: with what is missing.
    """
    bindings = load_bindings()
    try:
        connection = bindings.xcffib.connect(display=display)
    except bindings.xcffib.XcffibException as exc:
        raise BackendUnavailable(f"no X server answers at DISPLAY {display!r} ({exc!r})") from exc
    try:
        return X11WindowWatch(bindings, connection)
    except bindings.xcffib.XcffibException as exc:
        connection.disconnect()
        raise BackendUnavailable(f"the X server does not tell of its windows: {exc!r}") from exc


@dataclass(frozen=True, slots=True)
class _Kinds:
    """The events' classes, by what is done with them."""

    create: Any
    configure: Any
    gravity: Any
    mapping: dict[Any, bool]
    destroy: Any
    reparent: Any
    property: Any


class X11WindowWatch:
    """A `WindowWatch`; see there."""

    def __init__(self, bindings: Bindings, connection: Any) -> None:
        self._bindings = bindings
        self._connection = connection
        self._core = connection.core
        setup = connection.get_setup()
        self._root = setup.roots[connection.pref_screen].root
        self._book = WindowBook()
        self._words = WordReader(bindings, connection, ~setup.resource_id_mask)
        self._is_open = True
        xproto = bindings.xproto
        self._kinds = _Kinds(
            xproto.CreateNotifyEvent,
            xproto.ConfigureNotifyEvent,
            xproto.GravityNotifyEvent,
            {xproto.MapNotifyEvent: True, xproto.UnmapNotifyEvent: False},
            xproto.DestroyNotifyEvent,
            xproto.ReparentNotifyEvent,
            xproto.PropertyNotifyEvent,
        )
        self.wake_fd: int = connection.get_file_descriptor()
        self._meet_all()

    def look(self) -> tuple[SeenWindow, ...]:
        """See `WindowWatch`."""
        try:
            for _ in range(ROUNDS_LIMIT):
                self._catch_up()
                unread = self._book.unread()
                if not unread:
                    break
                for window_id in unread:
                    self._read(window_id)
            return self._book.take()
        except self._bindings.xcffib.XcffibException as exc:
            raise BackendUnavailable(f"the X server does not tell of its windows: {exc!r}") from exc

    def close(self) -> None:
        """See `WindowWatch`."""
        if self._is_open:
            self._is_open = False
            self._connection.disconnect()

    def _meet_all(self) -> None:
        xproto = self._bindings.xproto
        mask = xproto.EventMask.SubstructureNotify
        # first the events, then the list: whatever happens in between is told
        self._core.ChangeWindowAttributes(self._root, xproto.CW.EventMask, [mask], is_checked=True).check()
        children = list(self._core.QueryTree(self._root).reply().children)
        asked = [(window_id, self._core.GetWindowAttributes(window_id)) for window_id in children]
        for window_id, cookie in asked:
            try:
                attributes = cookie.reply()
            except xproto.WindowError:
                continue  # gone already
            is_mapped = attributes.map_state != xproto.MapState.Unmapped
            is_popup = bool(attributes.override_redirect)
            self._book.appeared(window_id, None, is_popup=is_popup, is_mapped=is_mapped)

    def _catch_up(self) -> None:
        """Take in everything that happened until now."""
        self._core.GetInputFocus().reply()
        while True:
            try:
                event = self._connection.poll_for_event()
            except self._bindings.xcffib.Error:
                continue  # a late error of an unchecked request, about a window that is gone
            if event is None:
                return
            # any program can send events; only the server's own are true
            if not event.response_type & SENT_BY_A_CLIENT:
                self._take(event)

    def _take(self, event: Any) -> None:
        kinds = self._kinds
        if isinstance(event, kinds.property):
            if event.atom in self._words.atoms.all:
                is_title = event.atom in self._words.atoms.titles
                self._book.renamed(event.window, event.atom if is_title else None)
        elif isinstance(event, kinds.create):
            self._created(event)
        elif isinstance(event, kinds.reparent):
            self._reparented(event)
        elif getattr(event, "event", None) == self._root:
            self._take_of_child(event)
        elif isinstance(event, kinds.destroy):
            self._book.rearranged(event.event)

    def _created(self, event: Any) -> None:
        if event.parent == self._root:
            self._book.appeared(event.window, _area(event), is_popup=bool(event.override_redirect))
        else:
            self._book.rearranged(event.parent)

    def _reparented(self, event: Any) -> None:
        if event.parent == self._root:
            self._book.appeared(event.window, None, is_popup=bool(event.override_redirect))
            return
        if event.event == self._root:
            self._book.gone(event.window)
        self._book.rearranged(event.parent)

    def _take_of_child(self, event: Any) -> None:
        kinds = self._kinds
        if isinstance(event, kinds.configure):
            self._book.moved(event.window, _area(event), is_popup=bool(event.override_redirect))
        elif isinstance(event, kinds.gravity):
            self._book.shifted(event.window, event.x, event.y)
        elif isinstance(event, kinds.destroy):
            self._book.gone(event.window)
        elif type(event) in kinds.mapping:
            self._book.mapped(event.window, is_mapped=kinds.mapping[type(event)])

    def _read(self, window_id: int) -> None:
        self._book.about_to_read(window_id)
        try:
            if self._book.lacks_place(window_id):
                geometry = self._core.GetGeometry(window_id).reply()
                self._book.placed(window_id, _area(geometry))
            reading: Reading | None = self._words.read(window_id)
        except (self._bindings.xproto.WindowError, self._bindings.xproto.DrawableError):
            reading = None  # gone: the event that says so is on its way
        if reading is None:
            self._book.unreadable(window_id)
            return
        self._book.read(reading.itself, reading.inside, reading.containers, is_drawn=reading.is_drawn)


def _area(told: Any) -> Area:
    """With the border, whose upper left corner is the window's place (X protocol, CreateWindow)."""
    border = 2 * told.border_width
    return Area(told.x, told.y, told.width + border, told.height + border)
