"""The indicator's bar at every scale and in every language: all of it on the display, no text cut."""

import subprocess
import sys
import tkinter as tk
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from agent.desktop.app import open_root
from agent.desktop.indicator import BarCalls, Bars
from agent.desktop.ipc_messages import ShowIndicator
from agent.desktop.language import LANGUAGES, PSEUDO_NAME, language_of
from agent.desktop.looks import BASE_DPI, Looks
from agent.desktop.x11_windows import WindowProperties
from protocol.grantables import Grantable
from tests.support.desktop_service import an_indicator, wait_for
from tests.support.x_display import x_display

pytestmark = pytest.mark.real
WIDTH, HEIGHT = 1920, 1080
LIMIT_S = 20.0


@pytest.fixture(scope="module")
def full_hd() -> Iterator[str]:
    with x_display(f"{WIDTH}x{HEIGHT}") as display:
        yield display


def all_below(widget: tk.Misc) -> list[tk.Misc]:
    return [widget, *(one for child in widget.winfo_children() for one in all_below(child))]


def everything_granted() -> ShowIndicator:
    """The longest words that the bar has."""
    return replace(an_indicator(is_unattended=True), grantables=[one.value for one in Grantable])


@pytest.mark.parametrize("scale", [1.0, 2.0, 3.0])
def test_con_21_no_text_of_the_bar_is_cut_and_stop_is_on_the_display(full_hd: str, scale: float) -> None:
    # in a process of its own: Tk ends one that used a display which is gone
    words = [sys.executable, "-m", __name__, full_hd, str(scale)]
    looked = subprocess.run(words, check=False, capture_output=True, text=True)
    assert (looked.returncode, looked.stdout) == (0, "all fits\n"), looked.stderr


def look(full_hd: str, scale: float) -> None:
    """Show the bar in every language, and measure it."""
    for name in (*LANGUAGES, PSEUDO_NAME):
        root = open_root(full_hd)
        properties = WindowProperties(full_hd)
        looks = Looks(root, str(round(BASE_DPI * scale)), language_of((name,)))
        bars = Bars(looks, properties, BarCalls(lambda *_: None, lambda _: None))
        bars.say_keys(are_ours=False)
        bars.show(everything_granted())
        window = next(child for child in root.winfo_children() if isinstance(child, tk.Toplevel))

        def is_shown(root: tk.Tk = root, window: tk.Toplevel = window) -> bool:
            root.update()
            return bool(window.winfo_viewable())

        wait_for(is_shown, LIMIT_S)
        root.update()
        for widget in all_below(window):
            assert widget.winfo_rootx() >= 0, (name, str(widget))
            assert widget.winfo_rootx() + widget.winfo_width() <= WIDTH, (name, str(widget))
            assert widget.winfo_width() >= widget.winfo_reqwidth(), (name, str(widget))
            assert widget.winfo_height() >= widget.winfo_reqheight(), (name, str(widget))
        bars.close()
        properties.close()
        root.destroy()
    print("all fits")


if __name__ == "__main__":
    look(sys.argv[1], float(sys.argv[2]))
