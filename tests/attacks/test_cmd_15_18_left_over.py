"""What a command leaves behind, and who dies before it (THREATS.md CMD-15, CMD-18): nothing stays."""

import asyncio
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from agent.exec import start as start_module
from agent.exec.book import RequestState
from agent.exec.messages import ExecOutput
from protocol.audit import AuditKind
from protocol.errors import ErrorCode, Unreachable
from protocol.ids import RequestId
from protocol.messages.commands import CancelCommand
from tests.support.approved_commands import CommandBench, entry, signed_policy
from tests.support.command_probes import script
from tests.support.organisation import acme
from tests.support.started_commands import (
    PYTHON,
    end_all,
    guardian_of,
    is_gone,
    order_for,
    pids_in,
    started,
    until,
    worker_words,
)

pytestmark = [pytest.mark.real, pytest.mark.beside]

# two forks and a session of its own, deaf to the polite signal, holds the pipe; lives a minute at most
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
time.sleep(float(sys.argv[2]))
"""
# another process id every time: it forks and ends, for ten seconds at most
HOPPER = """
use POSIX ();
my $until = time + 10;
if (fork == 0) {
    for (my $count = 1; time < $until; $count++) {
        POSIX::_exit(0) if fork;
        POSIX::setsid();
        open(my $file, "+<", $ARGV[0]);
        syswrite($file, sprintf("%9d", $count));
        close($file);
    }
    POSIX::_exit(0);
}
select(undef, undef, undef, 0.5);
"""
# hands its standard output to whoever listens there, and ends
HAND_OVER = """
import socket, sys
with socket.socket(socket.AF_UNIX) as there:
    there.connect(sys.argv[1])
    socket.send_fds(there, [b"x"], [1])
    there.recv(1)
print("done", flush=True)
"""


@pytest.mark.parametrize("victim", ["worker", "guardian"])
async def test_cmd_18_a_daemon_does_not_outlive_a_sigkill_of_what_watches_it(
    tmp_path: Path, victim: str
) -> None:
    pid_file = tmp_path / "pid"
    async with started(order_for(PYTHON, script(tmp_path, DAEMON), str(pid_file), "60")) as command:
        await command.heard(ExecOutput)
        [daemon] = await pids_in(pid_file)
        guardian = guardian_of(command)
        [worker] = guardian.children()
        try:
            assert psutil.Process(daemon).ppid() == worker.pid, "control: it left everything but its watchers"
            (worker if victim == "worker" else guardian).kill()
            await until(lambda: all(is_gone(pid) for pid in (daemon, worker.pid, guardian.pid)))
        finally:
            end_all([daemon])


async def test_cmd_18_the_same_daemon_outlives_a_worker_without_a_guardian(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control of the test above: it is the guardian that ends the daemon."""
    monkeypatch.setattr(start_module, "WORKER_ARGV", worker_words("unguarded"))
    pid_file = tmp_path / "pid"
    async with started(order_for(PYTHON, script(tmp_path, DAEMON), str(pid_file), "60")) as command:
        await command.heard(ExecOutput)
        [daemon] = await pids_in(pid_file)
        try:
            guardian_of(command).kill()
            await asyncio.sleep(1)
            assert not is_gone(daemon)
        finally:
            end_all([daemon])


async def test_cmd_18_a_worker_s_death_is_told_as_an_unknown_outcome(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    program = entry("it", PYTHON, script(tmp_path, DAEMON), str(pid_file), "60")
    async with CommandBench(acme().device(), signed_policy(acme(), [program])) as bench:
        request = bench.ask("it")
        await bench.output_of(request)
        [daemon] = await pids_in(pid_file)
        try:
            psutil.Process(psutil.Process(daemon).ppid()).kill()
            outcome = await bench.outcome(request)
            assert is_gone(daemon), "before anybody is told"
        finally:
            end_all([daemon])
        found = bench.book.find(RequestId(request.request_id))
    assert outcome.code == ErrorCode.E_COMMAND_OUTCOME
    assert found is not None
    assert found.state is RequestState.UNKNOWN
    assert bench.audit.kinds[-1] is AuditKind.COMMAND_UNKNOWN


async def test_cmd_18_a_worker_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    """SIGSTOP: it reads no order to end and hears no signal but one."""
    pid_file = tmp_path / "pid"
    async with started(order_for(PYTHON, script(tmp_path, DAEMON), str(pid_file), "60")) as command:
        await command.heard(ExecOutput)
        [daemon] = await pids_in(pid_file)
        [worker] = guardian_of(command).children()
        try:
            worker.suspend()
            assert await command.worker.end(), "the guardian says that nothing is left"
            assert is_gone(daemon)
            assert is_gone(worker.pid)
        finally:
            end_all([worker.pid, daemon])


async def test_cmd_15_a_daemon_that_is_another_process_every_moment_does_not_outlive_its_program(
    tmp_path: Path,
) -> None:
    counter = tmp_path / "counter"
    counter.touch()
    async with started(order_for("/usr/bin/perl", script(tmp_path, HOPPER), str(counter))) as command:
        end = await command.ended()
        assert (end.exit_status, end.code) == (0, "")
        before = counter.read_text()
        assert int(before) > 10, "control: it did hop"
        await asyncio.sleep(0.3)
        assert counter.read_text() == before


@contextmanager
def endless_writers(path: Path) -> Iterator[list[int]]:
    """Takes a file that somebody hands over, and has fast programs write to it; how these ended."""
    ended: list[int] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def write() -> None:
            connected, _ = listening.accept()
            with connected:
                _, [file], _, _ = socket.recv_fds(connected, 1, 1)
                writers = [subprocess.Popen(["/usr/bin/cat", "/dev/zero"], stdout=file) for _ in range(8)]
                os.close(file)
            ended.extend(writer.wait() for writer in writers)

        writing = threading.Thread(target=write, daemon=True)
        writing.start()
        yield ended
        writing.join(10)
        assert not writing.is_alive(), "somebody still reads what it writes"


async def test_cmd_15_a_stranger_who_holds_the_pipe_and_writes_without_end_holds_nobody(
    tmp_path: Path,
) -> None:
    """No descendant: a process that the program gave its standard output to. Nothing ends that one."""
    place = tmp_path / "socket"
    with endless_writers(place) as writers_ended:
        order = order_for(PYTHON, script(tmp_path, HAND_OVER), str(place), output_limit_bytes=100_000)
        async with started(order) as command:
            end = await command.ended(within_s=10)
    assert (end.exit_status, end.is_truncated) == (0, True)
    assert end.took_s < 4
    assert len(command.output) == 100_000
    assert set(writers_ended) == {-signal.SIGPIPE}, "control: none of them stopped by itself"


FREEZER = Path("/sys/fs/cgroup/freezer")


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process that SIGKILL does not end for now, as one that waits for a disk that does not answer."""
    group = FREEZER / f"alongside-test-{pid}"
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(str(pid))
        (group / "freezer.state").write_text("FROZEN")
        yield
    finally:
        (group / "freezer.state").write_text("THAWED")
        while (group / "cgroup.procs").read_text():
            os.kill(pid, signal.SIGKILL)
        group.rmdir()


@pytest.mark.skipif(
    not os.access(FREEZER / "cgroup.procs", os.W_OK),
    reason="run as root where the freezer of cgroup v1 is",
)
@pytest.mark.parametrize("way", ["cancel", "cut"])
async def test_cmd_18_what_the_kernel_does_not_end_is_told_as_unknown_and_holds_nobody(
    tmp_path: Path, way: str
) -> None:
    program = entry("it", PYTHON, script(tmp_path, "import time; print(1, flush=True); time.sleep(60)"))
    async with CommandBench(acme().device(), signed_policy(acme(), [program])) as bench:
        request = bench.ask("it")
        await bench.output_of(request)
        [pid] = [each.pid for each in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(each.info)]
        with frozen(pid):
            async with asyncio.timeout(15):
                if way == "cancel":
                    bench.send(CancelCommand(request.request_id))
                    assert (await bench.outcome(request)).code == ErrorCode.E_COMMAND_OUTCOME
                else:
                    await bench.stop()
            assert not is_gone(pid), "control: it was not to be ended"
    found = bench.book.find(RequestId(request.request_id))
    assert found is not None
    assert found.state is RequestState.UNKNOWN
    assert bench.audit.kinds[-1] is AuditKind.COMMAND_UNKNOWN


async def test_cmd_18_nobody_hears_of_an_end_that_did_not_come(tmp_path: Path) -> None:
    async with started(order_for(PYTHON, script(tmp_path, "import time; time.sleep(60)"))) as command:
        guardian = guardian_of(command)
        await until(lambda: bool(guardian.children()))
        [worker] = guardian.children()
        worker.kill()
        with pytest.raises(Unreachable):
            await command.ended()
