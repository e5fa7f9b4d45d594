"""What tests of the desktop process share: a display with a person at it, and what the person looks for."""

import os
import sys
import time
from pathlib import Path

from tests.support.desktop_service import wait_for
from tests.support.x_person import Seen, XPerson

ESCAPE, TAB, RETURN, SPACE = 9, 23, 36, 65  # keycodes of every PC keyboard
TICKET = b"t" * 32
STOP_LIMIT_S = 0.250
# 1 is PR_SET_PDEATHSIG, as in the real worker
SLEEPER_CODE = """
import ctypes, os, sys, time
ctypes.CDLL(None).prctl(1, 9)
open(sys.argv[2] + ".pid", "w").write(str(os.getpid()))
time.sleep(60)
"""
SLEEPER = (sys.executable, "-c", SLEEPER_CODE)


def seen(person: XPerson, part: str) -> Seen:
    wait_for(lambda: person.find(part) is not None)
    found = person.find(part)
    assert found is not None
    return found


def armed(person: XPerson) -> Seen:
    button = seen(person, "allow")
    time.sleep(1.8)
    return button


def compare(person: XPerson, answer: str, *, is_last: bool = False) -> None:
    """Press Verify, and "matched", "mismatched" or "back" once that counts; `is_last`: no prompt is left."""
    person.click(*seen(person, "verify").middle)
    button = seen(person, answer)
    time.sleep(1.8)
    person.click(*button.middle)
    wait_for(lambda: person.find(answer) is None)
    if not is_last:
        _settle(person)


def _settle(person: XPerson) -> None:
    """Until the prompt's buttons are back, and have stood still for some looks."""
    looks: list[Seen | None] = []

    def stands_still() -> bool:
        looks.append(person.find("refuse") or person.find("matched"))
        time.sleep(0.1)
        return len(looks) > 4 and len(set(looks[-4:])) == 1

    wait_for(stands_still)


def take_keyboard(person: XPerson, button: Seen) -> None:
    """Give the prompt the keyboard as a person does: by a click beside its buttons."""
    before = person.connection.core.GetInputFocus().reply().focus
    person.click(button.x - 20, button.y - 60)
    wait_for(lambda: person.connection.core.GetInputFocus().reply().focus != before)
    time.sleep(0.1)


def worker_pid(folder: Path) -> int:
    path = folder / "agent.sock.pid"
    wait_for(lambda: path.exists() and path.read_text() != "")
    return int(path.read_text())


def holds_shift(person: XPerson) -> bool:
    return bool(person.connection.core.QueryPointer(person.root).reply().mask & 1)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
