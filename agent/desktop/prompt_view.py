"""The prompt's window: where its texts and controls stand. It decides nothing."""

import tkinter as tk
from collections.abc import Callable
from functools import partial
from typing import Any

from agent.desktop import looks as lk
from agent.desktop.looks import Button, Looks, TickBox
from agent.desktop.place import Place
from agent.desktop.prompt_text import PromptText
from agent.desktop.verify_step import VerifyStep
from agent.desktop.verify_text import VerifyText

WINDOW_NAME = "alongside-prompt"
TITLE = "Alongside: someone asks to help you"
NO_ANSWER, ARMED_IN = "No answer means no: {time}", "Allow can be pressed in {seconds} s."
FREE_EDGE_PX, SCROLLED_PX = 60, 80  # what a window manager's frame may take; the least that is scrolled
FOOTER_GAPS_PX, WAITING_PX, SIDE_PX, BAR_PX = 60, 240, 28, 16


class PromptView:
    """A withdrawn window with everything in it; whoever owns it binds the controls and shows it."""

    def __init__(self, looks: Looks, text: PromptText, place: Place) -> None:
        self._looks = looks
        self._text, self._place = text, place
        self.asked: dict[str, tk.Label] = {}
        self.standing: dict[str, TickBox] = {}
        self.word: tk.Entry | None = None
        self.verify: Button | None = None
        self.step: VerifyStep | None = None
        self._compared: tk.Label | None = None
        self._word_title: tk.Label | None = None
        self.window = tk.Toplevel(
            looks.root, name=WINDOW_NAME, class_=WINDOW_NAME, background=self._looks.colours.background
        )
        self.window.withdraw()
        self.window.title(looks.language.say(TITLE))
        self._main = tk.Frame(self.window, background=looks.colours.background)
        self._main.pack(fill="both", expand=True)
        self._build(place)

    def open_step(self) -> VerifyStep:
        """The digits take the prompt's place."""
        assert self._text.verify is not None
        self.step = VerifyStep(self.window, self._looks, self._text.verify)
        self.step.update_idletasks()
        # as large as it is, so that nothing else comes under the pointer
        place, free = self._place, self._looks.px(FREE_EDGE_PX)
        width = min(max(self.window.winfo_width(), self.step.winfo_reqwidth()), place.width)
        height = max(self.window.winfo_height(), self.step.winfo_reqheight())
        height = min(height, place.height - free)  # where it is less the last words go, and the buttons stay
        left, top = place.x + (place.width - width) // 2, place.y + (place.height - height) // 2
        self.step.fit(width, height)
        self._main.pack_forget()
        self.step.pack(fill="both", expand=True)
        self.window.geometry(f"{width}x{height}+{left}+{top}")
        self.step.back.focus_set()
        return self.step

    def close_step(self, *, is_matched: bool) -> None:
        """The prompt again, and what it says of the digits."""
        if self.step is not None:
            self.step.destroy()
            self.step = None
        self._main.pack(fill="both", expand=True)
        self.refuse.focus_set()
        if not is_matched or self._text.verify is None:
            return
        if self._compared is not None:
            self._compared.configure(text=self._text.verify.done)
        if self.word is not None and self._word_title is not None:
            self.word.configure(state="normal")
            self._word_title.configure(text=self._text.word_title)
            self.word.focus_set()  # what comes next; Return in it is no answer

    def _build(self, place: Place) -> None:
        px = self._looks.px
        footer = tk.Frame(self._main, background=self._looks.colours.quiet)
        footer.pack(side="bottom", fill="x")
        self._build_footer(footer, place.width)
        word = tk.Frame(self._main, background=self._looks.colours.quiet)
        word.pack(side="bottom", fill="x")  # always in sight, as the buttons that wait for it are
        if self._text.word:
            self._build_word(word, self._text)
        tk.Frame(self._main, background=self._looks.colours.line, height=1).pack(side="bottom", fill="x")
        footer.update_idletasks()
        taken = footer.winfo_reqheight() + word.winfo_reqheight() + px(FREE_EDGE_PX)
        body, fit = _scrolled(self._main, self._looks, max(place.height - taken, px(SCROLLED_PX)))
        word.lift()  # Tab: what is asked, the word, the buttons
        footer.lift()
        inner = tk.Frame(body, background=self._looks.colours.background)
        inner.pack(fill="both", expand=True, padx=px(SIDE_PX), pady=(px(24), px(20)))
        self._build_identity(inner, self._text)
        self._build_asked(inner, self._text)
        self._build_reason(inner, self._text)
        for line in (self._text.length, self._text.recording):
            lk.label(inner, self._looks, line, lk.Type(13, self._looks.colours.muted)).pack(
                anchor=self._looks.anchor, pady=(px(3), 0)
            )
        self._build_standing(inner, self._text)
        self.window.update_idletasks()
        fit(None)
        self.window.update_idletasks()
        # the buttons may have made the window wider than the texts were set for
        room = self.window.winfo_reqwidth() - 2 * px(SIDE_PX) - px(BAR_PX)
        lk.widen(inner, max(0, room - px(lk.TEXT_WIDTH_PX)))
        self.window.update_idletasks()
        fit(None)

    def _build_identity(self, parent: tk.Frame, text: PromptText) -> None:
        px = self._looks.px
        row = tk.Frame(parent, background=self._looks.colours.background)
        row.pack(fill="x")
        side = px(40)
        mark = tk.Canvas(
            row, width=side, height=side, background=self._looks.colours.background, highlightthickness=0
        )
        mark.create_image(0, 0, anchor="nw", image=self._looks.mark(40, self._looks.colours.background))
        mark.pack(side=self._looks.start, anchor="n", padx=self._looks.pad(0, px(14)))
        words = tk.Frame(row, background=self._looks.colours.background)
        words.pack(side=self._looks.start, fill="x", expand=True)
        narrow = lk.TEXT_WIDTH_PX - 54
        lk.label(words, self._looks, text.headline, lk.Type(20, self._looks.colours.ink, True, narrow)).pack(
            anchor=self._looks.anchor
        )
        colour = self._looks.colours.accent if text.is_verified else self._looks.colours.danger
        size = 14 if text.is_verified else 18
        identity = lk.label(words, self._looks, text.identity, lk.Type(size, colour, True, narrow))
        identity.pack(anchor=self._looks.anchor, pady=(px(3), 0))
        if text.warning:
            self._build_warning(parent, text)
        if text.verify is not None:
            self._build_verify(parent, text.verify)

    def _build_verify(self, parent: tk.Frame, text: VerifyText) -> None:
        px, colours = self._looks.px, self._looks.colours
        row = tk.Frame(parent, background=colours.background)
        row.pack(fill="x", pady=(px(12), 0))
        self.verify = Button(row, self._looks, lk.PLAIN, (text.button,))
        self.verify.pack(side=self._looks.start)
        room = max(120, lk.TEXT_WIDTH_PX - round(self.verify.winfo_reqwidth() / self._looks.scale) - 20)
        self._compared = lk.label(row, self._looks, "", lk.Type(14, colours.accent, True, room))
        self._compared.pack(side=self._looks.start, padx=self._looks.pad(px(10), 0))

    def _build_warning(self, parent: tk.Frame, text: PromptText) -> None:
        px = self._looks.px
        card = tk.Frame(parent, background=self._looks.colours.danger)
        card.pack(fill="x", pady=(px(16), 0))
        white = lk.Type(15, self._looks.colours.on_danger, True, lk.TEXT_WIDTH_PX - 32)
        warning = lk.label(card, self._looks, text.warning, white)
        warning.configure(background=self._looks.colours.danger)
        warning.pack(anchor=self._looks.anchor, padx=px(16), pady=px(12))

    def _build_word(self, parent: tk.Frame, text: PromptText) -> None:
        px = self._looks.px
        first = text.compare_first or text.word_title
        title = self._word_title = lk.label(
            parent, self._looks, first, lk.Type(14, self._looks.colours.ink, True, 400)
        )
        title.configure(background=self._looks.colours.quiet)
        title.pack(side=self._looks.start, padx=self._looks.pad(px(28), px(10)), pady=(px(14), 0))
        self.word = tk.Entry(
            parent,
            width=10,
            font=self._looks.font(15),
            **lk.field_options(self._looks, self._looks.colours.background),
        )
        if text.compare_first:
            self.word.configure(state="disabled", disabledbackground=self._looks.colours.disabled)
        self.word.pack(side=self._looks.start, pady=(px(14), 0))

    def _build_asked(self, parent: tk.Frame, text: PromptText) -> None:
        px = self._looks.px
        lk.label(parent, self._looks, text.asked_title, lk.Type(13, self._looks.colours.muted)).pack(
            anchor=self._looks.anchor, pady=(px(20), px(6))
        )
        for grantable, line in text.asked:
            label = self.asked[grantable] = lk.label(
                parent, self._looks, line, lk.Type(17, self._looks.colours.ink, True)
            )
            label.pack(anchor=self._looks.anchor, pady=px(1))
        if text.screen_hint:
            lk.label(parent, self._looks, text.screen_hint, lk.Type(13, self._looks.colours.muted)).pack(
                anchor=self._looks.anchor
            )

    def _build_standing(self, parent: tk.Frame, text: PromptText) -> None:
        if not text.standing:
            return
        px = self._looks.px
        tk.Frame(parent, background=self._looks.colours.line, height=1).pack(fill="x", pady=(px(14), px(10)))
        for whom, line in text.standing:
            box = self.standing[whom] = TickBox(parent, self._looks, line, is_on=False)
            box.pack(fill="x", anchor=self._looks.anchor, pady=px(1))

    def _build_reason(self, parent: tk.Frame, text: PromptText) -> None:
        px = self._looks.px
        lk.label(parent, self._looks, text.reason_title, lk.Type(13, self._looks.colours.muted)).pack(
            anchor=self._looks.anchor, pady=(px(18), px(6))
        )
        card = tk.Frame(parent, background=self._looks.colours.quiet)
        card.pack(fill="x", pady=(0, px(14)))
        tk.Frame(card, background=self._looks.colours.accent_soft, width=px(4)).pack(
            side=self._looks.start, fill="y"
        )
        words = tk.Frame(card, background=self._looks.colours.quiet)
        words.pack(side=self._looks.start, fill="x", expand=True, padx=px(14), pady=px(10))
        narrow = lk.TEXT_WIDTH_PX - 34
        lk.label(words, self._looks, text.reason, lk.Type(15, self._looks.colours.ink, width_px=narrow)).pack(
            anchor=self._looks.anchor
        )
        if text.ticket:
            lk.label(
                words, self._looks, text.ticket, lk.Type(13, self._looks.colours.muted, width_px=narrow)
            ).pack(anchor=self._looks.anchor, pady=(px(4), 0))

    def _build_footer(self, footer: tk.Frame, room: int) -> None:
        px, text = self._looks.px, self._text
        words = tk.Frame(footer, background=self._looks.colours.quiet)
        say = self._looks.language.say
        # as high from the start as it will be: the window does not grow under the pointer
        longest = f"{say(NO_ANSWER, time='88:88')}\n{say(ARMED_IN, seconds='88')}"
        self.waiting = lk.label(
            words, self._looks, longest, lk.Type(13, self._looks.colours.muted, width_px=WAITING_PX)
        )
        self.waiting.pack(anchor=self._looks.anchor)
        quiet = tk.Frame(words, background=self._looks.colours.quiet)
        self.more = self._quiet_button(
            quiet, self._looks.language.say("More time"), self._looks.colours.accent
        )
        self.block = self._quiet_button(quiet, text.block, self._looks.colours.danger)
        right = tk.Frame(footer, background=self._looks.colours.quiet)
        self.refuse = Button(right, self._looks, lk.PLAIN, (text.refuse,))
        self.allow = Button(right, self._looks, lk.PRIMARY, (text.allow, allow_in(self._looks, 10)))
        self.refuse.pack(side=self._looks.start)
        self.allow.pack(side=self._looks.start, padx=self._looks.pad(px(4), 0))
        self.allow.enable(is_enabled=False)
        quiet.pack(anchor=self._looks.anchor, pady=(px(2), 0))
        links = self.more.winfo_reqwidth() + self.block.winfo_reqwidth() + px(18)
        buttons = self.refuse.winfo_reqwidth() + self.allow.winfo_reqwidth() + px(4)
        if max(px(WAITING_PX), links) + buttons + px(FOOTER_GAPS_PX) <= room:
            right.pack(side=self._looks.end, padx=self._looks.pad(0, px(24)), pady=px(14))
        else:  # the words above, the buttons below
            self.waiting.configure(wraplength=min(room - px(FOOTER_GAPS_PX), px(lk.TEXT_WIDTH_PX)))
            right.pack(
                side="bottom",
                anchor=self._looks.far_anchor,
                padx=self._looks.pad(0, px(24)),
                pady=(0, px(10)),
            )
        words.pack(
            side=self._looks.start, fill="both", expand=True, padx=self._looks.pad(px(28), px(8)), pady=px(14)
        )
        self.more.pack(side=self._looks.start)
        self.block.pack(side=self._looks.start, padx=self._looks.pad(px(18), 0))
        # Tab follows the stacking order: what is asked, then Don't allow, Allow, More time, Block
        footer.lift()
        words.lift()

    def _quiet_button(self, parent: tk.Frame, text: str, colour: str) -> tk.Button:
        px = self._looks.px
        return tk.Button(
            parent,
            text=self._looks.shown(text, self._looks.font(13)),
            font=self._looks.font(13),
            relief="flat",
            borderwidth=0,
            highlightthickness=px(2),
            highlightcolor=self._looks.colours.focus,
            highlightbackground=self._looks.colours.quiet,
            background=self._looks.colours.quiet,
            activebackground=self._looks.colours.quiet,
            foreground=colour,
            activeforeground=self._looks.colours.accent_hover
            if colour == self._looks.colours.accent
            else self._looks.colours.danger_hover,
            padx=0,
            pady=px(2),
            cursor="hand2",
        )


def allow_in(looks: Looks, seconds: int) -> str:
    """What Allow says while it cannot be pressed yet."""
    return looks.language.say("Allow in {seconds}", seconds=str(seconds))


def _scrolled(parent: tk.Frame, looks: Looks, height_limit: int) -> tuple[tk.Frame, Callable[[Any], None]]:
    """A frame that gets a scroll bar when it is higher than the limit, so that the buttons stay in sight."""
    window = parent.winfo_toplevel()
    canvas = tk.Canvas(parent, background=looks.colours.background, highlightthickness=0, borderwidth=0)
    bar = lk.scroll_bar(parent, looks, canvas.yview)
    canvas.configure(yscrollcommand=bar.set)
    frame = tk.Frame(canvas, background=looks.colours.background)
    shown = canvas.create_window(0, 0, anchor="nw", window=frame)
    canvas.pack(side=looks.start, fill="both", expand=True)

    def fit(_: Any) -> None:
        wanted = frame.winfo_reqheight()
        canvas.configure(
            width=frame.winfo_reqwidth(),
            height=min(wanted, height_limit),
            scrollregion=(0, 0, frame.winfo_reqwidth(), wanted),
        )
        if wanted > height_limit:
            bar.pack(side=looks.end, fill="y")
        else:
            bar.pack_forget()

    def widen(event: Any) -> None:
        # long buttons make the window wider than its sentences are
        canvas.itemconfigure(shown, width=max(event.width, frame.winfo_reqwidth()))

    frame.bind("<Configure>", fit)
    canvas.bind("<Configure>", widen)
    window.bind("<FocusIn>", partial(_reveal, canvas, frame))
    for pattern, lines in (("<Button-4>", -2), ("<Button-5>", 2), ("<Prior>", -8), ("<Next>", 8)):
        window.bind(pattern, partial(_scroll, canvas, lines))
    return frame, fit


def _reveal(canvas: tk.Canvas, frame: tk.Frame, event: Any) -> None:
    """What has the keyboard is in sight, whole."""
    part: tk.Misc = event.widget
    if not str(part).startswith(f"{frame}."):
        return
    top = part.winfo_rooty() - frame.winfo_rooty()
    bottom, height = top + part.winfo_height(), canvas.winfo_height()
    shown = canvas.canvasy(0)
    if top < shown:
        canvas.yview_moveto(top / frame.winfo_height())
    elif bottom > shown + height:
        canvas.yview_moveto((bottom - height) / frame.winfo_height())


def _scroll(canvas: tk.Canvas, lines: int, _: Any) -> None:
    canvas.yview_scroll(lines, "units")
