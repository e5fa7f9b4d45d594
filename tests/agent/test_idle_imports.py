"""What the two long-lived processes have imported while nothing happens: weight that stays all day.

`python -m tests.bench.idle` says what they take; a module that is missing here is imported when it is needed.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent_commands import call, joined_folder
from tests.support.xvfb import start_xvfb

END_LIMIT_S = 20.0
IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +(\S+)$", re.MULTILINE)

CAPTURE = {"numpy", "av", "PIL", "zstandard", "mss", "pixelflux", "dxcam", "agent.capabilities.screen.worker"}
COMMAND_LINE = {"typer", "pydantic", "rich.text", "pygments", "attr"}
ELSEWHERE = {"aiohttp", "picows", "sqlalchemy", "httpx", "requests", "uvloop", "psutil", "pynput", "spake2"}
NEVER_IDLE = {
    "service": CAPTURE | COMMAND_LINE | ELSEWHERE | {"tkinter", "xcffib", "babel", "pystray", "hypothesis"},
    "desktop": CAPTURE
    | COMMAND_LINE
    | ELSEWHERE
    | {
        "asyncio",
        "ssl",
        "_hashlib",
        "cryptography",
        "OpenSSL",
        "websockets",
        "jeepney",
        "email",
        "http",
    },
}
THERE = {"service": {"cryptography", "websockets", "asyncio"}, "desktop": {"tkinter", "xcffib", "msgspec"}}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """By process what it imported, with the packages above it, until both had met and were told to end."""
    folder = tmp_path_factory.mktemp("idle")
    data = joined_folder(folder)
    logs = {role: folder / f"{role}.log" for role in NEVER_IDLE}
    with start_xvfb() as server:
        service = _start(logs["service"], "agent", f"--data={data}", "--no-desktop", "--json")
        assert service.stdout is not None
        socket_path = json.loads(service.stdout.readline())["socket"]
        desktop = _start(
            logs["desktop"], "agent.desktop", f"--socket={socket_path}", f"--display={server.display}"
        )
        until_s = time.monotonic() + END_LIMIT_S
        while not (
            call("status", data=data)["has_desktop"] and b"desktop.ready" in logs["desktop"].read_bytes()
        ):
            assert time.monotonic() < until_s, logs["desktop"].read_text()
        for process in (desktop, service):
            process.send_signal(signal.SIGTERM)
            assert process.wait(END_LIMIT_S) == 0
        service.stdout.close()
    return {role: set(_with_parents(log.read_text())) for role, log in logs.items()}


def _start(log: Path, module: str, *words: str) -> "subprocess.Popen[str]":
    with log.open("w") as opened:
        return subprocess.Popen(
            [sys.executable, "-X", "importtime", "-I", "-m", module, *words],
            stdout=subprocess.PIPE if module == "agent" else opened,
            stderr=opened,
            env={**os.environ, "DBUS_SESSION_BUS_ADDRESS": ""},  # with one, the icon needs jeepney
            text=True,
        )


def _with_parents(log: str) -> Iterator[str]:
    for name in IMPORTED.findall(log):
        words = name.split(".")
        yield from (".".join(words[: count + 1]) for count in range(len(words)))


@pytest.mark.real
@pytest.mark.parametrize("role", NEVER_IDLE)
def test_an_idle_process_has_imported_nothing_that_only_work_needs(
    imported: dict[str, set[str]], role: str
) -> None:
    assert THERE[role] <= imported[role], "control: what it does need is seen"
    assert imported[role] & NEVER_IDLE[role] == set(), "import it where it is used, or say why it has to stay"
