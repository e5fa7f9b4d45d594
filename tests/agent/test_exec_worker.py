"""Real exec workers: what they refuse although the service asks, and that nothing outlives them."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from agent.exec.book import CommandBook
from agent.exec.messages import (
    ExecEnded,
    ExecOutput,
    ExecRefused,
    ExecStarted,
    ExecVerified,
    FromWorker,
    RunOrder,
)
from agent.exec.start import WORKER_ARGV, WORKER_ENVIRONMENT, ExecWorker, start_worker
from protocol.errors import ErrorCode
from tests.support.approved_commands import (
    OrderTerms,
    entry,
    expired,
    fresh_book,
    request_for,
    signed_policy,
)
from tests.support.organisation import Organisation, acme, intruders

pytestmark = [pytest.mark.real, pytest.mark.beside]

PYTHON = "/usr/bin/python3"
KEPT: list[CommandBook] = []  # for as long as workers may read them
DAEMON = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[0] + ".pid", "w").write(str(os.getpid()))
        time.sleep(120)
    os._exit(0)
print("up", flush=True)
time.sleep(float(open(sys.argv[0] + ".sleep").read()))
"""


def probe(tmp_path: Path, text: str, name: str = "probe.py") -> str:
    """A script, as the path that an entry names."""
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def order_for(*argv: str, organisation: Organisation | None = None, **entry_terms: object) -> RunOrder:
    """An honest order for a catalogue with this one command, signed by this organisation or ours."""
    in_force = signed_policy(organisation or acme(), [entry("it", *argv, **entry_terms)])
    request = request_for(in_force.policy.catalogue.find("it"))
    return OrderTerms(acme().device(), in_force, request).order()


async def started(order: RunOrder) -> ExecWorker:
    """A worker with this order, whose request was taken."""
    book = fresh_book(order.request)
    worker = await start_worker(order, book.path)
    KEPT.append(book)
    return worker


async def run(order: RunOrder) -> list[FromWorker]:
    """Everything that a worker says about this order."""
    worker = await started(order)
    said: list[FromWorker] = []
    try:
        async with asyncio.timeout(20):
            while not said or not isinstance(said[-1], ExecEnded | ExecRefused):
                said.append(await worker.receive())
                if isinstance(said[-1], ExecVerified):
                    await worker.go()
    finally:
        await worker.end()
    return said


def output(said: list[FromWorker]) -> bytes:
    return b"".join(each.chunk for each in said if isinstance(each, ExecOutput))


def ended(said: list[FromWorker]) -> ExecEnded:
    last = said[-1]
    assert isinstance(last, ExecEnded)
    return last


async def until(is_so: Callable[[], bool], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110 - other processes set no event of ours
            await asyncio.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


async def pid_in(path: Path) -> int:
    await until(lambda: path.exists() and path.read_text().isdigit())
    return int(path.read_text())


async def test_a_program_runs_with_exactly_the_fixed_environment_and_nothing_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LD_PRELOAD_X", "PYTHONPATH", "BASH_ENV", "IFS", "LC_ALL", "DISPLAY"):
        monkeypatch.setenv(name, "hostile")
    text = """
import json, os, resource, sys
# LC_CTYPE is what Python itself adds (PEP 538)
environment = {name: value for name, value in os.environ.items() if name != "LC_CTYPE"}
limits = [resource.getrlimit(getattr(resource, "RLIMIT_" + kind))[0] for kind in ("CORE", "NOFILE", "CPU")]
files = [int(fd) for fd in os.listdir("/proc/self/fd")]
opened = [fd for fd in files if fd > 2 and os.path.exists(f"/proc/self/fd/{fd}")]
print(json.dumps([environment, os.getcwd(), sys.stdin.read(), os.getsid(0) == os.getpid(), limits, opened]))
"""
    said = await run(order_for(PYTHON, probe(tmp_path, text)))
    import json
    import pwd

    environment, folder, given, is_leader, limits, opened = json.loads(output(said))
    assert environment == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": pwd.getpwuid(os.getuid()).pw_dir,
    }
    assert (folder, given, is_leader, opened) == ("/", "", True, [])
    assert limits == [0, 1024, 25]


async def test_output_arrives_as_it_comes_with_both_streams_and_the_exit_status(tmp_path: Path) -> None:
    text = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(5)"
    said = await run(order_for(PYTHON, probe(tmp_path, text)))
    assert isinstance(said[0], ExecVerified)
    assert isinstance(said[1], ExecStarted)
    assert {(each.stream, each.chunk) for each in said if isinstance(each, ExecOutput)} == {
        ("stdout", b"out\n"),
        ("stderr", b"err\n"),
    }
    assert (ended(said).exit_status, ended(said).code) == (5, "")


async def test_a_program_that_a_signal_ended_has_the_shells_status(tmp_path: Path) -> None:
    said = await run(order_for(PYTHON, probe(tmp_path, "import os; os.kill(os.getpid(), 9)")))
    assert ended(said).exit_status == 137


async def test_output_beyond_the_limit_is_dropped_and_said_and_the_program_still_finishes(
    tmp_path: Path,
) -> None:
    text = "import sys; sys.stdout.write('x' * 3_000_000); sys.exit(4)"
    said = await run(order_for(PYTHON, probe(tmp_path, text), output_limit_bytes=100_000))
    assert len(output(said)) == 100_000
    assert (ended(said).exit_status, ended(said).is_truncated) == (4, True)


async def test_output_without_end_is_ended_by_the_timeout() -> None:
    said = await run(order_for("/usr/bin/yes", timeout_s=1, output_limit_bytes=50_000))
    assert len(output(said)) == 50_000
    assert (ended(said).exit_status, ended(said).code) == (-1, ErrorCode.E_COMMAND_TIMEOUT)
    assert ended(said).took_s < 4


async def test_a_timeout_ends_a_daemon_that_ignores_the_polite_signal(tmp_path: Path) -> None:
    script = probe(tmp_path, DAEMON)
    Path(script + ".sleep").write_text("120")
    said = await run(order_for(PYTHON, script, timeout_s=1))
    assert ended(said).code == ErrorCode.E_COMMAND_TIMEOUT
    assert is_gone(await pid_in(Path(script + ".pid")))


async def test_a_daemon_that_keeps_the_pipe_open_neither_holds_the_command_nor_outlives_it(
    tmp_path: Path,
) -> None:
    script = probe(tmp_path, DAEMON)
    Path(script + ".sleep").write_text("0.1")
    said = await run(order_for(PYTHON, script, timeout_s=10))
    assert ended(said).exit_status == 0
    assert ended(said).took_s < 3
    assert output(said) == b"up\n"
    assert is_gone(await pid_in(Path(script + ".pid")))


async def test_a_catalogue_of_another_organisation_is_refused_although_the_service_asks(
    tmp_path: Path,
) -> None:
    witness = tmp_path / "ran"
    said = await run(order_for("/usr/bin/touch", str(witness), organisation=intruders()))
    assert [type(each) for each in said] == [ExecRefused]
    assert isinstance(said[0], ExecRefused)
    assert said[0].code == ErrorCode.E_POLICY_SIGNATURE
    assert not witness.exists()


async def test_a_grant_that_is_over_is_refused_although_the_service_asks(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    in_force = signed_policy(acme(), [entry("it", "/usr/bin/touch", str(witness))])
    terms = OrderTerms(acme().device(), in_force, request_for(in_force.policy.catalogue.find("it")))
    terms.sealed_at = expired()
    said = await run(terms.order())
    assert isinstance(said[0], ExecRefused)
    assert said[0].code == ErrorCode.E_GRANT_ENDED
    assert not witness.exists()


async def test_without_the_word_to_go_nothing_starts(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    worker = await started(order_for("/usr/bin/touch", str(witness)))
    assert isinstance(await worker.receive(), ExecVerified)
    worker.cancel()
    assert isinstance(await worker.receive(), ExecRefused)
    await worker.end()
    assert not witness.exists()


@pytest.mark.parametrize("noise", [b"", b"\x00", b"\xff" * 64, b"\x00\x00\x00\x05hello", b"\x00\x00\x00\x00"])
async def test_noise_instead_of_an_order_ends_the_worker_without_a_traceback(noise: bytes) -> None:
    worker = await asyncio.create_subprocess_exec(
        *WORKER_ARGV,
        str(fresh_book().path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=WORKER_ENVIRONMENT,
        cwd="/",
    )
    async with asyncio.timeout(15):
        said, complained = await worker.communicate(noise)
    assert worker.returncode == 0
    assert complained == b""
    assert b"exec.refused" in said


async def test_cancelling_ends_the_whole_tree_at_once(tmp_path: Path) -> None:
    script = probe(tmp_path, DAEMON)
    Path(script + ".sleep").write_text("120")
    worker = await started(order_for(PYTHON, script, timeout_s=60))
    while not isinstance(said := await worker.receive(), ExecOutput):
        if isinstance(said, ExecVerified):
            await worker.go()
    started_s = asyncio.get_running_loop().time()
    worker.cancel()
    worker.cancel()
    assert isinstance(end := await worker.receive(), ExecEnded)
    assert asyncio.get_running_loop().time() - started_s < 1.5
    assert (end.exit_status, end.code) == (-1, "")
    assert is_gone(await pid_in(Path(script + ".pid")))
    await worker.end()
    await worker.end()


SERVICE = """
import asyncio, sys
from pathlib import Path
from agent.exec.messages import TO_WORKER_CODEC, ExecVerified
from agent.exec.start import start_worker

async def main():
    order = TO_WORKER_CODEC.decode(open(sys.argv[1], "rb").read())
    worker = await start_worker(order, Path(sys.argv[2]))
    while True:
        if isinstance(await worker.receive(), ExecVerified):
            await worker.go()

asyncio.run(main())
"""


async def test_sigkill_of_the_service_leaves_no_process(tmp_path: Path) -> None:
    script = probe(tmp_path, DAEMON)
    Path(script + ".sleep").write_text("120")
    await _kill_and_watch(tmp_path, script, lambda service: service)


async def test_sigkill_of_the_worker_leaves_no_command(tmp_path: Path) -> None:
    text = "import os, sys, time; open(sys.argv[0] + '.pid', 'w').write(str(os.getpid())); time.sleep(120)"
    script = probe(tmp_path, text)
    await _kill_and_watch(tmp_path, script, lambda service: service.children()[0])


async def _kill_and_watch(
    tmp_path: Path, script: str, victim: Callable[[psutil.Process], psutil.Process]
) -> None:
    """Run the script under a small service, SIGKILL one of the two, and see that all of it ends."""
    from agent.exec.messages import TO_WORKER_CODEC

    order_file = tmp_path / "order"
    order = order_for(PYTHON, script, timeout_s=60)
    order_file.write_bytes(TO_WORKER_CODEC.encode(order))
    book = fresh_book(order.request)
    service = await asyncio.create_subprocess_exec(
        sys.executable,
        probe(tmp_path, SERVICE, "service.py"),
        str(order_file),
        str(book.path),
        stderr=asyncio.subprocess.DEVNULL,
    )
    daemon_pid = await pid_in(Path(script + ".pid"))
    started = [
        service.pid,
        daemon_pid,
        *(each.pid for each in psutil.Process(service.pid).children(recursive=True)),
    ]
    assert len(set(started)) >= 3
    try:
        victim(psutil.Process(service.pid)).send_signal(signal.SIGKILL)
        below = started[1:]
        await until(lambda: all(is_gone(pid) for pid in below))
    finally:
        for pid in started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await service.wait()
