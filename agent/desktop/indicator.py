"""The indicator: a bar at the top of the screen for each live session, with Stop. It cannot be hidden.

The window manager has no say in it (override-redirect). It comes back when it is covered, moved or unmapped;
if that does not help it calls `on_stop`, because a session that the person cannot see must not go on.
`Bars` also has an edge shown on every display while there is any bar.
"""

import time
import tkinter as tk
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.desktop import looks as lk
from agent.desktop.cover_rules import CoverRules, Order, Sight
from agent.desktop.edges import Edges
from agent.desktop.ipc_messages import ShowIndicator
from agent.desktop.looks import Button, Looks
from agent.desktop.place import primary_place
from agent.desktop.prompt_text import indicator_text, keys_taken_text, time_here, time_left
from agent.desktop.x11_windows import WindowProperties, name_parts
from protocol.errors import BackendUnavailable

WINDOW_CLASS = "alongside-indicator"
TICK_MS = 500
REST_TICK_MS = 5000  # while it is in sight and `RestackWatch` tells of what may cover it
REMAP_MS = 10
TEXT_WIDTH_PX = 560
MINIMAL_TEXT_PX, GAP_PX = 120, 2
_SIGHTS = {
    "VisibilityUnobscured": Sight.CLEAR,
    "VisibilityPartiallyObscured": Sight.PARTLY,
    "VisibilityFullyObscured": Sight.COVERED,
}


@dataclass(frozen=True, slots=True)
class BarCalls:
    """What a bar tells: the session's id comes along, and which order is shown. Each may come more than once.

    `is_told`: somebody calls `Bars.check` whenever other windows may have come before it.
    """

    on_shown: Callable[[str, int], None]
    on_stop: Callable[[str], None]
    is_told: bool = False


class Bar:
    """One session's bar."""

    def __init__(
        self, looks: Looks, properties: WindowProperties, calls: BarCalls, number: int, *, is_verified: bool
    ) -> None:
        self._looks, self._properties, self._calls = looks, properties, calls
        self._say = looks.language.say
        self._session_id = ""
        self._show_no = 0
        self._since_s = time.monotonic()
        self._until_s = 0.0
        self._is_verified = is_verified
        self._top = 0
        self._owes_shown = False
        self._is_over = False
        self._frame_id = 0
        self._rules = CoverRules(time.monotonic())
        window = self._window = tk.Toplevel(
            looks.root,
            name=f"alongside-indicator-{number}",
            class_=WINDOW_CLASS,
            background=looks.colours.bar_line if is_verified else looks.colours.stop_hover,
        )
        window.withdraw()
        window.overrideredirect(boolean=True)
        self._build()
        self.say_keys(are_ours=True)
        for pattern in ("<Visibility>", "<Map>", "<Unmap>", "<Configure>", "<Destroy>"):
            window.bind(pattern, self._on_window)
        self._ticking = window.after(TICK_MS, self._tick)

    @property
    def is_in_sight(self) -> bool:
        """Whether the person can see it at this moment."""
        return self._rules.is_in_sight

    @property
    def is_verified(self) -> bool:
        """Whether the person's organisation vouches for who is here."""
        return self._is_verified

    @property
    def height(self) -> int:
        """Pixels that it takes."""
        return self._window.winfo_reqheight()

    @property
    def frame_id(self) -> int:
        """The child of the root window that holds it."""
        if not self._frame_id and self._window.winfo_exists():
            self._frame_id = self._properties.parent_of(self._window.winfo_id())
        return self._frame_id

    def show(self, order: ShowIndicator) -> None:
        """Show it, or change what it says; `on_shown` follows when it is in sight."""
        self._session_id, self._show_no = order.session_id, order.show_no
        self._until_s = time.monotonic() + order.remaining_s
        who, may = indicator_text(order, self._looks.language)
        self._who.configure(text=who)
        self._may.configure(text=may)
        self._owes_shown = True
        self._restart_tick()
        self._fit()
        self._place()
        self._window.deiconify()
        self._window.lift()
        if self._rules.is_in_sight:
            self._tell_shown()

    def say_keys(self, *, are_ours: bool) -> bool:
        """Say whether the Stop keys work, also by the window's name; whether that is news."""
        title = self._say("Alongside: someone is helping you")
        words = "" if are_ours else keys_taken_text(self._looks.language)
        title = f"{title}. {words}" if words else title
        if title == self._window.title():
            return False
        self._window.title(title)
        self._keys.configure(text=words)
        if are_ours:
            self._keys.pack_forget()
        else:
            self._keys.pack(anchor=self._looks.anchor)
        self._fit()
        self._place()
        return True

    def move_to(self, top: int) -> None:
        """Stand so many pixels below the top of the primary monitor."""
        self._top = top
        self._place()

    def check(self) -> None:
        """Other windows may have come before it, or the desktop changed."""
        if not self._is_over:
            self._place()
            self._follow(self._rules.tick(time.monotonic()))

    def stopping(self) -> None:
        """Stop was pressed: say so until the service takes the bar away."""
        if self._is_over:
            return
        self._may.configure(text=self._say("has been stopped"))
        self._stop.enable(is_enabled=False)
        self._stop.configure(text=self._say("Stopped"))

    def close(self) -> None:
        """Take it away without a word."""
        self._is_over = True
        if self._window.winfo_exists():
            self._window.after_cancel(self._ticking)
            self._window.destroy()

    def _build(self) -> None:
        px, colours = self._looks.px, self._looks.colours
        # red on red would not be found
        ground, stop = (colours.bar, lk.STOP) if self._is_verified else (colours.bar_alarm, lk.STOP_ON_ALARM)
        bar = tk.Frame(self._window, background=ground)
        bar.pack(fill="both", expand=True, padx=px(1), pady=(0, px(1)))
        mark = tk.Canvas(bar, width=px(28), height=px(28), background=ground, highlightthickness=0)
        mark.create_image(0, 0, anchor="nw", image=self._looks.mark(28, ground))
        mark.pack(side=self._looks.start, padx=self._looks.pad(px(14), px(10)), pady=px(6))
        self._stop = Button(bar, self._looks, stop, (self._say("Stop"), self._say("Stopped")))
        self._stop.pack(side=self._looks.end, padx=self._looks.pad(px(4), px(8)), pady=px(3))
        # the press already stops: waiting for the release would be waiting
        self._stop.bind("<ButtonPress-1>", self._on_stop_pressed)
        name_parts(self._properties, {"stop": self._stop})
        times = tk.Frame(bar, background=ground)
        times.pack(side=self._looks.end, padx=self._looks.pad(px(10), px(6)), pady=px(5))
        self._here = lk.label(times, self._looks, "", lk.Type(14, self._looks.colours.on_bar, is_bold=True))
        self._left = lk.label(times, self._looks, "", lk.Type(13, self._looks.colours.on_bar))
        for line in (self._here, self._left):
            line.configure(anchor=self._looks.far_anchor, justify=self._looks.end)
            line.pack(anchor=self._looks.far_anchor, fill="x")
        words = self._words = tk.Frame(bar, background=ground)
        words.pack(side=self._looks.start, pady=px(5))
        width_px = TEXT_WIDTH_PX
        self._who = lk.label(words, self._looks, "", lk.Type(14, self._looks.colours.on_bar, True, width_px))
        self._who.pack(anchor=self._looks.anchor)
        self._may = lk.label(
            words, self._looks, "", lk.Type(13, self._looks.colours.on_bar, width_px=width_px)
        )
        self._may.pack(anchor=self._looks.anchor)
        self._keys = lk.label(
            words, self._looks, "", lk.Type(13, self._looks.colours.on_bar, True, width_px)
        )  # packed while there is something to say
        name_parts(self._properties, {"stop_keys": self._keys})

    def _on_stop_pressed(self, _: Any) -> None:
        self._calls.on_stop(self._session_id)

    def _on_window(self, event: Any) -> None:
        if event.widget is not self._window or self._is_over:
            return
        now_s = time.monotonic()
        match event.type:
            case tk.EventType.Visibility:
                self._follow(self._rules.seen(_SIGHTS.get(str(event.state), Sight.CLEAR), now_s))
                self._restart_tick()
            case tk.EventType.Unmap:
                # not at once: when it was destroyed, mapping it would keep Tk waiting for two seconds
                order = self._rules.seen(Sight.GONE, now_s)
                self._restart_tick()
                self._window.after(REMAP_MS, self._follow, order)
            case tk.EventType.Configure:
                self._place()
            case tk.EventType.Destroy:
                self._is_over = True
                self._looks.root.after_cancel(self._ticking)
                self._calls.on_stop(self._session_id)
                # Tk is left with a window that it takes for whole: no further one can be relied on
                raise BackendUnavailable("another program destroyed the indicator's window")

    def _follow(self, order: Order) -> None:
        if self._is_over:
            return
        if order is Order.LIFT:
            if not self._window.winfo_viewable():
                self._window.deiconify()
                self._place()
            self._window.lift()
        elif order is Order.GIVE_UP:
            self._calls.on_stop(self._session_id)
        if self._rules.is_in_sight:
            self._tell_shown()

    def _tell_shown(self) -> None:
        if self._owes_shown:
            self._owes_shown = False
            self._calls.on_shown(self._session_id, self._show_no)

    def _tick(self) -> None:
        self.check()
        if not self._is_over:
            self._restart_tick()

    def _restart_tick(self) -> None:
        now_s = time.monotonic()
        text, holds_s = time_left(self._until_s - now_s, self._looks.language)
        text = self._say("{length} left", length=text)
        if text != self._left.cget("text"):  # Tk draws the same text anew, and that is damage
            self._left.configure(text=text)
            here = time_here(now_s - self._since_s, self._looks.language)
            if here != self._here.cget("text"):  # in one picture with the other
                self._here.configure(text=here)
        is_at_rest = self._calls.is_told and self._rules.is_in_sight
        wait_ms = min(REST_TICK_MS if is_at_rest else TICK_MS, holds_s * 1000 + 1)
        self._window.after_cancel(self._ticking)
        self._ticking = self._window.after(int(wait_ms), self._tick)

    def _fit(self) -> None:
        """Wrap the words where the display ends, so that Stop stays on it at any scale."""
        window = self._window
        window.update_idletasks()
        beside = window.winfo_reqwidth() - self._words.winfo_reqwidth()
        room = primary_place(window, self._properties).width - beside
        wrap = max(MINIMAL_TEXT_PX, min(self._looks.px(TEXT_WIDTH_PX), room))
        for line in (self._who, self._may, self._keys):
            if int(str(line.cget("wraplength"))) != wrap:
                line.configure(wraplength=wrap)
        window.update_idletasks()

    def _place(self) -> None:
        window = self._window
        screen = primary_place(window, self._properties)
        width = min(window.winfo_reqwidth(), screen.width)
        left, top = screen.x + (screen.width - width) // 2, screen.y + self._top
        if (window.winfo_rootx(), window.winfo_rooty()) != (left, top):
            window.geometry(f"+{left}+{top}")


class Bars:
    """The bars of all live sessions, one below the other, and the edges while there is any."""

    def __init__(
        self, looks: Looks, properties: WindowProperties, calls: BarCalls, edges: Edges | None = None
    ) -> None:
        self._looks, self._properties, self._calls, self._edges = looks, properties, calls, edges
        self._bars: dict[str, Bar] = {}
        self._numbers = 0
        self._has_keys = True

    @property
    def session_ids(self) -> tuple[str, ...]:
        """The sessions that have a bar."""
        return tuple(self._bars)

    @property
    def height(self) -> int:
        """Pixels that they take at the top of the primary monitor."""
        return sum(bar.height + self._looks.px(GAP_PX) for bar in self._bars.values())

    def show(self, order: ShowIndicator) -> None:
        """Show this session's bar, or change what it says."""
        if order.session_id not in self._bars:
            self._numbers += 1
            is_verified = bool(order.organisation_name)
            self._bars[order.session_id] = Bar(
                self._looks, self._properties, self._calls, self._numbers, is_verified=is_verified
            )
        bar = self._bars[order.session_id]
        bar.say_keys(are_ours=self._has_keys)
        bar.show(order)
        self._stack()

    def say_keys(self, *, are_ours: bool) -> None:
        """Say in every bar whether the Stop keys work now."""
        self._has_keys = are_ours
        changed = {bar.say_keys(are_ours=are_ours) for bar in self._bars.values()}
        if True in changed:
            self._stack()

    def frame_ids(self) -> frozenset[int]:
        """The children of the root window that hold the bars."""
        return frozenset(bar.frame_id for bar in self._bars.values())

    def check(self) -> None:
        """Other windows may have come before the bars, or the desktop changed."""
        for bar in list(self._bars.values()):
            bar.check()
        self._show_edges()

    def is_in_sight(self, session_id: str) -> bool:
        """Whether the person can see this session's bar at this moment."""
        bar = self._bars.get(session_id)
        return bar is not None and bar.is_in_sight

    def stopping(self, session_id: str) -> None:
        """Show that Stop was pressed."""
        if session_id in self._bars:
            self._bars[session_id].stopping()

    def hide(self, session_id: str) -> None:
        """The session is over."""
        bar = self._bars.pop(session_id, None)
        if bar is not None:
            bar.close()
        self._stack()

    def close(self) -> None:
        """Take every bar away."""
        for session_id in self.session_ids:
            self.hide(session_id)
        if self._edges is not None:
            self._edges.close()

    def _show_edges(self) -> None:
        if self._edges is None:
            return
        if not self._bars:
            self._edges.hide()
            return
        bars = list(self._bars.values())
        colour = (
            self._looks.colours.bar if all(bar.is_verified for bar in bars) else self._looks.colours.bar_alarm
        )
        self._edges.show(colour, bars[0].frame_id)

    def _stack(self) -> None:
        top = 0
        for bar in self._bars.values():
            bar.move_to(top)
            top += bar.height + self._looks.px(GAP_PX)
        self._show_edges()
