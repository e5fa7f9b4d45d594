"""Light and dark: the person's choice first, then what the desktop does."""

import subprocess
import sys
import tkinter as tk
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from agent.desktop.app import open_root
from agent.desktop.language import ENGLISH
from agent.desktop.looks import Looks
from agent.desktop.palette import DARK, LIGHT, Palette, Scheme
from agent.desktop.questions import Questions
from agent.desktop.tray import Tray, TrayTools
from agent.desktop.wishes import Wishes, choice_path
from agent.desktop.x11_windows import WindowProperties
from agent.desktop.xsettings import read_settings
from tests.support.desktop_service import wait_for
from tests.support.window_answers import WindowAnswers
from tests.support.x_display import x_display
from tests.support.xsettings import settings_program, written


@pytest.mark.parametrize("order", ["<", ">"])
def test_settings_are_read_in_either_byte_order(order: str) -> None:
    settings = {"Net/ThemeName": "Adwaita-dark", "Gtk/EnableAnimations": 0, "Net/DndDragThreshold": -1}
    assert read_settings(written(settings, order)) == settings


def test_settings_that_are_cut_say_nothing() -> None:
    whole = written({"Net/ThemeName": "Adwaita-dark", "Gtk/EnableAnimations": 0})
    assert all(read_settings(whole[:length]) == {} for length in range(len(whole)))


@pytest.mark.parametrize(
    ("settings", "palette"),
    [
        ({}, LIGHT),
        ({"Net/ThemeName": "Adwaita"}, LIGHT),
        ({"Net/ThemeName": "Adwaita-dark"}, DARK),
        ({"Net/ThemeName": "Mint-Y-Dark"}, DARK),
        ({"Net/ThemeName": "Darkling"}, LIGHT),
        ({"Net/ThemeName": "Adwaita", "Gtk/ApplicationPreferDarkTheme": 1}, DARK),
    ],
)
def test_without_a_choice_our_windows_are_as_dark_as_the_desktop(
    settings: dict[str, int | str], palette: Palette
) -> None:
    assert Wishes(lambda: written(settings), None).palette() is palette


def test_the_person_s_choice_is_kept_and_comes_before_the_desktop_s(tmp_path: Path) -> None:
    path = tmp_path / "config" / "looks"
    dark_desktop = written({"Net/ThemeName": "Adwaita-dark"})
    Wishes(lambda: dark_desktop, path).choose(Scheme.LIGHT)
    assert Wishes(lambda: dark_desktop, path).palette() is LIGHT
    Wishes(lambda: b"", path).choose(Scheme.DARK)
    assert Wishes(lambda: b"", path).palette() is DARK
    Wishes(lambda: b"", path).choose(Scheme.DESKTOP)
    assert Wishes(lambda: dark_desktop, path).palette() is DARK


@pytest.mark.parametrize("content", [b"", b"purple", b"\xff\xfe", b"dark" * 1000])
def test_noise_in_the_choice_s_file_is_no_choice(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "looks"
    path.write_bytes(content)
    assert Wishes(lambda: b"", path).scheme is Scheme.DESKTOP


def test_a_choice_that_cannot_be_kept_holds_for_now(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    wishes = Wishes(lambda: b"", tmp_path / "file" / "looks")
    wishes.choose(Scheme.DARK)
    assert wishes.palette() is DARK


def test_the_choice_stands_where_the_desktop_keeps_such_things() -> None:
    assert choice_path({}, Path("/home/kim")) == Path("/home/kim/.config/alongside/looks")
    assert choice_path({"XDG_CONFIG_HOME": "/c"}, Path("/home/kim")) == Path("/c/alongside/looks")
    assert choice_path({"XDG_CONFIG_HOME": "c"}, Path("/home/kim")) == choice_path({}, Path("/home/kim"))


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    with x_display() as name:
        yield name


@pytest.mark.real
def test_a_desktop_that_turns_dark_turns_our_next_window_dark(display: str) -> None:
    properties = WindowProperties(display)
    wishes = Wishes(properties.desktop_settings, None)
    assert wishes.palette() is LIGHT
    with settings_program(display, {"Net/ThemeName": "Adwaita-dark"}):
        assert wishes.palette() is DARK
    wait_for(lambda: wishes.palette() is LIGHT)
    properties.close()


@pytest.mark.real
def test_the_person_turns_the_window_dark_in_the_window_itself(display: str, tmp_path: Path) -> None:
    # in a process of its own: Tk ends one that used a display which is gone
    words = [sys.executable, "-m", __name__, display, str(tmp_path / "looks")]
    looked = subprocess.run(words, check=False, capture_output=True, text=True)
    assert looked.stdout.splitlines() == [LIGHT.background, DARK.background, "✓ Dark"], looked.stderr
    assert Wishes(lambda: b"", tmp_path / "looks").scheme is Scheme.DARK


def look(display: str, path: Path) -> None:
    """Open the window, choose, and say what colour it has before and after, and which choice is marked."""
    root, properties = open_root(display), WindowProperties(display)
    wishes = Wishes(lambda: b"", path)
    looks = Looks(root, "96", ENGLISH, wishes.palette)
    answers = cast(Questions, WindowAnswers())
    tools = TrayTools(
        display, "", looks, properties, answers, wishes, lambda: 0, print, prompt_first=lambda: None
    )
    tray = Tray(tools)
    tray._open_panel()
    print(ground(root))
    root.update()
    press(root, "About")
    press(root, "Dark")

    def is_dark() -> bool:
        root.update()
        return ground(root) == DARK.background and "✓ Dark" in said(root)

    wait_for(is_dark)
    print(ground(root))
    print(*[word for word in said(root) if word.startswith("✓")])


def ground(root: tk.Tk) -> str:
    """The colour of the one window that there is."""
    [window] = [child for child in root.winfo_children() if isinstance(child, tk.Toplevel)]
    return str(window["background"])


def buttons(widget: tk.Misc) -> list[tk.Button]:
    own = [widget] if isinstance(widget, tk.Button) else []
    return [*own, *(one for child in widget.winfo_children() for one in buttons(child))]


def said(root: tk.Tk) -> list[str]:
    return [str(button["text"]) for button in buttons(root)]


def press(root: tk.Tk, word: str) -> None:
    root.update()
    next(button for button in buttons(root) if button["text"] == word).invoke()


if __name__ == "__main__":
    look(sys.argv[1], Path(sys.argv[2]))
