"""Help by support code with every part real: help-me, the code, the prompt, a diagnosis."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.desktop.prompt_text import WORDS
from protocol.limits import VISITOR_ARMING_S
from tests.e2e.steps import until
from tests.support.person import ARMED_AFTER_S, Person
from tests.support.relay_process import RelayProcess
from tests.support.said import command
from tests.support.system import WholeSystem
from tests.support.x_person import XPerson
from tests.support.x_screen import with_cookie

pytestmark = pytest.mark.real

FIRST_KEYCODES = {10: "1234567890", 24: "qwertyuiop", 38: "asdfghjkl", 52: "zxcvbnm"}
KEYCODES = {letter: first + at for first, row in FIRST_KEYCODES.items() for at, letter in enumerate(row)}
BACKSPACE, END = 22, 115
ENDED_S = 30


@contextmanager
def help_me(*words: str, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """The person's command; what it prints is read by the test."""
    started = subprocess.Popen(
        command("alongside-agent", "help-me", "--json", *words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGINT)
        started.communicate(timeout=ENDED_S)


def said(program: subprocess.Popen[str]) -> dict[str, object]:
    """The next line of its JSON."""
    assert program.stdout is not None
    line = program.stdout.readline()
    assert line, "it ended"
    return json.loads(line)


def alongside(data: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("alongside", *words, "--json", "--data", str(data)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def type_the_word(screen: dict[str, str], person: Person) -> None:
    """As the person would, who can read which one it is; a test tries them until Allow looks pressable.

    Before that the digits are compared: the word's field takes nothing until they match.
    """
    person.press("verify")
    time.sleep(ARMED_AFTER_S)
    person.press("matched")
    person.press("word")
    time.sleep(0.5)  # the keyboard follows the click
    with with_cookie(screen):
        hands = XPerson(screen["DISPLAY"])
    try:
        # a loaded machine takes letters late, and the button waits for its own time beside the word
        for settle_s in (0.3, 1.0, 3.0):
            for word in WORDS:
                for letter in word:
                    hands.key(KEYCODES[letter])
                time.sleep(settle_s)
                if is_dark(hands, "allow"):
                    person.press("allow")
                    return
                hands.key(END)
                for _ in word:
                    hands.key(BACKSPACE)
    finally:
        hands.close()
    raise AssertionError("no word was taken")


def is_dark(hands: XPerson, part: str) -> bool:
    """Whether this button has the colour of one that can be pressed: dark, not grey."""
    seen = hands.find(part)
    assert seen is not None
    x, y = seen.x + seen.width // 8, seen.y + seen.height // 4
    whole = hands.connection.core.GetImage(2, hands.root, x, y, 1, 1, 0xFFFFFFFF).reply()
    return sum(bytes(whole.data.buf())[:3]) < 3 * 128


def test_help_by_code_in_an_organisation(system: WholeSystem) -> None:
    person = Person(system.screen)
    with help_me("--data", str(system.agent_folder)) as waiting:
        code = said(waiting)
        assert (code["event"], len(str(code["code"]).split())) == ("code", 5)
        reading = system.start_alongside("diagnose", str(code["code"]), "--json")
        there = said(waiting)
        assert (there["event"], there["is_verified"]) == ("technician", True)
        person.wait_for_prompt()
        person.allow()
        output, told = reading.communicate(timeout=ENDED_S)
        assert reading.returncode == 0, told
        assert json.loads(output)["memory"]["total_bytes"] > 0
        assert str(there["readback"]) in told
        assert waiting.wait(ENDED_S) == 0
    again = system.alongside("diagnose", str(code["code"]), "--json", status=3)
    assert "E_CODE_UNKNOWN" in again.stdout
    secret = str(code["code"]).replace(" ", "")[4:14]
    for path in system.folder.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


def test_a_wrong_code_is_told_and_ctrl_c_makes_one_void(system: WholeSystem) -> None:
    with help_me("--data", str(system.agent_folder)) as waiting:
        shown = str(said(waiting)["code"]).replace(" ", "")
        wrong = other_code(shown)
        refused = system.alongside("diagnose", wrong, "--json", status=3)
        assert "E_CODE_WRONG" in refused.stdout
        assert said(waiting)["event"] == "wrong"
        assert waiting.wait(ENDED_S) == 3
    with help_me("--data", str(system.agent_folder)) as waiting:
        shown = str(said(waiting)["code"])
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(ENDED_S) == 130
    refused = system.alongside("diagnose", shown, "--json", status=3)
    assert "E_CODE_UNKNOWN" in refused.stdout


def other_code(digits: str) -> str:
    """A well-formed code with the same nameplate and another secret."""
    from protocol.support_code import SupportCode

    return SupportCode(digits[:4], f"{(int(digits[4:14]) + 1) % 10**10:010d}").shown()


def test_help_by_code_without_an_organisation(system: WholeSystem, tmp_path: Path) -> None:
    person = Person(system.screen)
    device, technician = tmp_path / "device", tmp_path / "technician"
    with RelayProcess(tmp_path / "relay", arguments=["--visitors"]) as relay:
        words = ("--relay", relay.relay_url, "--data", str(device))
        with help_me(*words, environment=system.screen) as waiting:
            code = str(said(waiting)["code"])
            visit = alongside(technician, "diagnose", code, "--relay", relay.relay_url)
            there = said(waiting)
            assert (there["event"], there["is_verified"], there["name"]) == ("technician", False, "")
            person.wait_for_prompt()
            time.sleep(VISITOR_ARMING_S + 0.5)
            type_the_word(system.screen, person)
            output, told = visit.communicate(timeout=ENDED_S)
            assert visit.returncode == 0, told
            assert json.loads(output)["memory"]["total_bytes"] > 0
            assert str(there["readback"]) in told
            assert waiting.wait(ENDED_S) == 0
        log = relay.log_text()
    assert code.replace(" ", "")[4:14] not in log
    until(lambda: not person.sees("alongside-indicator"))
    left = sorted(path.name for path in device.rglob("*") if path.is_file())
    assert left == ["audit.jsonl", "service.lock"]
