"""How our windows look: colours, type, spacing, and the few widgets they are made of."""

import tkinter as tk
from collections.abc import Callable
from dataclasses import dataclass
from tkinter import font as tkfont
from typing import Any

from agent.desktop.drawing import Box, Plate, box_ppm, mark_ppm, plate_ppm
from agent.desktop.language import ENGLISH, Language

BACKGROUND = "#ffffff"
QUIET = "#f2f6f5"
INK = "#16292b"
MUTED = "#4c6063"
LINE = "#c3cecc"
ACCENT = "#0a675f"
ACCENT_DARK = "#074d47"
ACCENT_SOFT = "#8fc7bf"
ON_ACCENT = "#ffffff"
DANGER = "#a61b1b"
DANGER_DARK = "#821414"
FOCUS = "#1b64d1"
DISABLED = "#e3e9e8"

# (text, ground): each pair that stands on a screen of ours; a test holds them to 4.5 : 1
TEXT_PAIRS = (
    (INK, BACKGROUND),
    (MUTED, BACKGROUND),
    (INK, QUIET),
    (MUTED, QUIET),
    (ACCENT, BACKGROUND),
    (ON_ACCENT, ACCENT),
    (ON_ACCENT, ACCENT_DARK),
    (ON_ACCENT, DANGER),
    (ON_ACCENT, DANGER_DARK),
    (DANGER, BACKGROUND),
    (DANGER, QUIET),
    (ACCENT, QUIET),
    (MUTED, DISABLED),
)

FONT_FAMILIES = ("Inter", "Noto Sans", "DejaVu Sans", "Liberation Sans", "Helvetica")
TEXT_WIDTH_PX = 510
BASE_DPI = 96.0
SCALE_LIMIT = 4.0


class Looks:
    """Fonts and pictures at this display's scale; one for each Tk root."""

    def __init__(self, root: tk.Tk, dots_per_inch: str = "", language: Language = ENGLISH) -> None:
        """`dots_per_inch` as the desktop's settings have it; "" takes what the display says of its size."""
        self.root, self.language = root, language
        given = dots_per_inch if dots_per_inch.isdecimal() else root.winfo_fpixels("1i")
        self.scale = min(max(float(given) / BASE_DPI, 1.0), SCALE_LIMIT)
        known = set(tkfont.families(root))
        self.family = next((name for name in FONT_FAMILIES if name in known), "TkDefaultFont")
        self._pictures: dict[Any, tk.PhotoImage] = {}

    def px(self, length: float) -> int:
        """A length that was drawn for 96 dots an inch, in this display's pixels."""
        return max(1, round(length * self.scale))

    def font(self, size_px: float, *, is_bold: bool = False) -> tuple[str, int, str]:
        """A font by its height in 96-dpi pixels."""
        return (self.family, -self.px(size_px), "bold" if is_bold else "normal")

    def mark(self, side_px: float, background: str) -> tk.PhotoImage:
        """The Alongside mark."""
        side = self.px(side_px)
        is_dark = background in (ACCENT, ACCENT_DARK)
        first, second = (ON_ACCENT, ACCENT_SOFT) if is_dark else (ACCENT, ACCENT_SOFT)
        return self._picture(
            ("mark", side, background),
            lambda: mark_ppm(side, accent=first, second=second, background=background),
        )

    def plate(self, plate: Plate) -> tk.PhotoImage:
        """A rounded plate; drawn once."""
        return self._picture(plate, lambda: plate_ppm(plate))

    def box(self, *, is_ticked: bool, is_focused: bool, background: str) -> tk.PhotoImage:
        """A tick box."""
        ring = FOCUS if is_focused else ""
        box = Box(self.px(28), self.px(8), is_ticked, ACCENT, MUTED, background, ring)
        return self._picture(box, lambda: box_ppm(box))

    def _picture(self, key: Any, draw: Callable[[], bytes]) -> tk.PhotoImage:
        if key not in self._pictures:
            self._pictures[key] = tk.PhotoImage(master=self.root, data=draw(), format="PPM")
        return self._pictures[key]


@dataclass(frozen=True, slots=True)
class Type:
    """How a text is set; `width_px` is where it wraps, drawn for 96 dots an inch."""

    size_px: int
    colour: str
    is_bold: bool = False
    width_px: int = TEXT_WIDTH_PX


def label(parent: tk.Frame, looks: Looks, text: str, kind: Type) -> tk.Label:
    """A text, plain whatever it holds, wrapped."""
    return tk.Label(
        parent,
        text=text,
        font=looks.font(kind.size_px, is_bold=kind.is_bold),
        foreground=kind.colour,
        background=str(parent["background"]),
        justify="left",
        anchor="w",
        wraplength=looks.px(kind.width_px),
        borderwidth=0,
        padx=0,
        pady=0,
    )


@dataclass(frozen=True, slots=True)
class ButtonStyle:
    """Colours of a button; `hover` while the pointer is over it."""

    fill: str
    hover: str
    border: str
    text: str


PRIMARY = ButtonStyle(ACCENT, ACCENT_DARK, ACCENT, ON_ACCENT)
PLAIN = ButtonStyle(BACKGROUND, QUIET, MUTED, INK)
STOP = ButtonStyle(DANGER, DANGER_DARK, DANGER, ON_ACCENT)


class Button(tk.Button):
    """A rounded button with a focus ring, for pointer and keyboard; as wide as its longest text."""

    def __init__(self, parent: tk.Misc, looks: Looks, style: ButtonStyle, texts: tuple[str, ...]) -> None:
        self._looks, self._style = looks, style
        self._background = str(parent["background"])
        family = looks.font(15, is_bold=True)
        measure = tkfont.Font(root=looks.root, font=family).measure
        self._width = max(measure(text) for text in texts) + looks.px(40)
        self._is_over = self._has_focus = False
        self._is_enabled = True
        super().__init__(
            parent,
            text=texts[0],
            font=family,
            compound="center",
            relief="flat",
            overrelief="flat",
            borderwidth=0,
            highlightthickness=0,
            padx=0,
            pady=0,
            background=self._background,
            activebackground=self._background,
            cursor="hand2",
            takefocus=True,
        )
        # a tag of its own before Tk's: what other bindings of this widget say does not matter
        own_tag = f"guard{self}"
        self.bindtags((own_tag, *self.bindtags()))
        for pattern in ("<ButtonPress>", "<Key-Return>", "<Key-KP_Enter>", "<Key-space>"):
            self.bind_class(own_tag, pattern, self._may_press)
        self.bind("<Enter>", lambda _: self._now(is_over=True), add=True)
        self.bind("<Leave>", lambda _: self._now(is_over=False), add=True)
        self.bind("<FocusIn>", lambda _: self._now(has_focus=True), add=True)
        self.bind("<FocusOut>", lambda _: self._now(has_focus=False), add=True)
        self._draw()

    def enable(self, *, is_enabled: bool) -> None:
        """Let it be pressed, or not."""
        if self._is_enabled != is_enabled:
            self._is_enabled = is_enabled
            self._draw()

    def _may_press(self, _: Any) -> str | None:
        # Tk's own disabled state would draw the text through a pattern
        return None if self._is_enabled else "break"

    def _now(self, *, is_over: bool | None = None, has_focus: bool | None = None) -> None:
        self._is_over = self._is_over if is_over is None else is_over
        self._has_focus = self._has_focus if has_focus is None else has_focus
        self._draw()

    def _draw(self) -> None:
        style = self._style
        fill = style.hover if self._is_over else style.fill
        text, border = style.text, style.border
        if not self._is_enabled:
            fill, text, border = DISABLED, MUTED, DISABLED
        self.configure(
            foreground=text,
            activeforeground=text,
            image=self._looks.plate(
                Plate(
                    self._width,
                    self._looks.px(40),
                    self._looks.px(8),
                    self._looks.px(4),
                    fill,
                    border,
                    self._background,
                    FOCUS if self._has_focus else "",
                )
            ),
        )


class TickBox(tk.Checkbutton):
    """One line with a box in front; the whole line can be pressed."""

    def __init__(self, parent: tk.Misc, looks: Looks, text: str, *, is_on: bool = True) -> None:
        self._looks = looks
        self._background = str(parent["background"])
        self._is_on = tk.BooleanVar(parent, value=is_on)
        super().__init__(
            parent,
            text=text,
            font=looks.font(15),
            variable=self._is_on,
            indicatoron=False,
            compound="left",
            anchor="w",
            justify="left",
            wraplength=looks.px(TEXT_WIDTH_PX - 50),
            relief="flat",
            overrelief="flat",
            offrelief="flat",
            borderwidth=0,
            highlightthickness=0,
            background=self._background,
            activebackground=self._background,
            selectcolor=self._background,
            foreground=INK,
            activeforeground=INK,
            cursor="hand2",
        )
        self.bind("<FocusIn>", lambda _: self._draw(is_focused=True), add=True)
        self.bind("<FocusOut>", lambda _: self._draw(is_focused=False), add=True)
        self._draw(is_focused=False)

    @property
    def is_on(self) -> bool:
        """Whether it is ticked."""
        return self._is_on.get()

    def _draw(self, *, is_focused: bool) -> None:
        off, on = (
            self._looks.box(is_ticked=ticked, is_focused=is_focused, background=self._background)
            for ticked in (False, True)
        )
        self.configure(image=off, selectimage=on)
