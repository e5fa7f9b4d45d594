"""A page of text with buttons, as high as it needs to be: in the person's window, and in the card.

A read-only text of Tk: it wraps, scrolls with the keyboard, and what it says can be marked and copied.
"""

import tkinter as tk
from collections.abc import Callable, Sequence

from agent.desktop import looks as lk
from agent.desktop.looks import Button, Looks

INK, MUTED, STRONG, ALARM, TITLE = "ink", "muted", "strong", "alarm", "title"
HEIGHT_PX = 400
BESIDE_TEXT_PX = 26  # the scroll bar, and the text's own edges
BESIDE_PX = 70  # what a window manager and a panel of the desktop take from a display's height


class Page:
    """Empty at first, and then without height."""

    def __init__(self, parent: tk.Misc, looks: Looks, width_px: int, height_px: int = HEIGHT_PX) -> None:
        """It is never higher than `height_px`, nor than the display has room for."""
        px, colours = looks.px, looks.colours
        self._looks, self._parent = looks, parent
        self._height, self._width = px(height_px), px(width_px) - px(BESIDE_TEXT_PX)
        self._fonts: dict[str, tuple[str, int, str]] = {}
        self._embedded: list[tk.Misc] = []
        self._frame = tk.Frame(parent, background=colours.background, width=px(width_px), height=1)
        self._frame.pack_propagate(False)
        self._frame.pack(fill="x", padx=px(20), pady=(px(10), px(16)))
        self._text = tk.Text(
            self._frame,
            wrap="word",
            font=looks.font(14),
            foreground=colours.ink,
            background=colours.background,
            borderwidth=0,
            highlightthickness=px(2),
            highlightcolor=colours.focus,
            highlightbackground=colours.background,
            padx=px(4),
            pady=px(2),
            cursor="arrow",
            takefocus=True,
            state="disabled",
        )
        self._bar = lk.scroll_bar(self._frame, looks, self._text.yview)
        self._text.configure(yscrollcommand=self._bar.set)
        for tag, colour, is_bold in (
            (INK, colours.ink, False),
            (MUTED, colours.muted, False),
            (STRONG, colours.ink, True),
            (ALARM, colours.danger, True),
        ):
            self._fonts[tag] = looks.font(14, is_bold=is_bold)
            self._text.tag_configure(tag, foreground=colour, font=self._fonts[tag])
        self._fonts[TITLE] = looks.font(19, is_bold=True)
        self._text.tag_configure(TITLE, foreground=colours.ink, font=self._fonts[TITLE])
        self._text.tag_configure("side", justify=looks.start)
        self._text.tag_configure("gap", font=looks.font(6))
        self._text.bind("<Up>", lambda _: self._scroll(-1))
        self._text.bind("<Down>", lambda _: self._scroll(1))
        self._text.bind("<Tab>", lambda _: self._reveal(0))

    @property
    def text(self) -> tk.Text:
        """The control that holds the page, to be named."""
        return self._text

    def widen(self, by_px: int) -> None:
        """So many pixels of the display more than it was made for; before anything is written."""
        self._width += by_px
        self._frame.configure(width=int(self._frame["width"]) + by_px)

    def clear(self) -> None:
        """Nothing is shown."""
        self._text.configure(state="normal")
        self._text.delete("1.0", "end")
        for child in self._text.winfo_children():
            child.destroy()
        self._embedded = []
        self._text.configure(state="disabled")
        self._text.pack_forget()
        self._bar.pack_forget()
        self._frame.configure(height=1)

    def write(self, text: str, kind: str = INK) -> None:
        """One paragraph. `show` comes after the last one."""
        self._append(self._looks.shown(text, self._fonts[kind], self._width) + "\n", kind)

    def gap(self) -> None:
        """Some room before what comes next."""
        self._append("\n", "gap")

    def button(self, words: tuple[str, ...], call: Callable[[], None]) -> Button:
        """A button in a line of its own."""
        button = Button(self._text, self._looks, lk.PLAIN, words)
        button.configure(command=call)
        button.bind("<Key-Return>", lambda _: button.invoke(), add=True)
        at = len(self._embedded)
        button.bind("<Tab>", lambda _: self._reveal(at + 1), add=True)
        button.bind("<Shift-Tab>", lambda _: self._reveal(at - 1), add=True)
        button.bind("<ISO_Left_Tab>", lambda _: self._reveal(at - 1), add=True)
        self.embed(button)
        return button

    def choices(self, choices: Sequence[tuple[tuple[str, ...], Callable[[], None]]]) -> list[Button]:
        """Buttons that belong together: side by side where there is room."""
        frame = tk.Frame(self._text, background=self._text["background"])
        made = []
        for words, call in choices:
            button = Button(frame, self._looks, lk.PLAIN, words)
            button.configure(command=call)
            button.bind("<Key-Return>", lambda event: event.widget.invoke(), add=True)
            button.bind("<FocusIn>", lambda event: self._see(frame, event.widget), add=True)
            made.append(button)
        room = int(self._frame["width"]) - self._looks.px(24)
        fits = sum(button.winfo_reqwidth() for button in made) <= room
        for button in made:
            button.pack(side=self._looks.start if fits else "top", anchor=self._looks.anchor)
        self.embed(frame)
        return made

    def embed(self, widget: tk.Misc, *, takes_keys: bool = True) -> None:
        """A child of `text`, at the end of the page; `takes_keys`: Tab stops at it, or in it."""
        if takes_keys:
            self._embedded.append(widget)
        self._text.configure(state="normal")
        self._text.window_create("end", window=widget)
        self._text.insert("end", "\n")
        self._text.configure(state="disabled")

    def show(self) -> None:
        """The page is complete."""
        self._text.configure(state="normal")
        self._text.delete("end-1c")  # the last line break
        self._text.tag_add("side", "1.0", "end")
        self._text.configure(state="disabled")
        self.fit()

    def fit(self) -> None:
        """Take as much height as there is text, up to what the display has; the rest is scrolled."""
        self._bar.pack(side=self._looks.end, fill="y")
        self._text.pack(side=self._looks.start, fill="both", expand=True)
        self._frame.configure(height=self._height)
        self._text.update_idletasks()
        counted = self._text.count("1.0", "end", "update", "ypixels")
        needed = (counted[0] if isinstance(counted, tuple) else counted or 0) + self._looks.px(12)
        window = self._parent.winfo_toplevel()
        others = window.winfo_reqheight() - self._height
        most = max(self._looks.room[1] - others - self._looks.px(BESIDE_PX), self._looks.px(80))
        most = min(most, self._height)
        if needed <= most:
            self._bar.pack_forget()
        self._frame.configure(height=min(needed, most))
        self._text.yview_moveto(0.0)

    def _append(self, text: str, tag: str) -> None:
        self._text.configure(state="normal")
        self._text.insert("end", text, tag)
        self._text.configure(state="disabled")

    def _reveal(self, number: int) -> None:
        """What has scrolled out of sight is passed over by Tab: bring it back before that."""
        if 0 <= number < len(self._embedded):
            self._text.see(str(self._embedded[number]))
            self._text.update_idletasks()

    def _see(self, frame: tk.Frame, part: tk.Misc) -> None:
        """Scroll so far that this part of an embedded frame is in sight."""
        self._text.see(str(frame))
        self._text.update_idletasks()
        top = frame.winfo_y() + part.winfo_y()
        below = top + part.winfo_height() - self._text.winfo_height()
        if below > 0:
            self._text.yview_scroll(below, "pixels")
        elif top < 0:
            self._text.yview_scroll(top, "pixels")

    def _scroll(self, units: int) -> str:
        self._text.yview_scroll(units, "units")
        return "break"
