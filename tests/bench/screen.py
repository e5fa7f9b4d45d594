"""The screen benchmark: `python -m tests.bench.screen --json`; README.md says how it measures.

Real processes on two virtual displays; other products by `--peers`, slow links by `--link`.
"""

import argparse
import json
import os
import shutil
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
from tests.bench.link_terms import BadLink, LinkTerms, parse_link
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
    parser.add_argument("--repeats", type=int, default=1, help="of each workload in one session")
    parser.add_argument("--link", help="ROUND-TRIP/BANDWIDTH[/LOSS][/BUFFER], such as 150ms/5mbit/1%%")
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
        self.products: dict[str, list[dict[str, Any]]] = {}
        self.left_out: dict[str, str] = {}

    def run(self) -> dict[str, Any]:
        """All that was asked for, as far as the time allows."""
        with (
            start_xvfb(SIZE) as xvfb,
            acting("pages", *self._page_words(xvfb.display)),
        ):
            load_before = os.getloadavg()
        for name in [*([] if self._given.without_ours else [OURS]), *self._given.peers]:
            self._product(name, self._given.terms)
        return {
            "link": str(self._given.terms or "loopback"),
            "seconds": self._given.seconds,
            "cores": os.cpu_count(),
            "load_before": load_before,
            "load_after": os.getloadavg(),
            "products": self.products,
            "ratios": ratios(self.products),
            "left_out": self.left_out,
        }

    def _page_words(self, display: str) -> list[str]:
        film = ["--film"] if "video" in self._given.workloads else []
        return ["--display", display, "--folder", str(self._folder), *film]

    def _product(self, name: str, terms: LinkTerms | None) -> None:
        try:
            with stage(self._folder / name, terms) as standing:
                product = PRODUCTS[name](standing)
                for workload in self._given.workloads:
                    self._workload(product, workload)
        except (ActorFailed, QuickstartFailed, OSError, subprocess.SubprocessError) as exc:
            self.left_out[name] = str(exc)
            say(f"{name}: {exc}")

    def _workload(self, product: Running, workload: str) -> None:
        repeats: list[Measured] = []
        for number in range(1, self._given.repeats + 1):
            if time.monotonic() > self._until_s:
                self.left_out[f"{product.name} {workload} {number}"] = "out of time"
                break
            try:
                repeats.append(measure(product, workload, self._given.seconds))
            except (ActorFailed, ValueError) as exc:
                self.left_out[f"{product.name} {workload} {number}"] = str(exc)
                continue
            seen, kbit_s = repeats[-1].seen, repeats[-1].used.kbit_s_to_viewer
            times = f"{seen.latency_ms.median} / {seen.latency_ms.p95} ms"
            say(f"{product.name} {workload} {number}: {times}, {seen.pictures_per_s}/s, {kbit_s} kbit/s")
        if repeats:
            self.products.setdefault(product.name, []).append(row(workload, product, repeats))


def main(words: Sequence[str] | None = None) -> int:
    """Run it; 1 when something that was asked for is missing from the results."""
    given = parse(sys.argv[1:] if words is None else words)
    if given.install:
        command = ["apt-get", "install", "-y", "--no-install-recommends", *DEBIAN_PACKAGES]
        subprocess.run(command, check=True, stdout=sys.stderr)
    folder = given.keep or Path(tempfile.mkdtemp(prefix="alongside-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    os.umask(0o077)
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
