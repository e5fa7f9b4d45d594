"""The service's own desktop process is ended with the service, also one that does not want to."""

import asyncio
import sys
from pathlib import Path

import pytest

from agent.desktop_process import END_TIMEOUT_S, DesktopProcess
from tests.support.started_commands import end_all, is_gone, pids_in

pytestmark = pytest.mark.real

CHILD = """
import os, signal, sys, time
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[1] + ".new", "w") as file:
    file.write(f"{os.getpid()}\\n")
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["deaf", "willing"])
async def test_a_desktop_process_does_not_outlive_the_task_that_keeps_it(tmp_path: Path, how: str) -> None:
    pid_file = tmp_path / "pid"
    is_free = asyncio.Event()
    is_free.set()
    kept = DesktopProcess(tmp_path / "agent.sock", "", is_free)
    kept._argv = [sys.executable, "-c", CHILD, str(pid_file), how]  # one that no display is needed for
    keeping = asyncio.create_task(kept.run())
    [pid] = await pids_in(pid_file)
    try:
        keeping.cancel()
        async with asyncio.timeout(END_TIMEOUT_S + 5):
            await asyncio.gather(keeping, return_exceptions=True)
        assert is_gone(pid)
    finally:
        end_all([pid])
