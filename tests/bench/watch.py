"""The program that watches the counter on a display and notes when each picture is seen.

Prints "ready", watches until it sees `--last` or its time is over, keeps the whole display as it was at that
moment in `--keep`, prints what it saw as JSON.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from tests.bench.stamp import HEIGHT_PX, WIDTH_PX, read_stamp
from tests.bench.x_board import STAMP_AT, XLook

PERIOD_S = 0.0025


def watch(look: XLook, last: int, until_s: float) -> tuple[list[tuple[int, int]], int]:
    """(counter, first moment in ns) of every change, and the number of looks."""
    seen: list[tuple[int, int]] = []
    before = b""
    looks = 0
    due_s = time.monotonic()
    while time.monotonic() < until_s:
        area = look.read(STAMP_AT, (WIDTH_PX, HEIGHT_PX))
        at_ns = time.monotonic_ns()
        looks += 1
        content = area.tobytes()
        if content != before:
            before = content
            counter = read_stamp(area)
            if counter is not None and (not seen or seen[-1][0] != counter):
                seen.append((counter, at_ns))
                if counter == last:
                    break
        due_s = max(due_s + PERIOD_S, time.monotonic() - PERIOD_S)
        time.sleep(max(0.0, due_s - time.monotonic()))
    return seen, looks


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--display", required=True)
    parser.add_argument("--last", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--keep", type=Path, required=True)
    given = parser.parse_args()
    look = XLook(given.display)
    print("ready", flush=True)
    sys.stdin.readline()
    began_s = time.monotonic()
    seen, looks = watch(look, given.last, began_s + given.seconds)
    np.save(given.keep, look.read_all())
    looks_per_s = looks / max(0.001, time.monotonic() - began_s)
    print(json.dumps({"seen": seen, "looks_per_s": round(looks_per_s)}), flush=True)


if __name__ == "__main__":
    main()
