"""The small window of the person: how things are, and what to do."""

import tkinter as tk
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from agent.desktop import looks as lk
from agent.desktop import tray_text as texts
from agent.desktop.ipc_messages import (
    PauseOrdered,
    ResumeOrdered,
    StandingAsked,
    StandingList,
    StandingRevoked,
    Status,
    StatusAsked,
)
from agent.desktop.looks import Button, Looks
from agent.desktop.questions import Answer, Questions
from agent.desktop.tray_state import TrayState, tray_ppm
from agent.desktop.x11_windows import WindowProperties, name_parts
from protocol.errors import SupportError
from protocol.version import PRODUCT_VERSION

WINDOW_NAME = "alongside-panel"
PICTURE_PX = 48
TEXT_PX = 400

_Action: TypeAlias = tuple[str, tuple[str, ...], Callable[[], None]]


class Panel:
    """Withdrawn at first. Closing minimises it: it stays in the window list."""

    def __init__(
        self,
        looks: Looks,
        properties: WindowProperties,
        questions: Questions,
        get_help: Callable[[], None],
        refresh: Callable[[], None],
    ) -> None:
        """`refresh` has the state looked at and shown."""
        self._refresh, self._is_paused = refresh, False
        self._looks, self._properties, self._questions = looks, properties, questions
        self._pictures: dict[TrayState, tk.PhotoImage] = {}
        self.window = tk.Toplevel(looks.root, name=WINDOW_NAME, class_=WINDOW_NAME, background=lk.BACKGROUND)
        self.window.withdraw()
        self.window.title(texts.TITLE)
        self.window.resizable(width=False, height=False)
        self.window.protocol("WM_DELETE_WINDOW", self.close)
        self.window.bind("<Escape>", lambda _: self.close())
        self._build(get_help)
        self._first.focus_set()

    def show_state(self, state: TrayState, paused_s: float = 0.0) -> None:
        """Say how things are, by picture, word and sentence."""
        self._is_paused = state is TrayState.PAUSED
        self._actions["pause"].configure(text=texts.RESUME if self._is_paused else texts.PAUSE)
        if state not in self._pictures:
            side = self._looks.px(PICTURE_PX)
            self._pictures[state] = tk.PhotoImage(
                master=self._looks.root, data=tray_ppm(state, side), format="PPM"
            )
        self._picture.configure(image=self._pictures[state])
        self._word.configure(text=texts.STATE_WORDS[state])
        self._sentence.configure(text=texts.state_sentence(state, paused_s))
        self.window.title(f"{texts.TITLE}: {texts.STATE_WORDS[state]}")

    def minimise(self) -> None:
        """Be in the window list and nowhere else."""
        self.window.iconify()

    def close(self) -> None:
        """Out of sight."""
        self._clear()
        self.window.iconify()

    def _build(self, get_help: Callable[[], None]) -> None:
        px = self._looks.px
        head = tk.Frame(self.window, background=lk.BACKGROUND)
        head.pack(fill="x", padx=px(24), pady=(px(22), px(14)))
        self._picture = tk.Label(head, background=lk.BACKGROUND, borderwidth=0)
        self._picture.pack(side="left", padx=(0, px(16)))
        words = tk.Frame(head, background=lk.BACKGROUND)
        words.pack(side="left", fill="x", expand=True)
        narrow = TEXT_PX - PICTURE_PX - 16
        self._word = lk.label(words, self._looks, "", lk.Type(19, lk.INK, True, narrow))
        self._word.pack(anchor="w")
        self._sentence = lk.label(words, self._looks, "", lk.Type(14, lk.MUTED, width_px=narrow))
        self._sentence.pack(anchor="w", pady=(px(3), 0))
        self._actions: dict[str, Button] = {}
        rows: tuple[tuple[_Action, ...], ...] = (
            (("help", (texts.GET_HELP,), get_help), ("pause", (texts.PAUSE, texts.RESUME), self._pause)),
            (("allowed", (texts.ALLOWED_BEFORE,), self._open_allowed),),
            (("about", (texts.ABOUT,), self._open_about),),
        )
        for row in rows:
            self._add_row(row)
        self._first = self._actions["help"]
        self._more = tk.Frame(self.window, background=lk.BACKGROUND)
        self._more.pack(fill="x", padx=px(24), pady=px(14))
        tk.Frame(self._more, background=lk.BACKGROUND, height=1).pack()
        name_parts(
            self._properties,
            {f"panel:{name}": button for name, button in self._actions.items()} | {"panel:state": self._word},
        )

    def _add_row(self, actions: "tuple[_Action, ...]") -> None:
        px = self._looks.px
        row = tk.Frame(self.window, background=lk.BACKGROUND)
        row.pack(fill="x", padx=px(20))
        for name, words, call in actions:
            button = Button(row, self._looks, lk.PRIMARY if name == "help" else lk.PLAIN, words)
            button.configure(command=call)
            button.pack(side="left")
            _press_by_return(button)
            self._actions[name] = button

    def _pause(self) -> None:
        def then(answer: Answer) -> None:
            self._clear()
            if isinstance(answer, SupportError):
                self._say(texts.fault_text(answer), lk.Type(14, lk.DANGER, width_px=TEXT_PX))
            self._refresh()

        self._questions.ask(ResumeOrdered() if self._is_paused else PauseOrdered(), then)

    def _open_about(self) -> None:
        self._questions.ask(StatusAsked(), self._show_about)

    def _show_about(self, answer: Answer) -> None:
        self._clear()
        if isinstance(answer, Status):
            for name, value in texts.about_lines(answer, PRODUCT_VERSION):
                self._say(name, lk.Type(13, lk.MUTED, width_px=TEXT_PX))
                self._say(value, lk.Type(14, lk.INK, width_px=TEXT_PX), below=6)
        elif isinstance(answer, SupportError):
            self._say(texts.fault_text(answer), lk.Type(14, lk.DANGER, width_px=TEXT_PX))

    def _open_allowed(self) -> None:
        self._questions.ask(StandingAsked(), self._show_allowed)

    def _show_allowed(self, answer: Answer) -> None:
        self._clear()
        if isinstance(answer, SupportError):
            self._say(texts.fault_text(answer), lk.Type(14, lk.DANGER, width_px=TEXT_PX))
            return
        if not isinstance(answer, StandingList):
            return
        if not answer.standing:
            self._say(texts.NOTHING_ALLOWED, lk.Type(14, lk.INK, width_px=TEXT_PX))
        buttons: dict[str, tk.Misc] = {}
        for at, row in enumerate(answer.standing):
            self._say(texts.standing_text(row), lk.Type(14, lk.INK, width_px=TEXT_PX))
            button = Button(self._more, self._looks, lk.PLAIN, (texts.TAKE_BACK,))
            button.configure(command=partial(self._take_back, row.standing_id))
            button.pack(anchor="e")
            _press_by_return(button)
            buttons[f"panel:take_back:{at}"] = button
        name_parts(self._properties, buttons)

    def _take_back(self, standing_id: str) -> None:
        def then(answer: Answer) -> None:
            if isinstance(answer, SupportError):
                self._show_allowed(answer)
            else:
                self._open_allowed()

        self._questions.ask(StandingRevoked(standing_id), then)

    def _say(self, text: str, kind: lk.Type, below: int = 0) -> None:
        lk.label(self._more, self._looks, text, kind).pack(anchor="w", pady=(0, self._looks.px(below)))

    def _clear(self) -> None:
        children: Sequence[tk.Misc] = self._more.winfo_children()
        for child in children:
            child.destroy()
        tk.Frame(self._more, background=lk.BACKGROUND, height=1).pack()  # an empty frame keeps its old height


def _press_by_return(button: Button) -> None:
    button.bind("<Key-Return>", lambda _: button.invoke(), add=True)
