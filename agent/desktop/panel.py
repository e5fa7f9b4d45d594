"""The person's window: how things are, what to do, and below that one page at a time."""

import tkinter as tk
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from agent.desktop import block_text, finding_text, visit_text
from agent.desktop import ipc_messages as ipc
from agent.desktop import looks as lk
from agent.desktop import tray_text as texts
from agent.desktop.block_messages import BlockLifted, BlockList, BlocksAsked
from agent.desktop.looks import Button, Looks
from agent.desktop.page import ALARM, INK, MUTED, STRONG, Page
from agent.desktop.palette import Scheme
from agent.desktop.pause_messages import PauseOrdered, ResumeOrdered
from agent.desktop.questions import Answer, Questions
from agent.desktop.tray_state import TrayState, tray_ppm
from agent.desktop.verify_text import verify_text
from agent.desktop.x11_windows import WindowProperties, name_parts
from protocol.errors import ErrorCode, SupportError
from protocol.names import shown_name
from protocol.version import PRODUCT_VERSION

WINDOW_NAME = "alongside-panel"
PICTURE_PX = 48
TEXT_PX = 430
DIGITS_PX = 46
TICK_MS = 1000
HEIGHT_PX = 450  # four rows of buttons, and some lines of a page below them
CHOSEN = "✓ "

Call: TypeAlias = Callable[[], None]


@dataclass(frozen=True, slots=True)
class PanelCalls:
    """What the window has done elsewhere: the code's window, a fresh look at the state, light or dark."""

    get_help: Call
    refresh: Call
    choose_scheme: Callable[[Scheme], None]
    scheme: Callable[[], Scheme]
    mismatched: Callable[[str], None]


class Panel:
    """Withdrawn at first. Closing it puts it back to where the person finds it: tray or window list."""

    def __init__(
        self, looks: Looks, properties: WindowProperties, questions: Questions, calls: PanelCalls
    ) -> None:
        looks = looks.within(HEIGHT_PX)
        self._looks, self._properties, self._questions, self._calls = looks, properties, questions, calls
        self._say = looks.language.say
        self.colours = looks.colours
        self._pictures: dict[TrayState, tk.PhotoImage] = {}
        self._is_paused = self._is_in_tray = False
        self._page_no = 0
        self._ticking = ""
        self.window = tk.Toplevel(
            looks.root, name=WINDOW_NAME, class_=WINDOW_NAME, background=self._looks.colours.background
        )
        self.window.withdraw()
        self.window.title(texts.TITLE)
        self.window.resizable(width=False, height=False)
        self.window.protocol("WM_DELETE_WINDOW", self.close)
        self.window.bind("<Escape>", lambda _: self.close())
        self._build_head()
        self._buttons = self._build_buttons()
        self._page = Page(self.window, looks, TEXT_PX)
        self.window.update_idletasks()
        # two columns of buttons may have made the window wider than the texts were set for
        width = self.window.winfo_reqwidth()
        lk.widen(self._head, max(0, width - looks.px(TEXT_PX + 48)))
        self._page.widen(max(0, width - looks.px(TEXT_PX + 40)))
        parts = {f"panel:{name}": button for name, button in self._buttons.items()}
        name_parts(properties, {**parts, "panel:state": self._word, "panel:page": self._page.text})
        self._buttons["help"].focus_set()

    def show_state(self, state: TrayState, paused_s: float = 0.0) -> None:
        """Say how things are, by picture, word and sentence."""
        language = self._looks.language
        self._is_paused = state is TrayState.PAUSED
        self._buttons["pause"].configure(text=self._pause_words()[self._is_paused])
        if state not in self._pictures:
            side = self._looks.px(PICTURE_PX)
            self._pictures[state] = tk.PhotoImage(
                master=self._looks.root, data=tray_ppm(state, side, self._looks.colours), format="PPM"
            )
        self._picture.configure(image=self._pictures[state])
        self._word.configure(text=texts.state_word(state, language))
        self._sentence.configure(text=texts.state_sentence(state, paused_s, language))
        self.window.title(f"{texts.TITLE}: {texts.state_word(state, language)}")

    @property
    def is_in_sight(self) -> bool:
        """Whether the person has it open."""
        return self.window.state() == "normal"

    def press(self, name: str) -> None:
        """As if the person pressed this button."""
        self._buttons[name].invoke()

    def open(self) -> None:
        """Come up: the person asked for it."""
        self.window.deiconify()
        self.window.lift()
        self.window.focus_set()
        self._buttons["help"].focus_set()

    def wait(self, *, in_tray: bool) -> None:
        """Be found by the icon in the tray, or by the window list where there is none."""
        self._is_in_tray = in_tray
        # once: to be minimised again may mean to appear first, and to take the keyboard from a prompt
        if self.window.state() not in ("normal", "withdrawn" if in_tray else "iconic"):
            self._put_away()

    def close(self) -> None:
        """Out of sight."""
        self._new_page()
        self._put_away()

    def _put_away(self) -> None:
        if self._is_in_tray:
            self.window.withdraw()
            return
        self.window.update_idletasks()  # Tk only notes it down for a window that it has not made yet
        self.window.iconify()

    def _build_head(self) -> None:
        px = self._looks.px
        head = self._head = tk.Frame(self.window, background=self._looks.colours.background)
        head.pack(fill="x", padx=px(24), pady=(px(22), px(14)))
        self._picture = tk.Label(head, background=self._looks.colours.background, borderwidth=0)
        self._picture.pack(side=self._looks.start, padx=self._looks.pad(0, px(16)))
        words = tk.Frame(head, background=self._looks.colours.background)
        words.pack(side=self._looks.start, fill="x", expand=True)
        narrow = TEXT_PX - PICTURE_PX - 16
        self._word = lk.label(words, self._looks, "", lk.Type(19, self._looks.colours.ink, True, narrow))
        self._word.pack(anchor=self._looks.anchor)
        self._sentence = lk.label(
            words, self._looks, "", lk.Type(14, self._looks.colours.muted, width_px=narrow)
        )
        self._sentence.pack(anchor=self._looks.anchor, pady=(px(3), 0))

    def _pause_words(self) -> tuple[str, str]:
        return (self._say("Pause for an hour"), self._say("End the pause"))

    def _build_buttons(self) -> dict[str, Button]:
        actions: tuple[tuple[str, tuple[str, ...], Call], ...] = (
            ("help", (self._say("Get help"),), self._calls.get_help),
            ("pause", self._pause_words(), self._pause),
            ("check", (self._say("Check this computer"),), self._open_check),
            ("visits", (self._say("Who was here"),), self._open_visits),
            ("allowed", (self._say("Allowed beforehand"),), self._open_allowed),
            ("verify", (self._say("Verify who is here"),), self._open_verify),
            ("blocked", (block_text.button_words(self._looks.language),), self._open_blocked),
            ("about", (self._say("About"),), self._open_about),
        )
        every = tuple(word for _, words, _ in actions for word in words)
        grid = tk.Frame(self.window, background=self._looks.colours.background)
        grid.pack(anchor=self._looks.anchor, padx=self._looks.px(20))
        made = {}
        for name, words, call in actions:
            made[name] = Button(grid, self._looks, lk.PRIMARY if name == "help" else lk.PLAIN, words + every)
            made[name].configure(command=call)
            _press_by_return(made[name])
        width = made["help"].winfo_reqwidth()
        columns = 2 if 2 * width + self._looks.px(40) <= self._looks.room[0] else 1
        for at, button in enumerate(made.values()):
            column = at % columns
            if self._looks.language.is_from_right:
                column = columns - 1 - column
            button.grid(row=at // columns, column=column)
        return made

    def _pause(self) -> None:
        def then(answer: Answer) -> None:
            if isinstance(answer, SupportError):
                self._show_fault(answer)
            self._calls.refresh()

        self._new_page()
        self._questions.ask(ResumeOrdered() if self._is_paused else PauseOrdered(), then)

    def _open(self, question: ipc.Hello, show: Callable[[Answer], None]) -> None:
        """A page with the answer to this, unless another one was opened meanwhile."""
        number = self._new_page()

        def then(answer: Answer) -> None:
            if number != self._page_no:
                return
            self._stop_ticking()
            self._page.clear()
            if isinstance(answer, SupportError):
                self._show_fault(answer)
            else:
                show(answer)
                self._page.show()

        self._tick(0)
        self._questions.ask(question, then)

    def _tick(self, seconds: int) -> None:
        self._page.clear()
        waiting = self._say("One moment …")
        self._page.write(f"{waiting} {seconds} s" if seconds else waiting, MUTED)
        self._page.show()
        self._ticking = self.window.after(TICK_MS, lambda: self._tick(seconds + 1))

    def _stop_ticking(self) -> None:
        if self._ticking:
            self.window.after_cancel(self._ticking)
            self._ticking = ""

    def _new_page(self) -> int:
        self._stop_ticking()
        self._page.clear()
        self._page_no += 1
        return self._page_no

    def _show_fault(self, fault: SupportError) -> None:
        self._page.clear()
        self._page.write(texts.fault_text(fault, self._looks.language), ALARM)
        self._page.show()

    def _open_about(self) -> None:
        def show(answer: Answer) -> None:
            assert isinstance(answer, ipc.Status)
            for at, (name, value) in enumerate(
                texts.about_lines(answer, PRODUCT_VERSION, self._looks.language)
            ):
                if at:
                    self._page.gap()
                self._page.write(name, MUTED)
                self._page.write(value)
            self._offer_schemes()

        self._open(ipc.StatusAsked(), show)

    def _offer_schemes(self) -> None:
        self._page.gap()
        self._page.write(self._say("Light or dark"), MUTED)
        chosen, choices = self._calls.scheme(), []
        for scheme, word in texts.SCHEME_WORDS.items():
            said = self._say(word)
            words = (CHOSEN + said, said) if scheme is chosen else (said, CHOSEN + said)
            choices.append((words, partial(self._calls.choose_scheme, scheme)))
        buttons = self._page.choices(choices)
        name_parts(
            self._properties,
            {f"panel:scheme:{scheme}": button for scheme, button in zip(Scheme, buttons, strict=True)},
        )

    def _open_verify(self) -> None:
        def show(answer: Answer) -> None:
            assert isinstance(answer, ipc.Status)
            sessions = [session for session in answer.sessions if session.readback]
            if not sessions:
                self._page.write(self._say("Nobody is here now."))
            buttons: dict[str, tk.Misc] = {}
            for at, session in enumerate(sessions):
                buttons |= self._show_digits(at, session)
            name_parts(self._properties, buttons)

        self._open(ipc.StatusAsked(), show)

    def _show_digits(self, at: int, session: ipc.SessionStatus) -> dict[str, tk.Misc]:
        text = verify_text(session.readback, self._looks.language)
        if at:
            self._page.gap()
        self._page.write(shown_name(session.technician), MUTED)
        for line in (text.ask, text.want):
            self._page.write(line, STRONG)
        digits = tk.Label(
            self._page.text,
            text=text.digits,
            font=self._looks.font(DIGITS_PX, is_bold=True),
            foreground=self._looks.colours.accent,
            background=str(self._page.text["background"]),
        )
        self._page.embed(digits, takes_keys=False)
        self._page.write(text.otherwise, ALARM)
        mismatched = partial(self._mismatched, session.session_id)
        return {
            f"panel:mismatched:{at}": self._page.button((text.mismatched,), mismatched),
            f"panel:matched:{at}": self._page.button((text.matched,), self._matched),
        }

    def _matched(self) -> None:
        self._new_page()
        self._page.write(self._say("You compared the digits: they match."))
        self._page.show()

    def _mismatched(self, session_id: str) -> None:
        self._new_page()
        self._calls.mismatched(session_id)

    def _open_visits(self) -> None:
        def show(answer: Answer) -> None:
            assert isinstance(answer, ipc.VisitList)
            if not answer.visits:
                self._page.write(self._say("Nobody has been here yet."))
            for at, visit in enumerate(answer.visits):
                text = visit_text.visit_text(visit, self._looks.language)
                if at:
                    self._page.gap()
                self._page.write(text.headline, STRONG if text.is_verified else ALARM)
                for line in text.lines:
                    self._page.write(line)

        self._open(ipc.VisitsAsked(), show)

    def _open_check(self) -> None:
        language = self._looks.language

        def show(answer: Answer) -> None:
            assert isinstance(answer, ipc.FindingList)
            for row in answer.findings:
                kind = {"bad": ALARM, "warn": STRONG}.get(row.severity, MUTED)
                self._page.write(finding_text.severity_words(row, language), kind)
                self._page.write(finding_text.finding_sentence(row, language), INK)
                self._page.gap()
            words = (self._say("Copy the list"), self._say("Copied"))
            button = self._page.button(words, lambda: copy(button, answer.findings, words[1]))
            name_parts(self._properties, {"panel:copy": button})

        def copy(button: Button, rows: list[ipc.FindingRow], copied: str) -> None:
            self.window.clipboard_clear()
            self.window.clipboard_append(finding_text.as_plain_text(rows, language))
            button.configure(text=copied)

        self._open(ipc.CheckAsked(), show)

    def _open_allowed(self) -> None:
        self._open(ipc.StandingAsked(), self._show_allowed)

    def _show_allowed(self, answer: Answer) -> None:
        assert isinstance(answer, ipc.StandingList)
        if not answer.standing:
            self._page.write(self._say("Nothing is allowed beforehand: you are asked each time."))
        buttons: dict[str, tk.Misc] = {}
        for at, row in enumerate(answer.standing):
            self._page.write(texts.standing_text(row, self._looks.language))
            take_back = partial(self._take_back, row.standing_id)
            buttons[f"panel:take_back:{at}"] = self._page.button((self._say("Take back"),), take_back)
        name_parts(self._properties, buttons)

    def _take_back(self, standing_id: str) -> None:
        def then(answer: Answer) -> None:
            if isinstance(answer, SupportError):
                self._show_fault(answer)
            else:
                self._open_allowed()

        self._questions.ask(ipc.StandingRevoked(standing_id), then)

    def _open_blocked(self) -> None:
        self._open(BlocksAsked(), self._show_blocked)

    def _show_blocked(self, answer: Answer) -> None:
        assert isinstance(answer, BlockList)
        language = self._looks.language
        if not answer.blocks:
            self._page.write(self._say("Nobody is blocked."))
        buttons: dict[str, tk.Misc] = {}
        for at, row in enumerate(answer.blocks):
            self._page.write(block_text.block_text(row, language), STRONG)
            if words := block_text.advice(row, language):
                self._page.write(words)
            if row.may_lift:
                lift = partial(self._lift, row.block_id)
                buttons[f"panel:lift:{at}"] = self._page.button((self._say("Lift the block"),), lift)
            self._page.gap()
        name_parts(self._properties, buttons)

    def _lift(self, block_id: str) -> None:
        def then(answer: Answer) -> None:
            if not isinstance(answer, SupportError):
                self._open_blocked()
                return
            if answer.code is not ErrorCode.E_BUSY:
                self._show_fault(answer)
                return
            self._page.clear()
            self._page.write(self._say(block_text.NOT_NOW), ALARM)
            self._page.show()

        self._questions.ask(BlockLifted(block_id), then)


def _press_by_return(button: Button) -> None:
    button.bind("<Key-Return>", lambda _: button.invoke(), add=True)
