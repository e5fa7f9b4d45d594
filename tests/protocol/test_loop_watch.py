"""REL-14: an event loop that a fault of ours blocks says where, while it is stuck."""

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, sys, time
from protocol.aio.loop_watch import watch_loop, watched_loop

kind, limit_s = sys.argv[1], float(sys.argv[2])

def the_guilty_one():
    time.sleep(1)

async def main():
    watching = asyncio.create_task(watch_loop(limit_s)) if kind == "woken" else None
    await asyncio.sleep(0)
    the_guilty_one()
    await asyncio.sleep(0.6)  # to wait is not to be stuck
    if watching is not None:
        watching.cancel()

with asyncio.Runner(loop_factory=(lambda: watched_loop(limit_s)) if kind == "watched" else None) as runner:
    runner.run(main())
time.sleep(0.6)  # nothing of it is left, that would end the process
"""


def said_when_blocked_for_a_second(kind: str, limit_s: float) -> str:
    words = [sys.executable, "-c", PROGRAM, kind, str(limit_s)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    return ended.stderr + ended.stdout


@pytest.mark.parametrize("kind", ["watched", "woken"])
def test_rel_14_a_blocked_loop_tells_in_which_line_and_afterwards_for_how_long(kind: str) -> None:
    said = said_when_blocked_for_a_second(kind, 0.4)
    assert said.count("in the_guilty_one") == 1
    assert said.count("loop.blocked") == 1


@pytest.mark.parametrize("kind", ["watched", "woken"])
def test_rel_14_the_control_a_loop_that_goes_on_tells_nothing(kind: str) -> None:
    assert said_when_blocked_for_a_second(kind, 60) == ""
