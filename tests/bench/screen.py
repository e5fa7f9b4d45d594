"""The screen benchmark: `python -m tests.bench.screen --json`; README.md says how it measures.

Real processes on two virtual displays; other products by `--peers`, slow links by `--link`.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from started import QuickstartFailed

from tests.bench import ours
from tests.bench.actors import ActorFailed, acting
from tests.bench.link_terms import BadLink, parse_link
from tests.bench.measure import Measured, measure, row
from tests.bench.peers import DEBIAN_PACKAGES, PEERS
from tests.bench.stage import SIZE, Running, Stage, stage
from tests.bench.table import OURS, ratios, report
from tests.bench.workloads import WORKLOADS
from tests.support.xvfb import start_xvfb

PRODUCTS: dict[str, Callable[[Stage], Running]] = {OURS: ours.start, **PEERS}


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.screen", description=__doc__)
    parser.add_argument("--json", action="store_true", help="results as JSON on standard output")
    parser.add_argument("--peers", type=_names, default=[], help=f"of {', '.join(PEERS)}; or all")
    parser.add_argument("--without-ours", action="store_true", help="only the peers")
    parser.add_argument("--workloads", type=_names, default=list(WORKLOADS), help=", ".join(WORKLOADS))
    parser.add_argument("--seconds", type=float, default=10.0, help="of each workload (default 10)")
    parser.add_argument("--repeats", type=int, default=1, help="of everything, in turns (default 1)")
    parser.add_argument(
        "--link", help="ROUND-TRIP/BANDWIDTH[/LOSS][/BUFFER][/packets], such as 150ms/5mbit/1%%"
    )
    parser.add_argument("--limit-s", type=float, default=3600.0, help="begin nothing new after so long")
    parser.add_argument("--keep", type=Path, help="keep logs and pictures in this folder")
    parser.add_argument("--install", action="store_true", help="install the Debian packages first (root)")
    given = parser.parse_args(words)
    if given.peers == ["all"]:
        given.peers = list(PEERS)
    for chosen, known in ((given.peers, PEERS), (given.workloads, WORKLOADS)):
        if unknown := set(chosen) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    try:
        given.terms = parse_link(given.link) if given.link else None
    except BadLink as exc:
        parser.error(str(exc))
    return given


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)


class Benchmark:
    """Runs products one after the other and collects their rows."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self._given = given
        self._folder = folder
        self._until_s = time.monotonic() + given.limit_s
        self._measured: dict[str, dict[str, list[Measured]]] = {}
        self._agent_roles: dict[str, tuple[str, ...]] = {}
        self.left_out: dict[str, str] = {}

    def run(self) -> dict[str, Any]:
        """All that was asked for, as far as the time allows."""
        with (
            start_xvfb(SIZE) as xvfb,
            acting("pages", *self._page_words(xvfb.display)),
        ):
            load_before = os.getloadavg()
        names = [*([] if self._given.without_ours else [OURS]), *self._given.peers]
        for turn in range(1, self._given.repeats + 1):
            for name in names:  # in turns, so that what else the machine does hits all alike
                self._product(name, turn)
        products = {
            name: [row(workload, self._agent_roles[name], repeats) for workload, repeats in rows.items()]
            for name, rows in self._measured.items()
        }
        return {
            "link": str(self._given.terms or "loopback"),
            "seconds": self._given.seconds,
            "cores": os.cpu_count(),
            "load_before": load_before,
            "load_after": os.getloadavg(),
            "products": products,
            "ratios": ratios(products),
            "left_out": self.left_out,
        }

    def _page_words(self, display: str) -> list[str]:
        film = ["--film"] if "video" in self._given.workloads else []
        return ["--display", display, "--folder", str(self._folder), *film]

    def _product(self, name: str, turn: int) -> None:
        if time.monotonic() > self._until_s:
            self.left_out[f"{name} {turn}"] = "out of time"
            return
        try:
            with stage(self._folder / f"{name}-{turn}", self._given.terms) as standing:
                product = PRODUCTS[name](standing)
                self._agent_roles[name] = product.agent_roles
                for workload in self._given.workloads:
                    self._workload(product, workload, turn)
        except (ActorFailed, QuickstartFailed, OSError, subprocess.SubprocessError) as exc:
            self.left_out[f"{name} {turn}"] = str(exc)
            say(f"{name}: {exc}")

    def _workload(self, product: Running, workload: str, turn: int) -> None:
        name = f"{product.name} {workload} {turn}"
        if time.monotonic() > self._until_s:
            self.left_out[name] = "out of time"
            return
        try:
            measured = measure(product, workload, self._given.seconds)
        except (ActorFailed, ValueError) as exc:
            self.left_out[name] = str(exc)
            return
        self._measured.setdefault(product.name, {}).setdefault(workload, []).append(measured)
        times = f"{measured.seen.latency_ms.median} / {measured.seen.latency_ms.p95} ms"
        kbit_s = measured.used.kbit_s_to_viewer
        say(f"{name}: {times}, {measured.seen.pictures_per_s}/s, {kbit_s} kbit/s")


def main(words: Sequence[str] | None = None) -> int:
    """Run it; 1 when something that was asked for is missing from the results."""
    given = parse(sys.argv[1:] if words is None else words)
    if given.install:
        command = ["apt-get", "install", "-y", "--no-install-recommends", *DEBIAN_PACKAGES]
        subprocess.run(command, check=True, stdout=sys.stderr)
    folder = given.keep or Path(tempfile.mkdtemp(prefix="alongside-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    os.umask(0o077)
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # so that all it started is ended
    try:
        results = Benchmark(given, folder.absolute()).run()
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)
    say(report(results))
    if given.json:
        print(json.dumps(results))
    return 1 if results["left_out"] else 0


if __name__ == "__main__":
    sys.exit(main())
