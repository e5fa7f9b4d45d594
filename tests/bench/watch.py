"""The program that watches the counter on a display and notes when each picture is seen.

Prints "ready", watches until it sees `--last` or its time is over, keeps the whole display as it was at that
moment in `--keep` and some pictures of the film in `--film`, prints what it saw as JSON.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from tests.bench.film import FILM_AT, FILM_STAMP_AT, SAMPLE_EVERY, counter_of
from tests.bench.pages import FILM_SIZE
from tests.bench.stamp import HEIGHT_PX, WIDTH_PX, read_stamp
from tests.bench.x_board import STAMP_AT, Pixels, XLook

PERIOD_S = 0.0025


class Film:
    """Keeps the film as it is shown at some of its pictures."""

    def __init__(self, look: XLook) -> None:
        self.samples: dict[str, Pixels] = {}
        self._look = look
        self._due = 2 * SAMPLE_EVERY  # the first pictures are exact still

    def seen(self, counter: int) -> None:
        """This picture was seen just now; the next may be there when it is read."""
        if counter < self._due:
            return
        self._due = counter + SAMPLE_EVERY
        shown = self._look.read(FILM_AT, FILM_SIZE).copy()
        number = counter_of(shown)
        if number is not None:
            self.samples[str(number)] = shown


def watch(
    look: XLook, last: int, until_s: float, film: Film | None = None
) -> tuple[list[tuple[int, int]], int]:
    """(counter, first moment in ns) of every change, and the number of looks."""
    seen: list[tuple[int, int]] = []
    before = b""
    looks = 0
    due_s = time.monotonic()
    stamp_at = FILM_STAMP_AT if film else STAMP_AT
    while time.monotonic() < until_s:
        area = look.read(stamp_at, (WIDTH_PX, HEIGHT_PX))
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
                if film:
                    film.seen(counter)
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
    parser.add_argument("--film", type=Path, help="keep pictures of the film here, and read its counter")
    given = parser.parse_args()
    look = XLook(given.display)
    print("ready", flush=True)
    sys.stdin.readline()
    began_s = time.monotonic()
    film = Film(look) if given.film else None
    seen, looks = watch(look, given.last, began_s + given.seconds, film)
    np.save(given.keep, look.read_all())
    if film:
        np.savez(given.film, **film.samples)  # type: ignore[arg-type]  # names are numbers, none is an option
    looks_per_s = looks / max(0.001, time.monotonic() - began_s)
    print(json.dumps({"seen": seen, "looks_per_s": round(looks_per_s)}), flush=True)


if __name__ == "__main__":
    main()
