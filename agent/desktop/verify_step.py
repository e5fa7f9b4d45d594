"""The step of the prompt in which the person compares four digits. It decides nothing."""

import tkinter as tk

from agent.desktop import looks as lk
from agent.desktop.looks import Button, Looks
from agent.desktop.verify_text import VerifyText

DIGITS_PX, SIDE_PX = 54, 28


class VerifyStep(tk.Frame):
    """Takes the prompt's place in its window; the prompt binds the buttons. Back has the focus."""

    def __init__(self, parent: tk.Misc, looks: Looks, text: VerifyText) -> None:
        colours = looks.colours
        super().__init__(parent, background=colours.background)
        px = looks.px
        footer = tk.Frame(self, background=colours.quiet)
        footer.pack(side="bottom", fill="x")
        body = self._body = tk.Frame(self, background=colours.background)
        body.pack(fill="both", expand=True, padx=px(SIDE_PX), pady=px(20))
        body.lower()  # Tab: the buttons alone, and the window's end comes last
        # first what has to be in sight where there is little room; not ordered anew where a language is
        # read from the right, for the caller reads digits from the left
        self.digits = tk.Label(
            body,
            text=text.digits,
            font=looks.font(DIGITS_PX, is_bold=True),
            foreground=colours.accent,
            background=colours.background,
        )
        self.digits.pack(side="bottom", anchor=looks.anchor)
        self._want = lk.label(body, looks, text.want, lk.Type(15, colours.ink))
        self._want.pack(side="bottom", anchor=looks.anchor)
        ask = lk.label(body, looks, text.ask, lk.Type(17, colours.ink, is_bold=True))
        ask.pack(anchor=looks.anchor)
        otherwise = lk.label(body, looks, text.otherwise, lk.Type(15, colours.danger, is_bold=True))
        otherwise.pack(anchor=looks.anchor, pady=(px(16), px(12)))
        self.waiting = lk.label(footer, looks, "\n", lk.Type(13, colours.muted))
        self.waiting.pack(side="top", anchor=looks.anchor, padx=px(28), pady=(px(12), 0))
        row = tk.Frame(footer, background=colours.quiet)
        row.pack(side="bottom", anchor=looks.far_anchor, padx=px(24), pady=px(10))
        self.back = Button(row, looks, lk.PLAIN, (text.back,))
        self.mismatched = Button(row, looks, lk.PLAIN, (text.mismatched,))
        self.matched = Button(row, looks, lk.PRIMARY, (text.matched,))
        buttons = (self.back, self.mismatched, self.matched)
        is_wide = sum(button.winfo_reqwidth() for button in buttons) + px(60) > looks.room[0]
        for button in buttons:
            button.pack(side="top" if is_wide else looks.start, anchor=looks.far_anchor, padx=px(2))
        self.matched.enable(is_enabled=False)
        self._looks = looks

    def fit(self, width: int, height: int) -> None:
        """Use a window of this size, in pixels: its width, and what is too high of it below the digits."""
        px = self._looks.px
        lk.widen(self._body, max(0, width - 2 * px(SIDE_PX) - px(lk.TEXT_WIDTH_PX)))
        self.update_idletasks()
        spare = max(0, height - self.winfo_reqheight())
        above = min(px(24), spare // 3)
        self._want.pack_configure(pady=(above, 0))
        self.digits.pack_configure(pady=(0, spare - above))
