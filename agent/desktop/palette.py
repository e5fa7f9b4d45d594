"""Our colours, light and dark, and which of them stand on which: a test holds each pair to its contrast."""

from dataclasses import dataclass
from enum import StrEnum


class Scheme(StrEnum):
    """What the person chose; `DESKTOP` does as the desktop's other windows do."""

    DESKTOP = "desktop"
    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class Palette:
    """Each "#rrggbb". Bar and Stop stand over whatever the desktop shows: alike in both palettes."""

    background: str
    quiet: str
    ink: str
    muted: str
    line: str
    accent: str
    accent_hover: str
    accent_soft: str
    on_accent: str
    danger: str
    danger_hover: str
    on_danger: str
    focus: str
    disabled: str
    bar: str = "#0a675f"
    bar_line: str = "#074d47"
    bar_soft: str = "#8fc7bf"
    on_bar: str = "#ffffff"
    bar_alarm: str = "#a61b1b"
    alarm_soft: str = "#fbe3e1"
    stop: str = "#a61b1b"
    stop_hover: str = "#821414"
    bar_focus: str = "#ffd75e"


LIGHT = Palette(
    background="#ffffff",
    quiet="#f2f6f5",
    ink="#16292b",
    muted="#4c6063",
    line="#c3cecc",
    accent="#0a675f",
    accent_hover="#074d47",
    accent_soft="#8fc7bf",
    on_accent="#ffffff",
    danger="#a61b1b",
    danger_hover="#821414",
    on_danger="#ffffff",
    focus="#1b64d1",
    disabled="#e3e9e8",
)
DARK = Palette(
    background="#161d1f",
    quiet="#20292b",
    ink="#e6eeed",
    muted="#a9b8b8",
    line="#3a4749",
    accent="#7fd0c4",
    accent_hover="#a4e0d7",
    accent_soft="#3f7d75",
    on_accent="#04211e",
    danger="#ff9a90",
    danger_hover="#ffb8b1",
    on_danger="#3a0906",
    focus="#8ab8ff",
    disabled="#2c3638",
)
PALETTES = {Scheme.LIGHT: LIGHT, Scheme.DARK: DARK}

# (text, ground) by field: each pair that is read on a window of ours
TEXT_PAIRS = (
    ("ink", "background"),
    ("muted", "background"),
    ("accent", "background"),
    ("danger", "background"),
    ("ink", "quiet"),
    ("muted", "quiet"),
    ("accent", "quiet"),
    ("accent_hover", "quiet"),
    ("danger", "quiet"),
    ("danger_hover", "quiet"),
    ("on_accent", "accent"),
    ("on_accent", "accent_hover"),
    ("on_danger", "danger"),
    ("muted", "disabled"),
    ("on_bar", "bar"),
    ("on_bar", "stop"),
    ("on_bar", "stop_hover"),
    ("on_bar", "bar_alarm"),
    ("bar_alarm", "on_bar"),
    ("bar_alarm", "alarm_soft"),
)
# (outline, ground): borders of controls, focus rings, what is ticked, the mark
OUTLINE_PAIRS = (
    ("muted", "background"),
    ("muted", "quiet"),
    ("accent", "background"),
    ("accent", "quiet"),
    ("focus", "background"),
    ("focus", "quiet"),
    ("on_accent", "accent"),
    ("bar_focus", "bar"),
    ("bar_soft", "bar"),
    ("bar_focus", "bar_alarm"),
    ("alarm_soft", "bar_alarm"),
)
