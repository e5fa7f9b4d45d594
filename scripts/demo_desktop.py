"""A small desktop on a virtual X display, for machines without a screen: window manager, terminal, clock."""

import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path

from started import Programs, QuickstartFailed

SIZE = "1280x800x24"
START_TIMEOUT_S = 15.0
LOOK_EVERY_S = 0.05
DEMO_PROPERTY = "_ALONGSIDE_DEMO_DISPLAY"
NEEDED = ("Xvfb", "xauth", "openbox", "xterm", "xclock", "xprop", "xsetroot")
WELCOME = (
    "printf '\\n  This is the demo desktop of Alongside.\\n"
    "  Whoever connects sees it after you allow it.\\n\\n'; cd; exec ${SHELL:-/bin/sh}"
)


def start(programs: Programs) -> dict[str, str]:
    """Start it, or find the running one; returns DISPLAY and XAUTHORITY for programs on it.

    Raises:
        QuickstartFailed: something is not installed, or the X server does not start.
    """
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        raise QuickstartFailed(
            f"missing: {', '.join(missing)}. Run scripts/quickstart.sh, it installs them.", 6
        )
    known = programs.facts("screen")
    if known:
        return known
    environment = _x_server(programs)
    _mark(environment)
    paint = ["xsetroot", "-solid", "#2f5d62"]
    subprocess.run(paint, env=os.environ | environment, check=True, capture_output=True)
    programs.start("window-manager", ["openbox"], environment=environment)
    _wait_for_window_manager(environment)
    terminal = ["xterm", "-geometry", "80x20+40+60", "-fa", "DejaVu Sans Mono", "-fs", "11"]
    programs.start("terminal", [*terminal, "-e", "/bin/sh", "-c", WELCOME], environment=environment)
    clock = ["xclock", "-digital", "-update", "1", "-geometry", "+900+80", "-strftime", "%H:%M:%S"]
    programs.start("clock", clock, environment=environment)
    return environment


def _x_server(programs: Programs) -> dict[str, str]:
    folder = programs.folder
    authority = folder / "demo-xauthority"
    authority.unlink(missing_ok=True)
    authority.touch(mode=0o600)
    cookie = f"add :0 . {secrets.token_hex(16)}\n"  # Xvfb takes every cookie in the file, whatever its number
    subprocess.run(["xauth", "-q", "-f", str(authority)], input=cookie.encode(), check=True)
    words = [
        "Xvfb",
        "-displayfd",
        "1",
        "-screen",
        "0",
        SIZE,
        "-nolisten",
        "tcp",
        "-noreset",
        "-auth",
        str(authority),
    ]
    programs.start("screen", words)
    number = _display_number(programs)
    _name_cookie(authority, number)
    environment = {"DISPLAY": f":{number}", "XAUTHORITY": str(authority)}
    programs.remember_facts("screen", environment)
    return environment


def _display_number(programs: Programs) -> int:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        said = programs.said("screen")
        if said.strip().isdigit() and said.endswith("\n"):
            return int(said)
        time.sleep(LOOK_EVERY_S)
    raise QuickstartFailed("the virtual screen (Xvfb) does not start; see log/screen.log", 6)


def _name_cookie(authority: Path, number: int) -> None:
    """Let clients of the display that Xvfb chose find the cookie."""
    listed = subprocess.run(["xauth", "-f", str(authority), "list"], capture_output=True, check=True)
    cookie = listed.stdout.decode().split()[-1]
    order = f"add :{number} . {cookie}\n"
    subprocess.run(["xauth", "-q", "-f", str(authority)], input=order.encode(), check=True)


def _wait_for_window_manager(environment: dict[str, str]) -> None:
    """A window that is mapped while the window manager starts may never be shown."""
    words = ["xprop", "-root", "-notype", "_NET_SUPPORTING_WM_CHECK"]
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while b"window id" not in subprocess.run(words, env=os.environ | environment, capture_output=True).stdout:
        if time.monotonic() > deadline_s:
            raise QuickstartFailed(
                "the window manager (openbox) does not start; see log/window-manager.log", 6
            )
        time.sleep(LOOK_EVERY_S)


def _mark(environment: dict[str, str]) -> None:
    """Say on the root window that this is the demo; the demo person refuses to act anywhere else."""
    words = ["xprop", "-root", "-f", DEMO_PROPERTY, "8s", "-set", DEMO_PROPERTY, "1"]
    subprocess.run(words, env=os.environ | environment, check=True, capture_output=True)
