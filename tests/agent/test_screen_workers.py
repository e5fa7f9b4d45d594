"""The parent of the screen workers: a worker that ends while it is being killed."""

import threading
import time
from pathlib import Path

import pytest

from agent.desktop.ipc_messages import ScreenEnded, StartScreen
from agent.desktop.screen_workers import ScreenWorkers, WorkerTerms

pytestmark = pytest.mark.real
TICKET = bytes(32)
ROUNDS = 40


def test_a_worker_that_has_ended_by_itself_may_be_killed_at_the_same_moment(tmp_path: Path, monkeypatch):
    faults: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", faults.append)
    ended: list[ScreenEnded] = []
    workers = ScreenWorkers(WorkerTerms(tmp_path / "agent.sock", ("/bin/true",)), ended.append)
    for number in range(1, ROUNDS + 1):
        workers.start(StartScreen("s1", TICKET, "auto", start_no=number))
        time.sleep(0.0001 * number)  # so that some end before and some after it
        workers.kill("s1")
    for watching in threading.enumerate():
        if watching.name == "screen-worker":
            watching.join(5)
    assert not faults
    assert {one.start_no for one in ended} <= set(range(1, ROUNDS + 1))
