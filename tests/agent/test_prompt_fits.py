"""The prompt at every scale: all its controls are on the display, whatever has to be scrolled."""

import subprocess
import sys
import tkinter as tk

import pytest
from msgspec.structs import replace

from agent.desktop.app import open_root
from agent.desktop.language import PSEUDO_NAME, PSEUDO_RIGHT_NAME, language_of
from agent.desktop.looks import BASE_DPI, Looks, TickBox
from agent.desktop.prompt import Prompt, PromptTools
from agent.desktop.prompt_view import BAR_PX, SIDE_PX
from agent.desktop.x11_windows import WindowProperties
from protocol.grantables import Grantable
from tests.support.desktop_service import a_prompt, wait_for
from tests.support.seen_focus import pixels_of
from tests.support.x_display import x_display

pytestmark = pytest.mark.real
LIMIT_S = 20.0
FREE_PX = SIDE_PX + BAR_PX + 60  # and the tick box


@pytest.mark.parametrize(
    ("size", "scale", "languages"),
    # the longest words on the buttons, and those that run from the right
    [
        ("1366x768", "1", PSEUDO_NAME),
        ("1366x768", "3", "de,ar"),
        ("1920x1080", "3", f"fr,{PSEUDO_RIGHT_NAME}"),
    ],
)
def test_con_21_every_control_of_the_prompt_is_on_the_display(size: str, scale: str, languages: str) -> None:
    with x_display(size) as display:
        # in a process of its own: Tk ends one that used a display which is gone
        words = [sys.executable, "-m", __name__, display, scale, languages]
        looked = subprocess.run(words, check=False, capture_output=True, text=True)
    assert (looked.returncode, looked.stdout) == (0, "all fits\n"), looked.stderr


def look(display: str, scale: float, languages: list[str]) -> None:
    """Show both prompts in each language, go through them by keyboard, and measure each stop."""
    everything = [one.value for one in Grantable]
    known = replace(a_prompt(), grantables=everything, may_stand=True, readback="0417", reason="why " * 40)
    visitor = replace(known, organisation_name="", technician_name="", may_stand=False)
    for name in languages:
        for order in (known, visitor):
            root, properties = open_root(display), WindowProperties(display)
            looks = Looks(root, str(round(BASE_DPI * scale)), language_of((name,)))
            tools = PromptTools(looks, properties, has_hot_key=True, is_input_settled=lambda: True)
            prompt = Prompt(tools, order, lambda _: None)
            measure(root, prompt, (name, order is known), looks)
            prompt.cancel()
            properties.close()
            root.destroy()
    print("all fits")


def measure(root: tk.Tk, prompt: Prompt, which: tuple[str, bool], looks: Looks) -> None:
    view, window = prompt._view, prompt._view.window

    def is_shown() -> bool:
        root.update()
        return bool(window.winfo_viewable())

    wait_for(is_shown, LIMIT_S)
    root.update()
    assert on_display(window), which
    fields = [] if view.word is None else [view.word]
    for control in (view.refuse, view.allow, view.more, view.block, *fields):
        assert on_display(control), (which, str(control))
        assert control.winfo_width() >= control.winfo_reqwidth(), (which, str(control))
        if isinstance(control, tk.Entry):
            assert int(control.cget("insertofftime")) == 0  # it does not blink
    early = [
        str(part)
        for part in (*view.asked.values(), *view.standing.values())
        if free_beside(part, window) > looks.px(FREE_PX)
    ]
    assert not early, (which, early, "wraps although the window is wider")
    from_right = which[0] in ("ar", PSEUDO_RIGHT_NAME)
    for first, second in ((view.refuse, view.allow), (view.more, view.block), (view.waiting, view.refuse)):
        if first.winfo_rooty() + first.winfo_height() > second.winfo_rooty():  # side by side
            assert (first.winfo_rootx() > second.winfo_rootx()) is from_right, which
    reached = by_keyboard(root, view.refuse, which)
    assert {*view.standing.values(), view.refuse, view.allow, view.verify} <= reached, which
    assert reached.isdisjoint(fields), "the word comes after the digits"
    prompt.verify()
    root.update()
    step = view.step
    assert step is not None
    assert on_display(window), which
    for part in (step.digits, step.back, step.mismatched, step.matched):
        assert on_display(part), (which, str(part))
        assert part.winfo_width() >= part.winfo_reqwidth(), (which, str(part))
    said = sum(part.winfo_height() for part in step._body.winfo_children())
    end = step.digits.winfo_rooty() + step.digits.winfo_height() - step.winfo_rooty()
    assert end <= said + looks.px(100), (which, "the digits stand right below what is said of them")
    assert by_keyboard(root, step.back, which) == {step.back, step.mismatched, step.matched}
    view.close_step(is_matched=True)
    root.update()
    assert {view.refuse, view.allow, *fields} <= by_keyboard(root, view.refuse, which), which


def by_keyboard(root: tk.Tk, start: tk.Misc, which: tuple[str, bool]) -> set[tk.Misc]:
    """What Tab leads to from there."""
    start.focus_force()
    root.update()
    reached: set[tk.Misc] = set()
    while (at := root.focus_get()) is not None and at not in reached:
        reached.add(at)
        if isinstance(at, TickBox):
            assert inside_canvas(at), (which, str(at))
        focused = pixels_of(at, at.winfo_screen())
        at.event_generate("<Tab>")
        root.update()
        assert pixels_of(at, at.winfo_screen()) != focused, (which, str(at), "does not show the keyboard")
    return reached


def free_beside(part: tk.Misc, window: tk.Misc) -> int:
    """The pixels of the window's width that this text leaves free, whatever it says."""
    from_left = part.winfo_rootx() - window.winfo_rootx()
    from_right = window.winfo_width() - from_left - part.winfo_width()
    return window.winfo_width() - min(from_left, from_right) - int(str(part.cget("wraplength")))


def on_display(widget: tk.Misc) -> bool:
    """Whether all of it is."""
    right, bottom = widget.winfo_rootx() + widget.winfo_width(), widget.winfo_rooty() + widget.winfo_height()
    is_left_top = widget.winfo_rootx() >= 0 and widget.winfo_rooty() >= 0
    return is_left_top and right <= widget.winfo_screenwidth() and bottom <= widget.winfo_screenheight()


def inside_canvas(box: tk.Misc) -> bool:
    """Whether what is scrolled shows all of this line."""
    part: tk.Misc = box
    while not isinstance(part, tk.Canvas):
        assert part.master is not None
        part = part.master
    top = box.winfo_rooty() - part.winfo_rooty()
    return top >= 0 and top + box.winfo_height() <= part.winfo_height()


if __name__ == "__main__":
    look(sys.argv[1], float(sys.argv[2]), sys.argv[3].split(","))
