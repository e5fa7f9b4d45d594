"""Whether a control shows that it has the keyboard: its pixels on the display, with it and without."""

import tkinter as tk

import mss


def pixels_of(widget: tk.Misc, display: str) -> bytes:
    """What the person sees of it now; of what is scrolled beyond the display that which is on it."""
    widget.update()
    left, top = max(0, widget.winfo_rootx()), max(0, widget.winfo_rooty())
    right = min(widget.winfo_rootx() + widget.winfo_width(), widget.winfo_screenwidth())
    bottom = min(widget.winfo_rooty() + widget.winfo_height(), widget.winfo_screenheight())
    if left >= right or top >= bottom:
        return b""
    place = {"left": left, "top": top, "width": right - left, "height": bottom - top}
    with mss.MSS(display=display) as screen:
        return bytes(screen.grab(place).rgb)


def by_keyboard(window: tk.Misc, start: tk.Misc, display: str) -> list[tk.Misc]:
    """What Tab leads to from there, in this order; each of it looks different without the keyboard."""
    start.focus_force()
    window.update()
    reached: list[tk.Misc] = []
    while (at := window.focus_get()) is not None and at not in reached:
        reached.append(at)
        focused = pixels_of(at, display)
        at.event_generate("<Tab>")
        window.update()
        assert pixels_of(at, display) != focused, f"{at} does not show that it has the keyboard"
    return reached
