"""The person's windows as they stand on a display: every text in the language, all of it within reach."""

import tkinter as tk
import tkinter.font as tkfont
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.desktop.app import open_root
from agent.desktop.language import PSEUDO_NAME, PSEUDO_RIGHT_NAME, language_of
from agent.desktop.looks import BASE_DPI, Button, Looks
from agent.desktop.tray_text import grouped
from agent.desktop.x11_windows import WindowProperties
from protocol.version import PRODUCT_VERSION
from tests.screens import PERSON_WINDOWS
from tests.support.desktop_service import wait_for
from tests.support.seen_focus import by_keyboard
from tests.support.window_answers import CODE, STATUS, VISIT
from tests.support.x_display import x_display

pytestmark = pytest.mark.real

LARGEST_SCALE = 3.0
LONGEST = ("fr", "de", "ar")  # the longest words on the buttons; and from the right
# what is said by nobody: names, ids, digits
FACTS = {
    CODE,
    PRODUCT_VERSION,
    STATUS.device_id,
    STATUS.organisation_name,
    grouped(STATUS.organisation_id),
    STATUS.group,
    STATUS.relay_url,
    str(STATUS.policy_version),
    VISIT.name,
    f"{VISIT.name} ({VISIT.technician_id})",
}


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """One that is not large."""
    with x_display("1920x1080", has_window_manager=True) as name:
        yield name


@contextmanager
def shown(display: str, title: str, language: str, scale: float) -> Iterator[tk.Toplevel]:
    """One of the person's windows, mapped."""
    root, properties = open_root(display), WindowProperties(display)
    looks = Looks(root, str(round(BASE_DPI * scale)), language_of((language,)))
    close = PERSON_WINDOWS[title](looks, properties)
    window = next(child for child in root.winfo_children() if isinstance(child, tk.Toplevel))

    def is_shown() -> bool:
        root.update()
        return bool(window.winfo_viewable())

    try:
        wait_for(is_shown, 20)
        yield window
        close()
    finally:  # Xlib ends the whole process when the display of a root goes away
        properties.close()
        root.destroy()


def inside(widget: tk.Misc) -> Iterator[tk.Misc]:
    """This widget and everything in it."""
    yield widget
    for child in widget.winfo_children():
        yield from inside(child)


def buttons_in(window: tk.Misc) -> list[Button]:
    """Those that are shown."""
    return [each for each in inside(window) if isinstance(each, Button) and each.winfo_viewable()]


def gap_left(widget: tk.Misc, window: tk.Misc) -> int:
    """Pixels between it and the window's left edge."""
    return widget.winfo_rootx() - window.winfo_rootx()


def gap_right(widget: tk.Misc, window: tk.Misc) -> int:
    """Pixels between it and the window's right edge."""
    return window.winfo_width() - gap_left(widget, window) - widget.winfo_width()


def said(widget: tk.Misc) -> list[str]:
    """The lines that this widget shows."""
    if isinstance(widget, tk.Text):
        return widget.get("1.0", "end").splitlines()
    if isinstance(widget, tk.Label | tk.Button):
        return str(widget.cget("text")).splitlines()
    return []


@pytest.mark.parametrize("title", PERSON_WINDOWS)
def test_con_22_every_text_goes_through_the_catalogue(display: str, title: str) -> None:
    """The pseudo-locale puts brackets around what it was given."""
    with shown(display, title, PSEUDO_NAME, 1.0) as window:
        lines = [line for widget in inside(window) for line in said(widget) if line.strip()]
    assert lines
    for line in lines:
        words = line.removeprefix("✕ ").removeprefix("! ").removeprefix("✓ ")
        assert words.startswith("[") or line in FACTS or "".join(line.split()).isdecimal(), line


@pytest.mark.parametrize("title", PERSON_WINDOWS)
def test_what_runs_from_the_right_stands_as_in_a_mirror(display: str, title: str) -> None:
    """Each button is as far from the one edge as in the other layout it is from the other."""
    with shown(display, title, PSEUDO_NAME, 1.0) as window:
        from_left = sorted(gap_left(button, window) for button in buttons_in(window))
    with shown(display, title, PSEUDO_RIGHT_NAME, 1.0) as window:
        from_right = sorted(gap_right(button, window) for button in buttons_in(window))
    assert from_left
    assert all(abs(one - other) <= 4 for one, other in zip(from_left, from_right, strict=True))


@pytest.mark.parametrize("title", PERSON_WINDOWS)
def test_con_21_nothing_blinks(display: str, title: str) -> None:
    """Our windows have no picture that changes by itself; a field's cursor is what could."""
    with shown(display, title, "en", 1.0) as window:
        for widget in inside(window):
            if isinstance(widget, tk.Text | tk.Entry) and str(widget.cget("state")) == "normal":
                assert int(widget.cget("insertofftime")) == 0, str(widget)


@pytest.mark.parametrize("language", LONGEST)
@pytest.mark.parametrize("title", PERSON_WINDOWS)
def test_con_21_at_three_times_the_size_all_is_reached_by_keyboard_and_in_sight(
    display: str, title: str, language: str
) -> None:
    with shown(display, title, language, LARGEST_SCALE) as window:
        assert window.winfo_width() <= window.winfo_screenwidth()
        assert window.winfo_height() <= window.winfo_screenheight()
        buttons = {widget for widget in inside(window) if isinstance(widget, Button)}
        first = window.tk_focusNext()
        assert first is not None
        first.focus_force()
        reached: list[tk.Misc] = []
        while (at := window.focus_get()) is not None and at not in reached:
            reached.append(at)
            if isinstance(at, Button):
                assert is_in_sight(at, window), str(at)
            at.event_generate("<Tab>")
            window.update()
        assert buttons <= set(reached)


@pytest.mark.parametrize("title", PERSON_WINDOWS)
def test_con_21_what_has_the_keyboard_shows_it(display: str, title: str) -> None:
    with shown(display, title, "en", 1.0) as window:
        first = window.tk_focusNext()
        assert first is not None
        assert len(by_keyboard(window, first, display)) >= 1


def test_a_page_uses_the_width_that_the_buttons_take(display: str) -> None:
    """Where words run from the right we wrap them ourselves: the next one would not have fitted."""
    with shown(display, "window-blocked", "ar", 1.0) as window:
        text = next(each for each in inside(window) if isinstance(each, tk.Text))
        font = tkfont.Font(root=window, font=str(text.tag_cget("strong", "font")))
        first, second = (text.get(f"{line}.0", f"{line}.end") for line in (1, 2))
        next_word = second.split()[-1]
        assert font.measure(f"{next_word} {first}") > text.winfo_width() - 40


def is_in_sight(widget: tk.Misc, window: tk.Misc) -> bool:
    """Whether all of it is in the window."""
    x, y = widget.winfo_rootx() - window.winfo_rootx(), widget.winfo_rooty() - window.winfo_rooty()
    right, bottom = x + widget.winfo_width(), y + widget.winfo_height()
    return x >= 0 and y >= 0 and right <= window.winfo_width() and bottom <= window.winfo_height()
