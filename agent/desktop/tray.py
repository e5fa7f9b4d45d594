"""The person's way to the agent: the icon in the tray or a window in the list, and the code's window."""

import tkinter as tk
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.desktop.ipc_messages import Status, StatusAsked
from agent.desktop.looks import Looks
from agent.desktop.palette import Scheme
from agent.desktop.questions import Answer, Questions
from agent.desktop.tray_places import TrayPlace, TrayPlaces
from agent.desktop.tray_state import TrayState, tray_state
from agent.desktop.wishes import Wishes
from agent.desktop.x11_windows import WindowProperties

if TYPE_CHECKING:
    from agent.desktop.help_window import HelpWindow
    from agent.desktop.panel import Panel

LOOK_MS = 15_000
FIRST_LOOK_MS = 300


@dataclass(frozen=True, slots=True)
class TrayTools:
    """What the tray needs from the desktop around it. `session_count` is that of this moment.

    `prompt_first`: a window has come up, and must not stand before a prompt.
    """

    display: str
    bus_address: str
    looks: Looks
    properties: WindowProperties
    questions: Questions
    wishes: Wishes
    session_count: Callable[[], int]
    mismatched: Callable[[str], None]
    prompt_first: Callable[[], None]


class Tray:
    """The icon, the panel and the window with the code. Runs in the window thread."""

    def __init__(self, tools: TrayTools) -> None:
        self._tools = tools
        self._root: tk.Tk = tools.looks.root
        self._link = ""
        self._paused_s = 0.0
        self._state = TrayState.OFFLINE
        self._panel: Panel | None = None
        self._help: HelpWindow | None = None
        self._is_closed = False
        self._looking = self._root.after(FIRST_LOOK_MS, self._look)
        place = TrayPlace(tools.display, tools.bus_address, self._root.tk, tools.looks.language)
        self._icon = TrayPlaces(place, self._open_panel, self._choose_place)
        self._icon.show(self._state)

    def sessions_changed(self) -> None:
        """A session came or went."""
        self._show()

    def get_help(self) -> None:
        """Show a code, or the window that shows one."""
        if self._help is not None:
            self._help.window.lift()
            self._tools.prompt_first()
            return
        from agent.desktop.help_window import HelpWindow

        tools = self._tools
        tools.looks.dress()
        self._help = HelpWindow(tools.looks, tools.properties, tools.questions, self._help_closed)
        tools.prompt_first()

    def descriptor(self) -> int | None:
        """What becomes readable for `read`; None where there can be no icon."""
        return self._icon.descriptor()

    def read(self) -> None:
        """What the X server says of the icon."""
        self._icon.read()

    def close(self) -> None:
        """Take everything away. May be called twice."""
        self._is_closed = True
        self._root.after_cancel(self._looking)
        self._icon.close()
        if self._help is not None:
            self._help.close()

    def _help_closed(self) -> None:
        self._help = None

    def _look(self) -> None:
        self._looking = self._root.after(LOOK_MS, self._look)
        self._icon.look()
        self._choose_place()
        if not self._tools.session_count():  # while somebody is here the state does not hang on the link
            self._ask_status()

    def _choose_place(self) -> None:
        if self._is_closed:
            return
        if self._panel is not None and not self._panel.is_in_sight:
            self._dress_panel()
        if self._panel is not None:
            self._panel.wait(in_tray=self._icon.is_placed)
        elif not self._icon.is_placed and self._tools.properties.has_window_manager():
            self._panel = self._new_panel()

    def _open_panel(self) -> None:
        if self._panel is None:
            self._panel = self._new_panel()
        elif not self._panel.is_in_sight:
            self._dress_panel()
        self._panel.open()
        self._tools.prompt_first()
        self._ask_status()

    def _dress_panel(self) -> None:
        """A new one where the person or the desktop wants other colours than it has."""
        panel = self._panel
        if panel is None or self._tools.wishes.palette() is panel.colours:
            return
        self._panel = None
        panel.window.destroy()
        self._panel = self._new_panel()

    def _choose_scheme(self, scheme: Scheme) -> None:
        self._tools.wishes.choose(scheme)
        self._root.after_idle(self._show_choice)  # Tk is not done with the button yet

    def _show_choice(self) -> None:
        if self._is_closed or self._panel is None:
            return
        self._dress_panel()
        self._panel.open()
        self._tools.prompt_first()
        self._panel.press("about")

    def _new_panel(self) -> "Panel":
        from agent.desktop.panel import Panel, PanelCalls

        tools = self._tools
        tools.looks.dress()
        calls = PanelCalls(
            self.get_help,
            self._ask_status,
            self._choose_scheme,
            lambda: tools.wishes.scheme,
            tools.mismatched,
        )
        panel = Panel(tools.looks, tools.properties, tools.questions, calls)
        panel.show_state(self._state, self._paused_s)
        panel.wait(in_tray=self._icon.is_placed)
        return panel

    def _ask_status(self) -> None:
        self._tools.questions.ask(StatusAsked(), self._take_status)

    def _take_status(self, answer: Answer) -> None:
        self._link = answer.link if isinstance(answer, Status) else ""
        self._paused_s = answer.paused_s if isinstance(answer, Status) else 0.0
        self._show()

    def _show(self) -> None:
        state = tray_state(self._link, self._tools.session_count(), self._paused_s)
        if self._is_closed or state is self._state:
            return
        self._state = state
        self._icon.show(state)
        if self._panel is not None:
            self._panel.show_state(state, self._paused_s)
