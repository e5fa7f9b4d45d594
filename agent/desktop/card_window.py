"""After a session: a card that says what was done, and asks whether it helped.

It does not take the keyboard when it appears, and goes away when somebody connects again.
"""

import tkinter as tk
from functools import partial
from tkinter import font as tkfont

from agent.desktop import block_text, tray_text, visit_text
from agent.desktop import looks as lk
from agent.desktop.ipc_messages import RatingGiven, ShowCard, Visit
from agent.desktop.looks import Button, Looks
from agent.desktop.page import ALARM, STRONG, TITLE, Page
from agent.desktop.place import primary_place
from agent.desktop.questions import Answer, Questions
from agent.desktop.x11_windows import WindowProperties, name_parts
from protocol.errors import SupportError
from protocol.limits import RATING_COMMENT_LIMIT_CHARS

WINDOW_NAME = "alongside-card"
TEXT_PX, PAGE_PX, PAGE_HEIGHT_PX = 400, 424, 640
COMMENT_LINES = 3
FROM_EDGE_PX = 24
CHOSEN = "✓ "


class Cards:
    """At most one card at a time: the newest."""

    def __init__(self, looks: Looks, properties: WindowProperties, questions: Questions) -> None:
        self._looks, self._properties, self._questions = looks, properties, questions
        self._card: Card | None = None

    def show(self, order: ShowCard) -> None:
        """Show this one instead of an older one."""
        self.hide()
        self._looks.dress()
        self._card = Card(self._looks, self._properties, self._questions, order)

    def hide(self) -> None:
        """Take it away; what was written in it is lost. May be called twice."""
        card, self._card = self._card, None
        if card is not None:
            card.close()


class Card:
    """One session that is over."""

    def __init__(
        self, looks: Looks, properties: WindowProperties, questions: Questions, order: ShowCard
    ) -> None:
        self._looks, self._questions, self._visit = looks, questions, order.visit
        self._say = looks.language.say
        self._is_good: bool | None = None
        self._parts: dict[str, tk.Misc] = {}
        self.window = tk.Toplevel(
            looks.root, name=WINDOW_NAME, class_=WINDOW_NAME, background=self._looks.colours.background
        )
        self.window.withdraw()
        self.window.title(f"{tray_text.TITLE}: {self._say('The session is over')}")
        self.window.resizable(width=False, height=False)
        self.window.protocol("WM_DELETE_WINDOW", self.close)
        self.window.bind("<Escape>", lambda _: self.close())
        self._page = Page(self.window, looks, PAGE_PX, PAGE_HEIGHT_PX)
        self._build_report(order.visit)
        self._rating = tk.Frame(self._page.text, background=self._looks.colours.background)
        if order.may_rate:
            self._build_question()
            self._page.embed(self._rating)
        self._build_footer(may_rate=order.may_rate)
        self._page.show()
        self._appear(properties)
        name_parts(properties, self._parts)

    def close(self) -> None:
        """Take it away. May be called twice."""
        if self.window.winfo_exists():
            self.window.destroy()

    def _write(self, parent: tk.Frame, text: str, kind: lk.Type, above: int = 0) -> tk.Label:
        written = lk.label(parent, self._looks, text, kind)
        written.pack(anchor=self._looks.anchor, pady=(self._looks.px(above), 0))
        return written

    def _build_report(self, visit: Visit) -> None:
        text = visit_text.visit_text(visit, self._looks.language)
        self._page.write(self._say("The session is over"), TITLE)
        self._page.gap()
        self._page.write(text.headline, STRONG if text.is_verified else ALARM)
        for line in text.lines:
            self._page.write(line)
        for line in block_text.after_mismatch(visit, self._looks.language):
            self._page.gap()
            self._page.write(line, STRONG)

    def _build_question(self) -> None:
        px = self._looks.px
        self._write(
            self._rating,
            self._say("Did it help?"),
            lk.Type(14, self._looks.colours.ink, True, TEXT_PX),
            above=14,
        )
        row = tk.Frame(self._rating, background=self._looks.colours.background)
        row.pack(anchor=self._looks.anchor, padx=0, pady=(px(4), 0))
        words = (self._say("It helped"), self._say("It did not help"))
        self._thumbs = [Button(row, self._looks, lk.PLAIN, (word, CHOSEN + word)) for word in words]
        for is_good, thumb in zip((True, False), self._thumbs, strict=True):
            thumb.configure(command=partial(self._choose, is_good=is_good))
            thumb.bind("<Key-Return>", _press, add=True)
            self._parts["card:good" if is_good else "card:bad"] = thumb
        fits = sum(thumb.winfo_reqwidth() for thumb in self._thumbs) <= px(TEXT_PX)
        for thumb in self._thumbs:
            thumb.pack(side=self._looks.start if fits else "top", anchor=self._looks.anchor)
        whom = self._visit.name
        invitation = self._say("Something to add? Only {name} reads it. Write no password.", name=whom)
        self._write(
            self._rating, invitation, lk.Type(14, self._looks.colours.muted, width_px=TEXT_PX), above=10
        )
        self._comment = tk.Text(
            self._rating,
            height=COMMENT_LINES,
            width=self._looks.px(TEXT_PX)
            // tkfont.Font(root=self._looks.root, font=self._looks.font(14)).measure("0"),
            wrap="word",
            font=self._looks.font(14),
            **lk.field_options(self._looks, self._looks.colours.background),
        )
        self._comment.pack(fill="x", pady=(px(4), 0))
        self._comment.bind("<Tab>", lambda _: _focus(self._comment.tk_focusNext()))
        self._comment.bind("<KeyRelease>", lambda _: self._cut_comment(), add=True)
        self._parts["card:comment"] = self._comment
        for part in (*self._thumbs, self._comment):
            part.bind("<FocusIn>", lambda _: self._page.text.see(str(self._rating)), add=True)

    def _build_footer(self, *, may_rate: bool) -> None:
        px = self._looks.px
        footer = tk.Frame(self.window, background=self._looks.colours.quiet)
        footer.pack(side="bottom", fill="x")
        row = tk.Frame(footer, background=self._looks.colours.quiet)
        row.pack(side=self._looks.end, padx=px(20), pady=px(12))
        if may_rate:
            self._send_button = Button(row, self._looks, lk.PRIMARY, (self._say("Send"),))
            self._send_button.configure(command=self._send)
            self._send_button.enable(is_enabled=False)
            self._parts["card:send"] = self._send_button
        close = Button(row, self._looks, lk.PLAIN, (self._say("Close"),))
        close.configure(command=self.close)
        self._parts["card:close"] = close
        for button in (self._send_button, close) if may_rate else (close,):
            button.pack(side=self._looks.start)
            button.bind("<Key-Return>", _press, add=True)

    def _appear(self, properties: WindowProperties) -> None:
        window, edge = self.window, self._looks.px(FROM_EDGE_PX)
        place = primary_place(window, properties)
        x = place.x + max(0, place.width - self._looks.px(PAGE_PX) - 4 * edge)
        window.geometry(f"+{x}+{place.y + place.height // 3}")
        window.update_idletasks()
        wrapper = properties.parent_of(window.winfo_id())
        if wrapper and wrapper != properties.parent_of(wrapper):
            properties.leave_focus(wrapper)
        window.deiconify()
        window.update_idletasks()
        self._page.fit()  # how high it is is known once it is laid out
        window.update_idletasks()
        y = place.y + max(0, place.height - window.winfo_reqheight() - 3 * edge)
        window.geometry(f"+{x}+{y}")

    def _choose(self, *, is_good: bool) -> None:
        self._is_good = is_good
        words = (self._say("It helped"), self._say("It did not help"))
        for each, word, thumb in zip((True, False), words, self._thumbs, strict=True):
            thumb.configure(text=CHOSEN + word if each is is_good else word)
        self._send_button.enable(is_enabled=True)

    def _cut_comment(self) -> None:
        self._comment.delete(f"1.0 + {RATING_COMMENT_LIMIT_CHARS} chars", "end")

    def _send(self) -> None:
        if self._is_good is None:
            return
        self._send_button.enable(is_enabled=False)
        comment = self._comment.get("1.0", "end-1c")[:RATING_COMMENT_LIMIT_CHARS]
        self._questions.ask(RatingGiven(self._visit.session_id, self._is_good, comment), self._sent)

    def _sent(self, answer: Answer) -> None:
        if not self.window.winfo_exists():
            return
        if isinstance(answer, SupportError):
            self._write(
                self._rating,
                tray_text.fault_text(answer, self._looks.language),
                lk.Type(14, self._looks.colours.danger, True, TEXT_PX),
                above=8,
            )
            self._send_button.enable(is_enabled=True)
            return
        for child in self._rating.winfo_children():
            child.destroy()
        thanks = self._say(
            "Thank you. {name} gets it when you are connected the next time.", name=self._visit.name
        )
        self._write(self._rating, thanks, lk.Type(14, self._looks.colours.ink, True, TEXT_PX), above=14)
        self._send_button.pack_forget()
        self._page.fit()


def _press(event: "tk.Event[Button]") -> None:
    event.widget.invoke()


def _focus(widget: tk.Misc | None) -> str:
    if widget is not None:
        widget.focus_set()
    return "break"
