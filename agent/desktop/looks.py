"""How our windows look: colours, type, spacing, and the few widgets they are made of."""

import tkinter as tk
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from tkinter import font as tkfont
from typing import Any, Literal, TypeAlias

from agent.desktop.drawing import Box, Plate, box_ppm, mark_ppm, plate_ppm
from agent.desktop.font_scale import dots
from agent.desktop.language import ENGLISH, Language
from agent.desktop.palette import LIGHT, Palette

Side: TypeAlias = Literal["left", "right"]
Anchor: TypeAlias = Literal["e", "w"]
FONT_FAMILIES = ("Inter", "Noto Sans", "DejaVu Sans", "Liberation Sans", "Helvetica")
ARABIC_FAMILIES = ("DejaVu Sans", "Noto Sans Arabic UI", "Noto Sans Arabic", *FONT_FAMILIES)
TEXT_WIDTH_PX = 510
UNLIMITED_PX = 1 << 20
BASE_DPI = 96.0
SCALE_LIMIT = 4.0
ROOM_PX = (640, 360)  # what a display has to have for us, at any scale


class Looks:
    """Fonts and pictures at this display's scale; one for each Tk root."""

    def __init__(
        self,
        root: tk.Tk,
        dots_per_inch: str = "",
        language: Language = ENGLISH,
        wanted: Callable[[], Palette] = lambda: LIGHT,
        room: tuple[int, int] | None = None,
    ) -> None:
        """`dots_per_inch` as the desktop's settings have it; "" takes what the display says of its size.

        `wanted` says which palette the person wants at that moment. `room`: width and height in pixels that
        every window has to do with; None is the whole desktop's.
        """
        self.root, self.language, self._wanted = root, language, wanted
        self.colours = wanted()
        given = dots(dots_per_inch) or root.winfo_fpixels("1i")
        self.room = room or (root.winfo_screenwidth(), root.winfo_screenheight())
        self.scale = _scale(min(given / BASE_DPI, SCALE_LIMIT), self.room)
        # where a line begins and ends, and where what stands in a column holds on to
        from_right = language.is_from_right
        self.start: Side = "right" if from_right else "left"
        self.end: Side = "left" if from_right else "right"
        self.anchor: Anchor = "e" if from_right else "w"
        self.far_anchor: Anchor = "w" if from_right else "e"
        self._pictures: dict[Any, tk.PhotoImage] = {}
        self._fonts: dict[tuple[str, int, str], tkfont.Font] = {}

    def dress(self) -> bool:
        """Take the palette that is wanted now, for windows made from now on; whether it is another one."""
        before, self.colours = self.colours, self._wanted()
        return before is not self.colours

    def on(self, room: tuple[int, int]) -> "Looks":
        """The same, and no larger than a window on a display of this size may be; it may be a new one."""
        smaller = copy(self)
        smaller.room = (min(self.room[0], room[0]), min(self.room[1], room[1]))
        smaller.scale = _scale(self.scale, smaller.room)
        return smaller

    def within(self, height_px: int) -> "Looks":
        """The same, and no larger than leaves a window of this height on the display."""
        smaller = copy(self)
        smaller.scale = max(min(self.scale, self.room[1] / height_px), 1.0)
        return smaller

    @cached_property
    def family(self) -> str:
        """Looked up for the first window: the list of all fonts is long."""
        known = set(tkfont.families(self.root))
        families = ARABIC_FAMILIES if self.language.is_from_right else FONT_FAMILIES
        return next((name for name in families if name in known), "TkDefaultFont")

    def px(self, length: float) -> int:
        """A length that was drawn for 96 dots an inch, in this display's pixels."""
        return max(1, round(length * self.scale))

    def font(self, size_px: float, *, is_bold: bool = False) -> tuple[str, int, str]:
        """A font by its height in 96-dpi pixels."""
        return (self.family, -self.px(size_px), "bold" if is_bold else "normal")

    def pad(self, start: int, end: int) -> tuple[int, int]:
        """Room before and after, in pixels, as Tk's `padx` wants it: left and right."""
        return (end, start) if self.language.is_from_right else (start, end)

    def shown(self, text: str, font: tuple[str, int, str], width: int = UNLIMITED_PX) -> str:
        """The text as Tk has to draw it: from the right it comes joined, wrapped at `width` and ordered."""
        if not self.language.is_from_right:
            return text
        from agent.desktop.shaping import on_screen

        # a little less than Tk's own limit, or it would wrap what is wrapped
        return on_screen(text, width - self.px(6), self.measured(font).measure)

    def measured(self, font: tuple[str, int, str]) -> tkfont.Font:
        """The font itself, which measures."""
        if font not in self._fonts:
            self._fonts[font] = tkfont.Font(root=self.root, font=font)
        return self._fonts[font]

    def mark(self, side_px: float, background: str) -> tk.PhotoImage:
        """The Alongside mark."""
        side = self.px(side_px)
        colours = self.colours
        first, second = {
            colours.bar: (colours.on_bar, colours.bar_soft),
            colours.bar_alarm: (colours.on_bar, colours.alarm_soft),
        }.get(background, (colours.accent, colours.accent_soft))
        return self._picture(
            ("mark", side, background),
            lambda: mark_ppm(side, accent=first, second=second, background=background),
        )

    def plate(self, plate: Plate) -> tk.PhotoImage:
        """A rounded plate; drawn once."""
        return self._picture(plate, lambda: plate_ppm(plate))

    def box(self, *, is_ticked: bool, is_focused: bool, background: str) -> tk.PhotoImage:
        """A tick box."""
        colours = self.colours
        ring = colours.focus if is_focused else ""
        fill, border = (colours.accent, colours.accent) if is_ticked else (colours.background, colours.muted)
        tick = colours.on_accent if is_ticked else ""
        box = Box(self.px(28), self.px(8), tick, fill, border, background, ring, self.language.is_from_right)
        return self._picture(box, lambda: box_ppm(box))

    def _picture(self, key: Any, draw: Callable[[], bytes]) -> tk.PhotoImage:
        if key not in self._pictures:
            self._pictures[key] = tk.PhotoImage(master=self.root, data=draw(), format="PPM")
        return self._pictures[key]


def _scale(wanted: float, room: tuple[int, int]) -> float:
    """What is wanted, as far as this room allows it."""
    return max(min(wanted, *(has / needed for has, needed in zip(room, ROOM_PX, strict=True))), 1.0)


@dataclass(frozen=True, slots=True)
class Type:
    """How a text is set; `width_px` is where it wraps, drawn for 96 dots an inch."""

    size_px: int
    colour: str
    is_bold: bool = False
    width_px: int = TEXT_WIDTH_PX


def label(parent: tk.Frame, looks: Looks, text: str, kind: Type) -> "Words":
    """A text, plain whatever it holds, wrapped."""
    return Words(parent, looks, text, kind)


class Words(tk.Label):
    """A text that runs from whichever side its language does; `said` is what was given."""

    def __init__(self, parent: tk.Frame, looks: Looks, text: str, kind: Type) -> None:
        self._looks, self.said = looks, text
        self._font = looks.font(kind.size_px, is_bold=kind.is_bold)
        self._width = looks.px(kind.width_px)
        super().__init__(
            parent,
            text=looks.shown(text, self._font, self._width),
            font=self._font,
            foreground=kind.colour,
            background=str(parent["background"]),
            justify=looks.start,
            anchor=looks.anchor,
            wraplength=self._width,
            borderwidth=0,
            padx=0,
            pady=0,
        )

    def configure(self, cnf: Any = None, **options: Any) -> Any:
        """As Tk's own; a new text or width is laid out anew, and the same text is not."""
        if options == {"text": self.said}:
            return None
        if "text" in options or "wraplength" in options:
            self.said = options.get("text", self.said)
            self._width = options.get("wraplength", self._width)
            options["text"] = self._looks.shown(self.said, self._font, self._width)
        return super().configure(cnf, **options)

    def widen(self, by_px: int) -> None:
        """Wrap so many pixels of the display later."""
        self.configure(wraplength=self._width + by_px)


def widen(parent: tk.Misc, by_px: int) -> None:
    """Have every text in there wrap so many pixels of the display later."""
    for child in parent.winfo_children():
        if isinstance(child, Words | TickBox):
            child.widen(by_px)
        else:
            widen(child, by_px)


def scroll_bar(parent: tk.Misc, looks: Looks, move: Callable[..., Any]) -> tk.Scrollbar:
    """For what is higher than its window; the keyboard scrolls without it."""
    return tk.Scrollbar(
        parent,
        orient="vertical",
        command=move,
        width=looks.px(12),
        relief="flat",
        borderwidth=0,
        elementborderwidth=looks.px(1),
        highlightthickness=0,
        background=looks.colours.line,
        activebackground=looks.colours.muted,
        troughcolor=looks.colours.quiet,
        takefocus=False,
    )


def field_options(looks: Looks, ground: str) -> dict[str, Any]:
    """How a field to write in looks on this ground. Its cursor does not blink: nothing of ours moves."""
    colours = looks.colours
    return {
        "relief": "flat",
        "borderwidth": 0,
        "highlightthickness": looks.px(2),
        "highlightcolor": colours.focus,
        "highlightbackground": colours.muted,
        "background": ground,
        "foreground": colours.ink,
        "insertbackground": colours.ink,
        "insertofftime": 0,
    }


@dataclass(frozen=True, slots=True)
class ButtonStyle:
    """A button's colours: `hover` while the pointer is over it, `ring` while it has the keyboard."""

    fill: str
    hover: str
    border: str
    text: str
    ring: str


class ButtonKind(Enum):
    """What a button is for: the main thing, something else, or Stop, on the usual bar and on the red one."""

    PRIMARY = auto()
    PLAIN = auto()
    STOP = auto()
    STOP_ON_ALARM = auto()


PRIMARY, PLAIN = ButtonKind.PRIMARY, ButtonKind.PLAIN
STOP, STOP_ON_ALARM = ButtonKind.STOP, ButtonKind.STOP_ON_ALARM


def style_of(kind: ButtonKind, colours: Palette) -> ButtonStyle:
    """How such a button looks in this palette."""
    match kind:
        case ButtonKind.PRIMARY:
            return ButtonStyle(
                colours.accent, colours.accent_hover, colours.accent, colours.on_accent, colours.focus
            )
        case ButtonKind.PLAIN:
            return ButtonStyle(colours.background, colours.quiet, colours.muted, colours.ink, colours.focus)
        case ButtonKind.STOP:
            return ButtonStyle(
                colours.stop, colours.stop_hover, colours.stop, colours.on_bar, colours.bar_focus
            )
        case ButtonKind.STOP_ON_ALARM:
            return ButtonStyle(
                colours.on_bar, colours.alarm_soft, colours.on_bar, colours.bar_alarm, colours.bar_focus
            )


class Button(tk.Button):
    """A rounded button with a focus ring, for pointer and keyboard; as wide as its longest text."""

    def __init__(self, parent: tk.Misc, looks: Looks, kind: ButtonKind, texts: tuple[str, ...]) -> None:
        self._looks, self._colours = looks, looks.colours
        self._style = style_of(kind, looks.colours)
        self._background = str(parent["background"])
        family = self._font = looks.font(15, is_bold=True)
        measure = looks.measured(family).measure
        self._width = max(measure(looks.shown(text, family)) for text in texts) + looks.px(40)
        self._is_over = self._has_focus = False
        self._is_enabled = True
        super().__init__(
            parent,
            text=looks.shown(texts[0], family),
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

    def configure(self, cnf: Any = None, **options: Any) -> Any:
        """As Tk's own; a new text is laid out."""
        if "text" in options:
            options["text"] = self._looks.shown(options["text"], self._font)
        return super().configure(cnf, **options)

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
            fill, text, border = self._colours.disabled, self._colours.muted, self._colours.disabled
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
                    style.ring if self._has_focus else "",
                )
            ),
        )


class TickBox(tk.Checkbutton):
    """One line with a box in front; the whole line can be pressed."""

    def __init__(self, parent: tk.Misc, looks: Looks, text: str, *, is_on: bool = True) -> None:
        self._looks, self._text = looks, text
        self._background = str(parent["background"])
        self._is_on = tk.BooleanVar(parent, value=is_on)
        self._width = looks.px(TEXT_WIDTH_PX - 50)
        super().__init__(
            parent,
            text=looks.shown(text, looks.font(15), self._width),
            font=looks.font(15),
            variable=self._is_on,
            indicatoron=False,
            compound=looks.start,
            anchor=looks.anchor,
            justify=looks.start,
            wraplength=self._width,
            relief="flat",
            overrelief="flat",
            offrelief="flat",
            borderwidth=0,
            highlightthickness=0,
            background=self._background,
            activebackground=self._background,
            selectcolor=self._background,
            foreground=looks.colours.ink,
            activeforeground=looks.colours.ink,
            cursor="hand2",
        )
        self.bind("<FocusIn>", lambda _: self._draw(is_focused=True), add=True)
        self.bind("<FocusOut>", lambda _: self._draw(is_focused=False), add=True)
        self._draw(is_focused=False)

    @property
    def is_on(self) -> bool:
        """Whether it is ticked."""
        return self._is_on.get()

    def widen(self, by_px: int) -> None:
        """As `Words.widen`."""
        self._width += by_px
        text = self._looks.shown(self._text, self._looks.font(15), self._width)
        self.configure(text=text, wraplength=self._width)

    def _draw(self, *, is_focused: bool) -> None:
        off, on = (
            self._looks.box(is_ticked=ticked, is_focused=is_focused, background=self._background)
            for ticked in (False, True)
        )
        self.configure(image=off, selectimage=on)
