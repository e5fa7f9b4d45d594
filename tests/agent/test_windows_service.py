"""The agent as a service of Windows, on a fake of pywin32."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent.platform.windows.service_host import host_service, load_service_bindings
from agent.stop_order import StopOrder
from protocol.errors import BackendUnavailable, EnvironmentFault, ErrorCode
from tests.support.fake_windows_service import RUNNING, STOP_PENDING, STOPPED, FakeWindows


def until_ordered(stop: StopOrder) -> None:
    """A service whose loop ends by the order alone."""

    async def work() -> None:
        ended = asyncio.Event()
        stop.listen(ended.set)
        await asyncio.wait_for(ended.wait(), 5)
        stop.forget()

    asyncio.run(work())


@pytest.mark.parametrize("control", ["SvcStop", "SvcShutdown"])
def test_windows_ends_the_service_from_another_thread(control: str) -> None:
    windows = FakeWindows()
    telling = threading.Thread(target=windows.control, args=[control])
    telling.start()
    host_service("AlongsideAgent", until_ordered, windows.bindings())
    telling.join()
    assert windows.reported == [RUNNING, STOP_PENDING, STOP_PENDING, STOPPED]
    assert not windows.failed
    assert windows.logged == []


def test_what_stands_in_the_way_is_in_the_event_log_and_the_service_has_failed() -> None:
    def run(_stop: StopOrder) -> None:
        raise EnvironmentFault("there are no Unix sockets", code=ErrorCode.E_LOCAL_NONE)

    windows = FakeWindows()
    host_service("AlongsideAgent", run, windows.bindings())
    assert windows.failed
    assert ["E_LOCAL_NONE" in text for text in windows.logged] == [True]


def test_an_order_that_came_before_anybody_listened_is_not_lost() -> None:
    stop = StopOrder()
    stop.give()
    until_ordered(stop)


def test_an_order_after_the_end_reaches_no_closed_loop() -> None:
    stop = StopOrder()
    threading.Timer(0.05, stop.give).start()
    until_ordered(stop)
    stop.give()


def test_without_windows_it_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="requirements"):
        load_service_bindings()
    words = ["-I", "-m", "agent", "--windows-service", "AlongsideAgent", "--data", str(tmp_path)]
    ended = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 6
    assert "E_LOCAL_NONE" in ended.stderr
