"""The agent's local socket against another real user, and against what is no person's desktop."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil
import pytest

from agent.desktop import ipc_messages as ipc
from agent.local_frames import connect_local
from protocol.identity import save_identity
from protocol.version import PROTOCOL_VERSION
from tests.support.agent_commands import RunningAgent, call, running_agent
from tests.support.desktop import FakeDesktop
from tests.support.organisation import acme
from tests.support.other_user import (
    IS_ROOT,
    WHY_ROOT,
    as_other_user,
    connect_as_other_user,
    reachable_folder,
)

CANARY = "--canary/../$(id)"
HELLO = ipc.DesktopHello(version=PROTOCOL_VERSION, os_session="x11:0", user="nobody", pid=1)
VERBS = [HELLO, ipc.StatusAsked(), ipc.LeaveOrdered(), ipc.HelpAsked(), ipc.StandingRevoked("all")]

with_other_user = pytest.mark.skipif(not IS_ROOT, reason=WHY_ROOT)


@dataclass(frozen=True, slots=True)
class Device:
    """The real agent, whose relay does not answer."""

    data: Path
    agent: RunningAgent

    def status(self) -> dict[str, object]:
        return call("status", data=self.data)

    def wait_for_desktop(self, *, is_there: bool) -> None:
        until_s = time.monotonic() + 30
        while self.status()["has_desktop"] is not is_there:
            assert time.monotonic() < until_s

    def kinds(self) -> list[str]:
        return [json.loads(line)["kind"] for line in (self.data / "audit.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    with reachable_folder() as folder:
        data = folder / "agent"
        data.mkdir(mode=0o700)
        save_identity(acme().device(), data / "identity.pem")
        (data / "relay.json").write_text(json.dumps({"url": "http://127.0.0.1:9", "relay_id": "0" * 64}))
        (data / "relay.json").chmod(0o600)
        with running_agent(data, "--no-desktop") as agent:
            yield Device(data, agent)


@pytest.fixture
def opened(device: Device) -> Iterator[Device]:
    """As if folder and socket had been opened to everybody by mistake: the kernel's word alone is left."""
    paths = (device.data, device.agent.socket.parent, device.agent.socket)
    before = [path.stat().st_mode for path in paths]
    for path in paths:
        path.chmod(0o777)
    yield device
    for path, mode in zip(paths, before, strict=True):
        path.chmod(mode)


@pytest.mark.real
@with_other_user
def test_ipc_01_another_user_cannot_even_connect(device: Device) -> None:
    payload = ipc.HELLO_CODEC.encode(ipc.StatusAsked())
    assert connect_as_other_user(device.agent.socket, payload) == ["PermissionError"]
    assert device.status()["link"] == "connecting", "control: we can"


@pytest.mark.real
@with_other_user
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: type(verb).__name__)
def test_ipc_01_another_user_is_dropped_by_what_the_kernel_says(opened: Device, verb: ipc.Hello) -> None:
    ended = connect_as_other_user(opened.agent.socket, ipc.HELLO_CODEC.encode(verb))
    assert ended[0] in {"answered ", "ConnectionResetError", "BrokenPipeError"}, ended
    status = opened.status()
    assert status["has_desktop"] is False
    assert (opened.data / "identity.pem").exists()
    assert "device.left" not in opened.kinds()


@pytest.mark.real
@with_other_user
def test_ipc_01_the_other_user_reaches_a_socket_that_does_not_look(opened: Device) -> None:
    """Control of the test above: it is the agent that refuses, not the way to it."""
    path = opened.agent.socket.with_name("open.sock")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(0o777)
        listening.listen()
        listening.settimeout(20)

        def answer() -> None:
            connected, _ = listening.accept()
            with connected:
                connected.recv(4096)
                connected.sendall(b"\x2a")

        answering = threading.Thread(target=answer)
        answering.start()
        try:
            assert connect_as_other_user(path, b"x") == ["answered 2a"]
        finally:
            answering.join(30)
            path.unlink()


@pytest.mark.real
@with_other_user
def test_ipc_11_a_flood_of_another_user_keeps_nobody_out(opened: Device) -> None:
    ended = connect_as_other_user(opened.agent.socket, b"x" * 4096, times=200)
    assert len(ended) == 200
    assert not any(line.startswith("answered ") and line != "answered " for line in ended)
    assert opened.status()["link"] == "connecting"


@pytest.mark.real
@with_other_user
def test_sec_02_another_user_reads_no_file_of_the_agent(device: Device) -> None:
    code = (
        "import sys\nfor path in sys.argv[1:]:\n"
        "    try:\n        open(path, 'rb').close(); print('read')\n"
        "    except OSError as exc:\n        print(type(exc).__name__)\n"
    )
    files = [str(device.data / name) for name in ("identity.pem", "relay.json", "audit.jsonl")]
    environment = f"/proc/{device.agent.process.pid}/environ"
    assert as_other_user(code, *files, environment, "/etc/passwd") == [*["PermissionError"] * 4, "read"]


@pytest.mark.real
def test_ipc_08_every_file_and_socket_is_the_owners_alone(device: Device) -> None:
    found = list(device.data.rglob("*"))
    assert device.agent.socket in found, "control: the socket is among them"
    for path in (device.data, *found):
        assert path.stat().st_mode & 0o077 == 0, path
        assert path.stat().st_uid == os.geteuid()
    umask = Path(f"/proc/{device.agent.process.pid}/status").read_text().split("Umask:")[1].split()[0]
    assert umask == "0077"


@pytest.mark.real
async def test_ipc_02_a_program_that_claims_to_be_the_desktop_grants_nothing(device: Device) -> None:
    async with FakeDesktop(device.agent.socket):
        device.wait_for_desktop(is_there=True)  # control: a desktop process is taken
    device.wait_for_desktop(is_there=False)
    claiming = await connect_local(str(device.agent.socket))
    await claiming.send(ipc.HELLO_CODEC.encode(HELLO))
    for unasked in (
        ipc.PromptAnswered(1, ["screen.view", "input.control"], "", "0" * 64, 2.0),
        ipc.InputAllowed("s" * 26, ""),
        ipc.IndicatorShown("s" * 26),
    ):
        await claiming.send(ipc.FROM_DESKTOP_CODEC.encode(unasked))
    status = device.status()
    claiming.close()
    assert status["sessions"] == []
    assert not {"grant.given", "session.ready", "consent.allowed"} & set(device.kinds())
    with_ticket = await connect_local(str(device.agent.socket))
    await with_ticket.send(ipc.HELLO_CODEC.encode(ipc.WorkerHello("s" * 26, os.urandom(32))))
    refused = ipc.TO_COMMAND_LINE_CODEC.decode(await with_ticket.receive(4096))
    assert isinstance(refused, ipc.IpcRefused)
    with_ticket.close()


@pytest.mark.real
async def test_ipc_05_texts_from_the_socket_reach_no_command_line_environment_or_path(device: Device) -> None:
    hello = ipc.DesktopHello(version=PROTOCOL_VERSION, os_session=CANARY, user=CANARY, pid=1)
    connection = await connect_local(str(device.agent.socket))
    await connection.send(ipc.HELLO_CODEC.encode(hello))
    revoking = await connect_local(str(device.agent.socket))
    await revoking.send(ipc.HELLO_CODEC.encode(ipc.StandingRevoked(CANARY)))
    await revoking.receive(4096)
    agent = psutil.Process(device.agent.process.pid)
    for process in (agent, *agent.children(recursive=True)):
        for name in ("cmdline", "environ"):
            assert CANARY.encode() not in Path(f"/proc/{process.pid}/{name}").read_bytes()
    assert not [path for path in device.data.rglob("*") if "canary" in str(path)]
    revoking.close()
    connection.close()


def verbs_to_the_service() -> Iterator[tuple[str, str, object]]:
    """Every field of every message that another process may send to the service."""
    for union in (ipc.Hello, ipc.FromDesktop):
        for kind in msgspec.inspect.type_info(union).types:
            for field in kind.fields:
                yield kind.cls.__name__, field.name, field.type


def test_ipc_03_and_07_no_verb_names_a_path_a_program_a_url_or_a_policy() -> None:
    """So the service is never asked to open, start or fetch anything: there is no word for it."""
    fields = list(verbs_to_the_service())
    assert {name for name, _, _ in fields} >= {"DesktopHello", "PromptAnswered", "StandingRevoked"}, "control"
    named = {"path", "file", "folder", "program", "command", "argv", "executable", "url", "policy", "driver"}
    for message, field, _ in fields:
        assert not named & set(field.split("_")), f"{message}.{field}"
    verbs = {name for name, _, _ in fields}
    assert not {
        name for name in verbs if name.startswith(("Run", "Open", "Load", "Install", "Fetch", "Exec"))
    }
