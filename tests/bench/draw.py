"""The program that draws one workload on the source display and notes when each picture was there.

Prints "ready", draws from the line "go" on, prints the pictures' times as JSON and leaves the last one
standing until standard input ends.
"""

import argparse
import json
import random
import sys
import time
from pathlib import Path

from tests.bench.pages import load_pages
from tests.bench.workloads import WORKLOADS, Step, Workload
from tests.bench.x_board import XBoard

KEY_WAIT_S = 20.0


def draw_by_clock(board: XBoard, workload: Workload, step: Step, seconds: float) -> list[tuple[int, int]]:
    """One picture a period; a late one does not push the others."""
    if not workload.rate_hz:
        time.sleep(seconds)
        return []
    dice = random.Random(7)
    began = time.monotonic()
    drawn = []
    for number in range(1, round(seconds * workload.rate_hz) + 1):
        due_s = began + (number + workload.jitter * dice.uniform(-1, 1)) / workload.rate_hz
        time.sleep(max(0.0, due_s - time.monotonic()))
        step(number)
        drawn.append((number, board.done() if workload.has_film else board.stamp(number)))
    return drawn


def draw_by_key(board: XBoard, step: Step, presses: int) -> list[tuple[int, int]]:
    """One picture for each key press that comes."""
    drawn = []
    for number in range(1, presses + 1):
        board.wait_for_press()
        step(number)
        drawn.append((number, board.stamp(number)))
    return drawn


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--display", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    workload = WORKLOADS[given.workload]
    board = XBoard(given.display)
    step = workload.prepare(board, load_pages(given.folder))
    if not workload.has_film:
        board.stamp(0)
    board.sync()
    if workload.is_by_key:
        board.take_keys()
    print("ready", flush=True)
    sys.stdin.readline()
    if workload.is_by_key:
        drawn = draw_by_key(board, step, round(given.seconds * workload.rate_hz))
    else:
        drawn = draw_by_clock(board, workload, step, given.seconds)
    print(json.dumps(drawn), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
