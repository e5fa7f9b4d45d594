"""What does one more viewer of a display cost? Each has a screen worker of its own (decision 0012).

    python -m tests.bench.viewers --viewers 1,2,4 --seconds 10 --json

One Xvfb, a terminal's scroll of 60 lines a second, real workers, and viewers that paint at once. Processor
time is in per cent of one core, memory in MiB; `own_mib` is what a worker shares with nobody (USS).
"""

import argparse
import json
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass

import psutil

from tests.support.moving_pictures import text_lines
from tests.support.shaped_link import ShapedLink
from tests.support.simulated_link import LOOPBACK
from tests.support.worker_host import WorkerHost, screen_worker
from tests.support.x_painter import XPainter, painter_on
from tests.support.xvfb import start_xvfb

SIZE = (1920, 1080)
LINE_PIXELS = 16
LINES_PER_S = 60
WARM_UP_S = 2.0
SLICE_S = 0.002


@dataclass(frozen=True, slots=True)
class Result:
    """Of so many viewers at once; lists have one entry a worker."""

    viewers: int
    pictures_per_s: list[float]
    worker_cpu_percent: list[float]
    display_cpu_percent: float
    own_mib: list[float]


def scroll(painter: XPainter, has_ended: threading.Event) -> None:
    """New lines at the bottom, as a terminal draws them."""
    lines = [text_lines(SIZE[0], LINE_PIXELS, number) for number in range(200)]
    due_s = time.monotonic()
    number = 0
    while not has_ended.wait(max(0.0, due_s - time.monotonic())):
        due_s += 1 / LINES_PER_S
        painter.scroll(LINE_PIXELS)
        painter.put(0, SIZE[1] - LINE_PIXELS, lines[number % len(lines)])
        number += 1


def run_all(links: list[ShapedLink], for_s: float) -> None:
    """Every viewer in turn."""
    end_s = time.monotonic() + for_s
    while time.monotonic() < end_s:
        for link in links:
            link.run(SLICE_S)


def _cpu_s(pid: int) -> float:
    spent = psutil.Process(pid).cpu_times()
    return float(spent.user + spent.system)


def measure(viewers: int, seconds: float) -> Result:
    """One run with so many viewers."""
    with ExitStack() as stack:
        server = stack.enter_context(start_xvfb(SIZE))
        painter = stack.enter_context(painter_on(server.display))
        hosts: list[WorkerHost] = [
            stack.enter_context(screen_worker(server.environment)) for _ in range(viewers)
        ]
        links = [ShapedLink(host, LOOPBACK) for host in hosts]
        has_ended = threading.Event()
        drawing = threading.Thread(target=scroll, args=(painter, has_ended))
        drawing.start()
        try:
            run_all(links, WARM_UP_S)
            pids = [host.process.pid for host in hosts]
            shown = [len(link.shown) for link in links]
            spent = [_cpu_s(pid) for pid in [*pids, server.pid]]
            began_s = time.monotonic()
            run_all(links, seconds)
            took_s = time.monotonic() - began_s
            *workers, display = (
                round(100 * (_cpu_s(pid) - before) / took_s, 1)
                for pid, before in zip([*pids, server.pid], spent, strict=True)
            )
            own_mib = [round(psutil.Process(pid).memory_full_info().uss / (1 << 20), 1) for pid in pids]
        finally:
            has_ended.set()
            drawing.join()
        rates = [
            round((len(link.shown) - before) / took_s, 1) for link, before in zip(links, shown, strict=True)
        ]
    return Result(viewers, rates, workers, display, own_mib)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.viewers", description=__doc__)
    parser.add_argument("--viewers", default="1,2,4", help="how many at once, one run each")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    parser.add_argument("--json", action="store_true", help="the results as JSON on standard output")
    given = parser.parse_args()
    results = [measure(int(viewers), given.seconds) for viewers in given.viewers.split(",")]
    for result in results:
        print(result, file=sys.stderr)
    if given.json:
        print(json.dumps([asdict(result) for result in results]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
