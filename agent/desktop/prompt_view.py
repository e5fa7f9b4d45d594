"""The prompt's window: where its texts and controls stand. It decides nothing."""

import tkinter as tk
from collections.abc import Callable
from functools import partial
from typing import Any

from agent.desktop import looks as lk
from agent.desktop.looks import Button, Looks, TickBox
from agent.desktop.prompt_text import PromptText

WINDOW_NAME = "alongside-prompt"
TITLE = "Alongside: someone asks to help you"
FREE_EDGE_PX = 60


class PromptView:
    """A withdrawn window with everything in it; whoever owns it binds the controls and shows it."""

    def __init__(self, looks: Looks, text: PromptText, height_limit: int) -> None:
        self._looks = looks
        self._text = text
        self.boxes: dict[str, TickBox] = {}
        self.standing: dict[str, TickBox] = {}
        self.word: tk.Entry | None = None
        self.window = tk.Toplevel(looks.root, name=WINDOW_NAME, class_=WINDOW_NAME, background=lk.BACKGROUND)
        self.window.withdraw()
        self.window.title(looks.language.say(TITLE))
        self._build(height_limit)

    def _build(self, height_limit: int) -> None:
        px = self._looks.px
        footer = tk.Frame(self.window, background=lk.QUIET)
        footer.pack(side="bottom", fill="x")
        self._build_footer(footer)
        word = tk.Frame(self.window, background=lk.QUIET)
        word.pack(side="bottom", fill="x")  # always in sight, as the buttons that wait for it are
        if self._text.word:
            self._build_word(word, self._text)
        tk.Frame(self.window, background=lk.LINE, height=1).pack(side="bottom", fill="x")
        footer.update_idletasks()
        taken = footer.winfo_reqheight() + word.winfo_reqheight() + px(FREE_EDGE_PX)
        body, fit = _scrolled(self.window, height_limit - taken)
        word.lift()  # Tab: what is asked, the word, the buttons
        footer.lift()
        inner = tk.Frame(body, background=lk.BACKGROUND)
        inner.pack(fill="both", expand=True, padx=px(28), pady=(px(24), px(20)))
        self._build_identity(inner, self._text)
        self._build_boxes(inner, self._text)
        self._build_reason(inner, self._text)
        for line in (self._text.length, self._text.recording):
            lk.label(inner, self._looks, line, lk.Type(13, lk.MUTED)).pack(anchor="w", pady=(px(3), 0))
        self._build_standing(inner, self._text)
        self.window.update_idletasks()
        fit(None)

    def _build_identity(self, parent: tk.Frame, text: PromptText) -> None:
        px = self._looks.px
        row = tk.Frame(parent, background=lk.BACKGROUND)
        row.pack(fill="x")
        side = px(40)
        mark = tk.Canvas(row, width=side, height=side, background=lk.BACKGROUND, highlightthickness=0)
        mark.create_image(0, 0, anchor="nw", image=self._looks.mark(40, lk.BACKGROUND))
        mark.pack(side="left", anchor="n", padx=(0, px(14)))
        words = tk.Frame(row, background=lk.BACKGROUND)
        words.pack(side="left", fill="x", expand=True)
        narrow = lk.TEXT_WIDTH_PX - 54
        lk.label(words, self._looks, text.headline, lk.Type(20, lk.INK, True, narrow)).pack(anchor="w")
        colour = lk.ACCENT if text.is_verified else lk.DANGER
        size = 14 if text.is_verified else 18
        identity = lk.label(words, self._looks, text.identity, lk.Type(size, colour, True, narrow))
        identity.pack(anchor="w", pady=(px(3), 0))
        if text.warning:
            self._build_warning(parent, text)
        if text.readback:
            line = lk.label(parent, self._looks, text.readback, lk.Type(14, lk.INK, not text.is_verified))
            line.pack(anchor="w", pady=(px(12), 0))

    def _build_warning(self, parent: tk.Frame, text: PromptText) -> None:
        px = self._looks.px
        card = tk.Frame(parent, background=lk.DANGER)
        card.pack(fill="x", pady=(px(16), 0))
        white = lk.Type(15, lk.BACKGROUND, True, lk.TEXT_WIDTH_PX - 32)
        warning = lk.label(card, self._looks, text.warning, white)
        warning.configure(background=lk.DANGER)
        warning.pack(anchor="w", padx=px(16), pady=px(12))

    def _build_word(self, parent: tk.Frame, text: PromptText) -> None:
        px = self._looks.px
        title = lk.label(parent, self._looks, text.word_title, lk.Type(14, lk.INK, True))
        title.configure(background=lk.QUIET)
        title.pack(side="left", padx=(px(28), px(10)), pady=(px(14), 0))
        self.word = tk.Entry(
            parent,
            width=10,
            font=self._looks.font(15),
            relief="solid",
            borderwidth=px(1),
            highlightthickness=px(2),
            highlightcolor=lk.FOCUS,
            highlightbackground=lk.QUIET,
            background=lk.BACKGROUND,
            foreground=lk.INK,
            insertbackground=lk.INK,
        )
        self.word.pack(side="left", pady=(px(14), 0))

    def _build_boxes(self, parent: tk.Frame, text: PromptText) -> None:
        px = self._looks.px
        lk.label(parent, self._looks, text.boxes_title, lk.Type(13, lk.MUTED)).pack(
            anchor="w", pady=(px(20), px(6))
        )
        for grantable, line in text.boxes:
            box = self.boxes[grantable] = TickBox(parent, self._looks, line)
            box.pack(fill="x", anchor="w", pady=px(1))
        if text.screen_hint:
            lk.label(parent, self._looks, text.screen_hint, lk.Type(13, lk.MUTED)).pack(
                anchor="w", padx=(px(36), 0)
            )

    def _build_standing(self, parent: tk.Frame, text: PromptText) -> None:
        if not text.standing:
            return
        px = self._looks.px
        tk.Frame(parent, background=lk.LINE, height=1).pack(fill="x", pady=(px(14), px(10)))
        for whom, line in text.standing:
            box = self.standing[whom] = TickBox(parent, self._looks, line, is_on=False)
            box.pack(fill="x", anchor="w", pady=px(1))

    def _build_reason(self, parent: tk.Frame, text: PromptText) -> None:
        px = self._looks.px
        lk.label(parent, self._looks, text.reason_title, lk.Type(13, lk.MUTED)).pack(
            anchor="w", pady=(px(18), px(6))
        )
        card = tk.Frame(parent, background=lk.QUIET)
        card.pack(fill="x", pady=(0, px(14)))
        tk.Frame(card, background=lk.ACCENT_SOFT, width=px(4)).pack(side="left", fill="y")
        words = tk.Frame(card, background=lk.QUIET)
        words.pack(side="left", fill="x", expand=True, padx=px(14), pady=px(10))
        narrow = lk.TEXT_WIDTH_PX - 34
        lk.label(words, self._looks, text.reason, lk.Type(15, lk.INK, width_px=narrow)).pack(anchor="w")
        if text.ticket:
            lk.label(words, self._looks, text.ticket, lk.Type(13, lk.MUTED, width_px=narrow)).pack(
                anchor="w", pady=(px(4), 0)
            )

    def _build_footer(self, footer: tk.Frame) -> None:
        px, text = self._looks.px, self._text
        words = tk.Frame(footer, background=lk.QUIET)
        words.pack(side="left", fill="both", expand=True, padx=(px(28), px(8)), pady=px(14))
        self.waiting = lk.label(words, self._looks, "\n", lk.Type(13, lk.MUTED, width_px=240))
        self.waiting.pack(anchor="w")
        quiet = tk.Frame(words, background=lk.QUIET)
        self.more = self._quiet_button(quiet, self._looks.language.say("More time"), lk.ACCENT)
        self.block = self._quiet_button(quiet, text.block, lk.DANGER)
        right = tk.Frame(footer, background=lk.QUIET)
        right.pack(side="right", padx=(0, px(24)), pady=px(14))
        self.refuse = Button(right, self._looks, lk.PLAIN, (text.refuse,))
        self.allow = Button(right, self._looks, lk.PRIMARY, (text.allow, allow_in(self._looks, 10)))
        self.refuse.pack(side="left")
        self.allow.pack(side="left", padx=(px(4), 0))
        self.allow.enable(is_enabled=False)
        quiet.pack(anchor="w", pady=(px(2), 0))
        self.more.pack(side="left")
        self.block.pack(side="left", padx=(px(18), 0))
        # Tab follows the stacking order: what is asked, then Don't allow, Allow, More time, Block
        footer.lift()
        words.lift()

    def _quiet_button(self, parent: tk.Frame, text: str, colour: str) -> tk.Button:
        px = self._looks.px
        return tk.Button(
            parent,
            text=text,
            font=self._looks.font(13),
            relief="flat",
            borderwidth=0,
            highlightthickness=px(2),
            highlightcolor=lk.FOCUS,
            highlightbackground=lk.QUIET,
            background=lk.QUIET,
            activebackground=lk.QUIET,
            foreground=colour,
            activeforeground=lk.ACCENT_DARK if colour == lk.ACCENT else lk.DANGER_DARK,
            padx=0,
            pady=px(2),
            cursor="hand2",
        )


def allow_in(looks: Looks, seconds: int) -> str:
    """What Allow says while it cannot be pressed yet."""
    return looks.language.say("Allow in {seconds}", seconds=str(seconds))


def _scrolled(window: tk.Toplevel, height_limit: int) -> tuple[tk.Frame, Callable[[Any], None]]:
    """A frame that gets a scroll bar when it is higher than the limit, so that the buttons stay in sight."""
    canvas = tk.Canvas(window, background=lk.BACKGROUND, highlightthickness=0, borderwidth=0)
    bar = tk.Scrollbar(window, orient="vertical", command=canvas.yview)
    canvas.configure(yscrollcommand=bar.set)
    frame = tk.Frame(canvas, background=lk.BACKGROUND)
    shown = canvas.create_window(0, 0, anchor="nw", window=frame)
    canvas.pack(side="left", fill="both", expand=True)

    def fit(_: Any) -> None:
        wanted = frame.winfo_reqheight()
        canvas.configure(
            width=frame.winfo_reqwidth(),
            height=min(wanted, height_limit),
            scrollregion=(0, 0, frame.winfo_reqwidth(), wanted),
        )
        if wanted > height_limit:
            bar.pack(side="right", fill="y")

    def widen(event: Any) -> None:
        # long buttons make the window wider than its sentences are
        canvas.itemconfigure(shown, width=max(event.width, frame.winfo_reqwidth()))

    frame.bind("<Configure>", fit)
    canvas.bind("<Configure>", widen)
    for pattern, lines in (("<Button-4>", -2), ("<Button-5>", 2), ("<Prior>", -8), ("<Next>", 8)):
        window.bind(pattern, partial(_scroll, canvas, lines))
    return frame, fit


def _scroll(canvas: tk.Canvas, lines: int, _: Any) -> None:
    canvas.yview_scroll(lines, "units")
