"""Commands that take what they can get (THREATS.md CMD-15): processes, disk, memory, another user's rights.

Every probe stops by itself after a bounded number or time, so that a broken bound costs this machine little.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agent.exec import start as start_module
from agent.exec.messages import ExecOutput
from protocol.errors import ErrorCode
from tests.support.approved_commands import fresh_book
from tests.support.command_probes import script
from tests.support.other_user import IS_ROOT, OTHER_UID, WHY_ROOT, as_other_user, reachable_folder
from tests.support.started_commands import (
    PYTHON,
    StartedCommand,
    give_to_other_user,
    guardian_of,
    limited,
    order_for,
    started,
    until,
    worker_words,
)

pytestmark = [pytest.mark.real, pytest.mark.beside]

# every process forks as fast as it can, each in a session of its own, until there are argv[1]; 20 s at most
BOMB = """
import mmap, os, struct, sys, time
limit, until = int(sys.argv[1]), time.monotonic() + 20
counted = mmap.mmap(-1, 4)
def count():
    number = struct.unpack("i", counted[:])[0] + 1
    counted[:] = struct.pack("i", number)
    return number
print("up", flush=True)
while time.monotonic() < until and count() < limit:
    if os.fork() == 0:
        os.setsid()
time.sleep(float(sys.argv[2]))
"""
# writes argv[2] pieces of a megabyte at most, each into a file of its own, here or in a child that ends
FILLER = """
import os, sys
for number in range(int(sys.argv[2])):
    if sys.argv[3] == "here" or os.fork() == 0:
        with open(os.path.join(sys.argv[1], str(number)), "wb") as file:
            file.write(bytes(1 << 20))
            file.flush()
            os.fsync(file.fileno())
        if sys.argv[3] != "here":
            os._exit(0)
    else:
        os.wait()
"""
ONE_FILE = """
import os, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
for _ in range(8):
    os.write(file, bytes(1 << 20))
"""
FORK_UNTIL_REFUSED = """
import os, sys, time
count = 0
try:
    while count < 200:
        if os.fork() == 0:
            time.sleep(10)
            os._exit(0)
        count += 1
except BlockingIOError:
    pass
print(count, flush=True)
"""


async def test_cmd_15_a_fork_bomb_is_ended_with_all_that_it_has_become(tmp_path: Path) -> None:
    async with started(order_for(PYTHON, script(tmp_path, BOMB), "400", "20", timeout_s=30)) as command:
        end = await command.ended()
        assert (end.exit_status, end.code) == (-1, ErrorCode.E_COMMAND_LIMIT)
        assert end.took_s < 10
        assert _running(tmp_path) == []


async def test_cmd_15_a_few_processes_are_no_bomb(tmp_path: Path) -> None:
    """Control of the test above."""
    async with started(order_for(PYTHON, script(tmp_path, BOMB), "20", "1", timeout_s=30)) as command:
        end = await command.ended()
    assert (end.exit_status, end.code) == (0, "")


def _running(folder: Path) -> list[int]:
    found = psutil.process_iter(["cmdline"])
    return [each.pid for each in found if any(str(folder) in word for word in each.info["cmdline"] or [])]


@pytest.fixture
def other_s(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the other user, whose workers are the other user's as well."""
    with reachable_folder() as folder:
        give_to_other_user(folder)
        monkeypatch.setattr(start_module, "WORKER_ARGV", worker_words(as_other=True))
        yield folder


async def _told_by_other_user(folder: Path, *argv: str) -> bytes:
    order = order_for(*argv)
    book = fresh_book(order.request)
    give_to_other_user(book.path.parent, book.path)
    command = StartedCommand(order, book)
    await command.start()
    try:
        end = await command.ended()
    finally:
        assert await command.worker.end()
    assert end.exit_status == 0, command.said
    return command.output


@pytest.mark.skipif(not IS_ROOT, reason=WHY_ROOT)
async def test_cmd_15_the_kernel_bounds_the_processes_of_who_is_not_root(
    other_s: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the worker's own look, which a fast bomb may outrun; root is never bounded so."""
    program = script(other_s, FORK_UNTIL_REFUSED)
    Path(program).chmod(0o644)
    monkeypatch.setattr(start_module, "WORKER_ARGV", worker_words('{"tasks_more": 40}', as_other=True))
    forked = int(await _told_by_other_user(other_s, PYTHON, program))
    assert 20 <= forked <= 40
    monkeypatch.setattr(start_module, "WORKER_ARGV", worker_words('{"processes": 300}', as_other=True))
    forked = int(await _told_by_other_user(other_s, PYTHON, program))
    assert forked == 200, "control: with more room it goes on"


@pytest.mark.skipif(not IS_ROOT, reason=WHY_ROOT)
async def test_cmd_15_a_set_user_id_program_makes_nobody_root(other_s: Path) -> None:
    """Whoever became root could not be ended by a worker that is not."""
    with reachable_folder() as tools:
        become = tools / "become"
        shutil.copyfile("/usr/bin/python3", become)
        become.chmod(0o4755)
        code = "import os; print(os.geteuid())"
        told = await _told_by_other_user(other_s, str(become), "-I", "-S", "-c", code)
        assert int(told) == OTHER_UID
        run = "import subprocess, sys; print(subprocess.check_output(sys.argv[1:], text=True).strip())"
        assert as_other_user(run, str(become), "-I", "-S", "-c", code) == ["0"], "control: it would have"


@pytest.mark.parametrize("how", ["here", "in children"])
async def test_cmd_15_a_filler_of_disks_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    _needs_disk(tmp_path)
    monkeypatch.setattr(start_module, "WORKER_ARGV", limited(written_bytes=8 << 20))
    files = tmp_path / "files"
    files.mkdir()
    program = script(tmp_path, FILLER)
    async with started(order_for(PYTHON, program, str(files), "3000", how, timeout_s=60)) as command:
        end = await command.ended(within_s=60)
    assert (end.exit_status, end.code) == (-1, ErrorCode.E_COMMAND_LIMIT)
    assert 8 <= len(list(files.iterdir())) < 2500, "it was ended before it was through"


async def test_cmd_15_who_writes_little_is_no_filler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control of the test above."""
    monkeypatch.setattr(start_module, "WORKER_ARGV", limited(written_bytes=8 << 20))
    program = script(tmp_path, FILLER)
    async with started(order_for(PYTHON, program, str(tmp_path), "4", "here")) as command:
        end = await command.ended()
    assert (end.exit_status, end.code) == (0, "")


def _needs_disk(folder: Path) -> None:
    mounts = [each for each in psutil.disk_partitions(all=True) if folder.is_relative_to(each.mountpoint)]
    if max(mounts, key=lambda each: len(each.mountpoint)).fstype in ("tmpfs", "ramfs"):
        pytest.skip("run it where temporary folders are on a disk: what is written to memory is not counted")


@pytest.mark.parametrize(("limit_bytes", "status"), [(3 << 20, 153), (16 << 20, 0)])
async def test_cmd_15_no_file_grows_beyond_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit_bytes: int, status: int
) -> None:
    monkeypatch.setattr(start_module, "WORKER_ARGV", limited(file_bytes=limit_bytes))
    file = tmp_path / "file"
    async with started(order_for(PYTHON, script(tmp_path, ONE_FILE), str(file))) as command:
        end = await command.ended()
    assert end.exit_status == status
    assert file.stat().st_size == min(limit_bytes, 8 << 20)


async def test_cmd_15_a_lack_of_memory_takes_the_command_before_its_watchers(tmp_path: Path) -> None:
    text = "print(open('/proc/self/oom_score_adj').read(), flush=True); import time; time.sleep(20)"
    async with started(order_for(PYTHON, script(tmp_path, text))) as command:
        await command.heard(ExecOutput)
        guardian = guardian_of(command)
        await until(lambda: bool(guardian.children()))
        [worker] = guardian.children()
        watchers = [Path(f"/proc/{each.pid}/oom_score_adj").read_text() for each in (guardian, worker)]
    assert int(command.output) == 1000
    assert {int(each) for each in watchers} == {int(Path("/proc/self/oom_score_adj").read_text())}


async def test_cmd_15_what_a_command_is_bounded_by(tmp_path: Path) -> None:
    """The bounds as they are shipped."""
    text = """
import json, resource
kinds = ("FSIZE", "NPROC", "CORE", "NOFILE", "AS")
print(json.dumps([resource.getrlimit(getattr(resource, "RLIMIT_" + kind)) for kind in kinds]))
"""
    async with started(order_for(PYTHON, script(tmp_path, text))) as command:
        await command.ended()
    file, tasks, core, opened, space = json.loads(command.output)
    assert file == [256 << 20] * 2
    assert 512 < tasks[0] < 512 + len(psutil.pids()) * 50
    assert (core, opened, space) == ([0, 0], [1024, 1024], [4 << 30] * 2)
    assert os.getuid() == psutil.Process().uids().real
