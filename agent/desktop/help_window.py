"""*Get help*: the support code in large digits; closing the window makes it void."""

import time
import tkinter as tk
from collections.abc import Callable

from agent.desktop import looks as lk
from agent.desktop import tray_text as texts
from agent.desktop.ipc_messages import HelpCode, HelpNews, HelpOutcome
from agent.desktop.looks import Button, Looks
from agent.desktop.questions import Answer, HelpCall, Questions
from agent.desktop.x11_windows import WindowProperties, name_parts
from protocol.errors import SupportError

WINDOW_NAME = "alongside-help"
TICK_MS = 1000
CODE_SIZE_PX = 46


class HelpWindow:
    """One window at a time; `on_closed` comes once."""

    def __init__(
        self,
        looks: Looks,
        properties: WindowProperties,
        questions: Questions,
        on_closed: Callable[[], None],
    ) -> None:
        self._looks, self._questions, self._on_closed = looks, questions, on_closed
        self._call: HelpCall | None = None
        self._code = ""
        self._until_s = 0.0
        self._ticking = ""
        self.window = tk.Toplevel(
            looks.root, name=WINDOW_NAME, class_=WINDOW_NAME, background=self._looks.colours.background
        )
        self._say = looks.language.say
        self.window.title(f"{texts.TITLE}: {self._say('Get help')}")
        self.window.resizable(width=False, height=False)
        self.window.protocol("WM_DELETE_WINDOW", self.close)
        self.window.bind("<Escape>", lambda _: self.close())
        self._build()
        parts: dict[str, tk.Misc] = {
            "help:code": self._digits,
            "help:copy": self._copy,
            "help:again": self._again,
            "help:close": self._close,
        }
        self._ask()
        name_parts(properties, parts)
        self._close.focus_set()

    def close(self) -> None:
        """The person does not wait any more. May be called twice."""
        self._end_call()
        if self.window.winfo_exists():
            self.window.destroy()
            self._on_closed()

    def _build(self) -> None:
        px = self._looks.px
        body = tk.Frame(self.window, background=self._looks.colours.background)
        body.pack(fill="both", expand=True, padx=px(28), pady=px(24))
        lk.label(body, self._looks, self._say(texts.READ_ALOUD), lk.Type(15, self._looks.colours.ink)).pack(
            anchor=self._looks.anchor
        )
        self._digits = lk.label(
            body, self._looks, "", lk.Type(CODE_SIZE_PX, self._looks.colours.accent, is_bold=True)
        )
        self._digits.pack(pady=px(18))
        warning = lk.label(
            body,
            self._looks,
            self._say(texts.NEVER_TO_CALLERS),
            lk.Type(15, self._looks.colours.danger, is_bold=True),
        )
        warning.pack(anchor=self._looks.anchor)
        self._said = lk.label(
            body, self._looks, self._say("One moment …"), lk.Type(14, self._looks.colours.ink)
        )
        self._said.pack(anchor=self._looks.anchor, pady=(px(10), 0))
        footer = tk.Frame(self.window, background=self._looks.colours.quiet)
        footer.pack(side="bottom", fill="x")
        row = tk.Frame(footer, background=self._looks.colours.quiet)
        row.pack(side=self._looks.end, padx=px(24), pady=px(14))
        self._copy = Button(row, self._looks, lk.PLAIN, (self._say("Copy the code"), self._say("Copied")))
        self._again = Button(row, self._looks, lk.PLAIN, (self._say("New code"),))
        self._close = Button(row, self._looks, lk.PRIMARY, (self._say("Cancel"), self._say("Close")))
        self._copy.configure(command=self._on_copy)
        self._again.configure(command=self._ask)
        self._close.configure(command=self.close)
        for at, button in enumerate((self._copy, self._again, self._close)):
            button.pack(side=self._looks.start, padx=self._looks.pad(px(4) if at else 0, 0))
            button.bind("<Key-Return>", lambda event: event.widget.invoke(), add=True)

    def _ask(self) -> None:
        self._end_call()
        self._show_code("")
        self._said.configure(text=self._say("One moment …"))
        self._again.enable(is_enabled=False)
        self._close.configure(text=self._say("Cancel"))
        self._call = self._questions.ask_for_help(self._answered)

    def _answered(self, answer: Answer) -> None:
        if not self.window.winfo_exists():
            return
        if isinstance(answer, HelpCode):
            self._until_s = time.monotonic() + answer.expires_in_s
            self._show_code(answer.code)
            self._tick()
            return
        self._end_call()
        self._show_code("")
        is_technician_there = False
        if isinstance(answer, HelpNews):
            self._said.configure(text=texts.news_text(answer, self._looks.language))
            is_technician_there = answer.outcome is HelpOutcome.TECHNICIAN
        elif isinstance(answer, SupportError):
            self._said.configure(text=texts.fault_text(answer, self._looks.language))
        self._again.enable(is_enabled=not is_technician_there)
        self._close.configure(text=self._say("Close"))

    def _show_code(self, code: str) -> None:
        self._code = code
        self._digits.configure(text=code or "··· ··· ···")
        self._copy.enable(is_enabled=bool(code))
        self._copy.configure(text=self._say("Copy the code"))

    def _tick(self) -> None:
        self._said.configure(text=texts.works_for(self._until_s - time.monotonic(), self._looks.language))
        self._ticking = self.window.after(TICK_MS, self._tick)

    def _on_copy(self) -> None:
        self.window.clipboard_clear()
        self.window.clipboard_append(self._code)
        self._copy.configure(text=self._say("Copied"))

    def _end_call(self) -> None:
        if self._ticking:
            self.window.after_cancel(self._ticking)
            self._ticking = ""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
