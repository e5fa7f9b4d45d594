"""Pictures of our windows, to look at.

`python -m tests.screens DIR [--languages en,de] [--scales 1,2] [--schemes light,dark]`.
"""

import argparse
import tkinter as tk
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import cast

import mss
import mss.tools
from msgspec.structs import replace

from agent.desktop.app import open_root
from agent.desktop.card_window import Card
from agent.desktop.help_window import HelpWindow
from agent.desktop.indicator import BarCalls, Bars
from agent.desktop.ipc_messages import ShowCard, Visit
from agent.desktop.language import LANGUAGES, PSEUDO_NAME, PSEUDO_RIGHT_NAME, language_of
from agent.desktop.looks import BASE_DPI, Looks
from agent.desktop.palette import PALETTES, Scheme
from agent.desktop.panel import Panel, PanelCalls
from agent.desktop.prompt import Prompt, PromptTools
from agent.desktop.questions import Questions
from agent.desktop.tray_state import TrayState
from agent.desktop.x11_windows import WindowProperties
from tests.support.desktop_service import a_prompt, an_indicator, wait_for
from tests.support.window_answers import STRANGER, VISIT, WindowAnswers
from tests.support.x_display import x_display

SIZE = "2560x1800"


def pictures(folder: Path, languages: list[str], scales: list[float], schemes: list[Scheme]) -> list[Path]:
    """Show each window in each language, at each scale, light or dark; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    with x_display(SIZE) as display:
        for name in languages:
            for scale, scheme in product(scales, schemes):
                made += _windows(display, name, scale, scheme, folder)
    return made


def _windows(display: str, name: str, scale: float, scheme: Scheme, folder: Path) -> list[Path]:
    root = open_root(display)
    properties = WindowProperties(display)
    palette = PALETTES[scheme]
    looks = Looks(root, str(round(BASE_DPI * scale)), language_of((name,)), lambda: palette)
    tools = PromptTools(looks, properties, has_hot_key=True, is_input_settled=lambda: True)
    known = replace(a_prompt(timeout_s=300.0), may_stand=True, readback="0417")
    visitor = replace(known, organisation_name="", technician_name="", may_stand=False)
    made = []

    def take(title: str, close: Callable[[], None]) -> None:
        file = folder / f"{title}-{name}-{round(scale * 100)}-{scheme}.png"
        _picture(root, display, file)
        close()
        made.append(file)

    later = replace(known, grantables=["input.control"])
    for title, order in (("prompt", known), ("prompt-control", later), ("prompt-not-verified", visitor)):
        take(title, Prompt(tools, order, lambda _: None).cancel)
    verifying = Prompt(tools, known, lambda _: None)
    verifying.verify()
    take("prompt-verify", verifying.cancel)
    bars = Bars(looks, properties, BarCalls(lambda *_: None, lambda _: None))
    bars.show(an_indicator())
    take("indicator", bars.close)
    bars.show(replace(an_indicator(name=""), organisation_name=""))
    take("indicator-not-verified", bars.close)
    bars.show(an_indicator())
    bars.say_keys(are_ours=False)
    take("indicator-keys-taken", bars.close)
    for title, show in PERSON_WINDOWS.items():
        take(title, show(looks, properties))
    root.destroy()
    return made


def _panel(page: str, state: TrayState, looks: Looks, properties: WindowProperties) -> Callable[[], None]:
    """The person's window with this page."""
    answers = WindowAnswers()
    nothing = PanelCalls(lambda: None, lambda: None, lambda _: None, lambda: Scheme.DESKTOP, lambda _: None)
    panel = Panel(looks, properties, cast(Questions, answers), nothing)
    panel.show_state(state, 3000.0)
    panel.window.deiconify()
    if page:
        panel.press(page)
    return panel.window.destroy


def _help(looks: Looks, properties: WindowProperties) -> Callable[[], None]:
    return HelpWindow(looks, properties, cast(Questions, WindowAnswers()), lambda: None).close


def _card(visit: Visit, looks: Looks, properties: WindowProperties) -> Callable[[], None]:
    may_rate = bool(visit.name) and visit.cause != "E_READBACK_MISMATCH"
    order = ShowCard(visit=visit, may_rate=may_rate)
    return Card(looks, properties, cast(Questions, WindowAnswers()), order).close


MISMATCHED = replace(VISIT, cause="E_READBACK_MISMATCH", grantables=[], acts=[], commands=[], receipt="")
PERSON_WINDOWS: dict[str, Callable[[Looks, WindowProperties], Callable[[], None]]] = {
    "window": partial(_panel, "", TrayState.READY),
    "window-paused": partial(_panel, "", TrayState.PAUSED),
    "window-visits": partial(_panel, "visits", TrayState.READY),
    "window-check": partial(_panel, "check", TrayState.OFFLINE),
    "window-verify": partial(_panel, "verify", TrayState.IN_SESSION),
    "window-allowed": partial(_panel, "allowed", TrayState.IN_SESSION),
    "window-blocked": partial(_panel, "blocked", TrayState.READY),
    "window-about": partial(_panel, "about", TrayState.READY),
    "help": _help,
    "card": partial(_card, VISIT),
    "card-not-verified": partial(_card, STRANGER),
    "card-mismatch": partial(_card, MISMATCHED),
}


def _picture(root: tk.Tk, display: str, file: Path) -> None:
    window = next(child for child in root.winfo_children() if isinstance(child, tk.Toplevel))

    def is_shown() -> bool:
        root.update()
        return bool(window.winfo_viewable())

    wait_for(is_shown)
    root.update()
    place = {
        "left": window.winfo_rootx(),
        "top": window.winfo_rooty(),
        "width": window.winfo_width(),
        "height": window.winfo_height(),
    }
    with mss.MSS(display=display) as screen:
        shot = screen.grab(place)
    mss.tools.to_png(shot.rgb, shot.size, output=str(file))


def main() -> None:
    """Parse and take the pictures."""
    parser = argparse.ArgumentParser(prog="python -m tests.screens", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--languages", default=",".join((*LANGUAGES, PSEUDO_NAME, PSEUDO_RIGHT_NAME)))
    parser.add_argument("--scales", default="1,2")
    parser.add_argument("--schemes", default="light,dark")
    given = parser.parse_args()
    schemes = [Scheme(scheme) for scheme in given.schemes.split(",")]
    scales = [float(scale) for scale in given.scales.split(",")]
    for file in pictures(given.folder, given.languages.split(","), scales, schemes):
        print(file)


if __name__ == "__main__":
    main()
