"""Noise on the service's socket by another user (IPC-06); what the service opens of the people's (IPC-07)."""

import json
import os
import signal
import subprocess
import sys
import threading
from ast import literal_eval
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.desktop import ipc_messages as ipc
from protocol.version import PROTOCOL_VERSION
from tests.fuzz.local_socket import make_noise, measure, prepare, shared_socket
from tests.support.other_user import IS_ROOT, OTHER_UID, WHY_ROOT, connect_as_other_user, reachable_folder

pytestmark = [pytest.mark.real, pytest.mark.beside, pytest.mark.skipif(not IS_ROOT, reason=WHY_ROOT)]

LIMIT_S = 20.0
GROWTH_LIMIT_MIB = 16.0
# tells every path that this process opens, lists, renames or removes, before it becomes the service
_TOLD = """
import os, sys
told = int(sys.argv.pop(1))
KINDS = {"open", "os.listdir", "os.scandir", "os.rename", "os.remove", "os.mkdir", "os.chmod", "os.link",
         "os.symlink", "os.truncate", "os.utime", "os.chown", "os.rmdir", "ctypes.dlopen", "subprocess.Popen"}
def tell(kind, given):
    if kind in KINDS:
        os.write(told, (repr([kind, *map(str, given)]) + "\\n").encode())
sys.addaudithook(tell)
from agent.__main__ import main
sys.exit(main())
"""


def test_ipc_06_noise_by_another_user_ends_nothing_and_costs_next_to_nothing() -> None:
    """A sample of 400 connections; hours are `python -m tests.fuzz.local_socket --seconds 3600`."""
    found = measure(seconds=60, limit=400, seed=6)
    assert found.complaints == []
    assert found.connections == 400
    assert found.answers > 100, "control: much of it was understood and answered"
    assert found.grown_mib < GROWTH_LIMIT_MIB


@contextmanager
def told_service(data: Path) -> Iterator[list[str]]:
    """The real service; everything that it opens, one line each, complete when the context is left."""
    lines: list[str] = []
    reading, writing = os.pipe()
    words = [f"--data={data}", f"--seats-socket={shared_socket(data)}", f"--seat-users={OTHER_UID}"]
    with subprocess.Popen(
        [sys.executable, "-I", "-c", _TOLD, str(writing), *words, "--no-desktop", "--json"],
        pass_fds=(writing,), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/",
    ) as service:  # fmt: skip
        os.close(writing)

        def collect() -> None:
            with os.fdopen(reading, encoding="utf-8") as told:
                lines.extend(told)

        collecting = threading.Thread(target=collect)
        collecting.start()
        try:
            assert service.stdout is not None
            assert json.loads(service.stdout.readline())["event"] == "ready"
            yield lines
        finally:
            service.send_signal(signal.SIGTERM)
            assert service.wait(LIMIT_S) == 0
            collecting.join(LIMIT_S)


def test_ipc_07_the_service_opens_no_file_of_the_people_whatever_they_name() -> None:
    """Every field that takes a text names a file of the user's: a picture, a link to the device's key."""
    with reachable_folder() as folder:
        data, home = prepare(folder), folder / "home"
        home.mkdir(mode=0o755)
        named = home / ".face"
        named.write_bytes(b"a picture")
        (home / "agent.log").symlink_to(data / "identity.pem")
        os.chown(home, OTHER_UID, OTHER_UID)
        hello = ipc.DesktopHello(PROTOCOL_VERSION, f"{named}:{home}/agent.log", str(home / "agent.log"), 1)
        verbs: list[ipc.Hello] = [
            hello,
            ipc.StandingRevoked(str(named)),
            ipc.WorkerHello(str(named), b"t" * 32),
        ]
        with told_service(data) as lines:
            for verb in verbs:
                payload = ipc.HELLO_CODEC.encode(verb)
                [answer] = connect_as_other_user(shared_socket(data), payload, stop_sending=True)
                assert answer.startswith("answered "), "control: it was taken, and not dropped at the door"
            make_noise(shared_socket(data), seconds=20, limit=100, seed=7)
    assert any("audit.jsonl" in line for line in lines), "control: what it opens is told"
    assert any("agent.sock" in line for line in lines), "control: also after its start"
    assert [line for line in lines if str(home) in line] == []
    started = {literal_eval(line)[1] for line in lines if line.startswith("['subprocess.Popen'")}
    assert started <= {"uname"}, "the standard library's `platform` asks it, and nobody else is started"
