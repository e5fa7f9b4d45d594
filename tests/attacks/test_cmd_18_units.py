"""A command in a unit of its own (THREATS.md CMD-18, IPC-01): the order goes over a socket of systemd's.

systemd's own `systemd-socket-activate` plays its part: it listens, and starts a worker with the connection as
its standard input and output, as `Accept=yes` does. Control groups are not its work: what a unit does with
them is in `test_sec_06_units.py`, as far as it can be seen without a running systemd.
"""

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from agent.exec.book import CommandBook, RequestState
from agent.exec.messages import FROM_WORKER_CODEC, TO_WORKER_CODEC, ExecOutput, ExecRefused, ExecVerified
from agent.exec.start import WORKER_ENVIRONMENT
from agent.exec.unit import start_unit, unit_starter
from protocol.audit import AuditKind
from protocol.errors import EnvironmentFault, ErrorCode
from protocol.identity import save_identity
from protocol.ids import RequestId
from protocol.messages.commands import CancelCommand
from tests.support.agent_commands import call, running_agent
from tests.support.approved_commands import CommandBench, entry, fresh_book, signed_policy
from tests.support.command_probes import script
from tests.support.organisation import acme
from tests.support.other_user import IS_ROOT, WHY_ROOT, as_other_user, connect_as_other_user, reachable_folder
from tests.support.started_commands import PYTHON, end_all, is_gone, order_for, pids_in, until

ACTIVATE = shutil.which("systemd-socket-activate")
pytestmark = [
    pytest.mark.real,
    pytest.mark.beside,
    pytest.mark.skipif(ACTIVATE is None, reason="install systemd, for systemd-socket-activate"),
]
DAEMON = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open(sys.argv[1] + ".new", "w") as file:
            file.write(f"{os.getpid()}\\n")
        os.rename(sys.argv[1] + ".new", sys.argv[1])
        time.sleep(60)
    os._exit(0)
print("up", flush=True)
time.sleep(60)
"""


@contextmanager
def listening(path: Path, book: CommandBook) -> Iterator[psutil.Process]:
    """The socket at this path, behind which every connection gets a worker of its own."""
    words = [str(ACTIVATE), "--accept", "--inetd", f"--listen={path}"]
    words += [f"--setenv={name}" for name in WORKER_ENVIRONMENT]
    words += [sys.executable, "-I", "-m", "agent.exec", str(book.path)]
    with subprocess.Popen(words, env=WORKER_ENVIRONMENT, cwd="/", stderr=subprocess.DEVNULL) as listener:
        until_s = time.monotonic() + 10
        while not path.exists():
            assert time.monotonic() < until_s
            time.sleep(0.02)
        process = psutil.Process(listener.pid)
        try:
            yield process
        finally:
            left = [each.pid for each in process.children(recursive=True)]
            listener.kill()
            end_all(left)


@pytest.fixture
def book() -> CommandBook:
    return fresh_book()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "exec.sock"


def bench_at(place: Path, book: CommandBook, *argv: str) -> CommandBench:
    in_force = signed_policy(acme(), [entry("it", *argv, timeout_s=60)])
    return CommandBench(acme().device(), in_force, unit_starter(str(place)), book=book)


async def test_cmd_18_a_command_runs_behind_the_socket_as_it_does_below_the_agent(
    tmp_path: Path, place: Path, book: CommandBook
) -> None:
    text = "import os, sys; print(*sorted(os.environ)); print('e', file=sys.stderr); sys.exit(3)"
    with listening(place, book) as listener:
        async with bench_at(place, book, PYTHON, script(tmp_path, text)) as bench:
            outcome = await bench.run("it")
        await until(lambda: not listener.children(recursive=True))
    assert outcome.ended is not None
    assert outcome.ended.exit_status == 3
    assert outcome.output("stderr") == b"e\n"
    assert outcome.output() == b"HOME LANG PATH\n", "nothing of systemd's"
    assert bench.audit.kinds[-1] is AuditKind.COMMAND_ENDED


@pytest.mark.parametrize("how", ["cancel", "channel", "worker", "guardian"])
async def test_cmd_18_whoever_ends_a_command_in_a_unit_its_daemon_goes_with_it(
    tmp_path: Path, place: Path, book: CommandBook, how: str
) -> None:
    pid_file = tmp_path / "pid"
    with listening(place, book) as listener:
        async with bench_at(place, book, PYTHON, script(tmp_path, DAEMON), str(pid_file)) as bench:
            request = bench.ask("it")
            await bench.output_of(request)
            [daemon] = await pids_in(pid_file)
            [guardian] = listener.children()
            [worker] = guardian.children()
            match how:
                case "cancel":
                    bench.send(CancelCommand(request.request_id))
                case "channel":
                    await bench.stop()
                case "worker":
                    worker.kill()
                case "guardian":
                    guardian.kill()
            await until(lambda: is_gone(daemon) and is_gone(worker.pid))
            if how != "channel":
                await bench.outcome(request)
    found = book.find(RequestId(request.request_id))
    assert found is not None
    assert found.state is (RequestState.UNKNOWN if how == "worker" else RequestState.ENDED)


async def test_cmd_18_the_agent_s_death_ends_a_command_in_a_unit(
    tmp_path: Path, place: Path, book: CommandBook
) -> None:
    """All that a worker there sees of it is the end of the connection."""
    pid_file = tmp_path / "pid"
    order = order_for(PYTHON, script(tmp_path, DAEMON), str(pid_file), timeout_s=60)
    book.take(RequestId(order.request.request_id), "it", "ada")
    with listening(place, book):
        worker = await start_unit(order, str(place))
        while not isinstance(said := await worker.receive(), ExecOutput):
            if isinstance(said, ExecVerified):
                await worker.go()
        [daemon] = await pids_in(pid_file)
        worker._connection.close()  # type: ignore[attr-defined]  # what a dead process does
        await until(lambda: is_gone(daemon))
        await worker.end()


async def test_cmd_18_without_the_unit_no_command_runs(place: Path, book: CommandBook) -> None:
    async with bench_at(place, book, "/usr/bin/true") as bench:
        outcome = await bench.run("it")
    assert outcome.code == ErrorCode.E_COMMAND_FAILED
    assert outcome.started is None


SQUAT = """
import os, socket, sys
with socket.socket(socket.AF_UNIX) as there:
    there.bind(sys.argv[1])
    os.chmod(sys.argv[1], 0o777)
    there.listen()
    there.settimeout(10)
    print("ready", flush=True)
    connected, _ = there.accept()
    connected.settimeout(5)
    print(len(connected.recv(65536)))
"""


@pytest.mark.skipif(not IS_ROOT, reason=WHY_ROOT)
async def test_ipc_01_an_order_is_not_handed_to_another_user_who_listens() -> None:
    with reachable_folder() as folder:
        folder.chmod(0o777)
        path = folder / "exec.sock"
        squatting = asyncio.create_task(asyncio.to_thread(as_other_user, SQUAT, str(path)))
        await until(path.exists)
        await asyncio.sleep(0.3)
        with pytest.raises(EnvironmentFault) as refused:
            await start_unit(order_for("/usr/bin/true"), str(path))
        assert refused.value.code is ErrorCode.E_COMMAND_FAILED
        assert await squatting == ["ready", "0"], "it got no byte"


@pytest.mark.skipif(not IS_ROOT, reason=WHY_ROOT)
def test_ipc_01_a_worker_takes_no_order_of_another_user(book: CommandBook) -> None:
    """As if the socket had been opened to everybody by mistake."""
    order = order_for("/usr/bin/true")
    book.take(RequestId(order.request.request_id), "it", "ada")
    with reachable_folder() as folder:
        path = folder / "exec.sock"
        with listening(path, book):
            path.chmod(0o777)
            payload = TO_WORKER_CODEC.encode(order)
            [line] = connect_as_other_user(path, payload)
            if line != "ConnectionResetError":  # it hung up with the order unread
                refusal = FROM_WORKER_CODEC.decode(bytes.fromhex(line.removeprefix("answered "))[4:])
                assert isinstance(refusal, ExecRefused)
                assert refusal.code == ErrorCode.E_PROTOCOL
            assert isinstance(_first_answer(path, payload), ExecVerified), "control: ours is taken"


def _first_answer(path: Path, payload: bytes) -> object:
    with socket.socket(socket.AF_UNIX) as there, contextlib.closing(there):
        there.settimeout(20)
        there.connect(str(path))
        there.sendall(len(payload).to_bytes(4, "big") + payload)
        length = int.from_bytes(there.recv(4), "big")
        return FROM_WORKER_CODEC.decode(there.recv(length))


def test_cmd_18_the_agent_says_by_which_socket_its_commands_run() -> None:
    with reachable_folder() as folder:
        data = folder / "agent"
        data.mkdir(mode=0o700)
        save_identity(acme().device(), data / "identity.pem")
        (data / "relay.json").write_text(json.dumps({"url": "http://127.0.0.1:9", "relay_id": "0" * 64}))
        (data / "relay.json").chmod(0o600)
        path = folder / "exec.sock"
        for words, told in (((), ""), (("--exec-socket", str(path)), str(path))):
            with running_agent(data, "--no-desktop", *words):
                assert call("status", data=data)["exec_socket"] == told
                lines = call("doctor", data=data, ok=False)["checks"]  # its relay does not answer
            [state] = [line["state"] for line in lines if line["name"] == "commands run"]
            assert state == ("fail" if told else "ok"), "nobody listens there"


def test_ipc_01_nobody_but_the_agent_can_reach_the_unit() -> None:
    """What the unit file says of its socket."""
    unit = Path(__file__).parents[2] / "scripts/install/linux/alongside-agent-exec.socket"
    lines = unit.read_text().splitlines()
    said = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    assert (said["SocketUser"], said["SocketMode"], said["Accept"]) == ("alongside-agent", "0600", "yes")
    assert Path(said["ListenStream"]).parent == Path("/run"), "where only root makes files"
