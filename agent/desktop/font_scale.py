"""Letters as large as they were asked for, whatever the desktop says of its resolution.

Tk turns a font's pixels into points by the size of the screen in millimetres, and Xft turns those into pixels
again by the setting Xft.dpi. Where the two differ, as on every desktop that is set to 200 %, letters would be
larger than their buttons. `tk scaling` is what Tk takes for the first of the two.
Source: Tk 8.6, tkFont.c (TkFontGetPoints) and tkUnixRFont.c; Tk's manual, tk(n).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tkinter as tk

POINTS_PER_INCH = 72


def dots(setting: str) -> float | None:
    """The setting Xft.dpi as a number; None where there is none that Xft would take."""
    try:
        found = float(setting)
    except ValueError:
        return None
    return found if 1 <= found < 10_000 else None


def measure_as_drawn(root: "tk.Tk", setting: str) -> None:
    """Have Tk reckon with the same resolution as whoever draws its letters; before the first font is used."""
    per_inch = dots(setting)
    if per_inch is not None:
        root.tk.call("tk", "scaling", per_inch / POINTS_PER_INCH)
