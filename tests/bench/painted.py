"""What of a picture's way is ours: `python -m tests.bench.painted --json`.

The screen benchmark reads the viewer's display, so Chromium's own frame is in its figures. Here the
console's page notes for each picture how old it was when it had been put on the canvas, by the capture's
time and the agent's clock as the page knows it (whole milliseconds; the clocks are one, so what the
estimate is wrong by is below the way there and back). Chromium has nothing to do with a picture before that
but to hand its message to the page. Nobody is attached to the browser while pictures are drawn.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.bench.actors import acting
from tests.bench.figures import spread
from tests.bench.measure import measure
from tests.bench.screen import ours  # by way of it: it has the path to scripts/
from tests.bench.stage import SIZE, free_port, stage
from tests.bench.workloads import WORKLOADS
from tests.support.xvfb import start_xvfb

NOTE_AGES = """() => {
  const canvas = document.getElementById("screen");
  window.benchAges = [];
  if (window.benchNotes) return;
  window.benchNotes = true;
  const note = () => canvas.dataset.ageMs && window.benchAges.push(Number(canvas.dataset.ageMs));
  new MutationObserver(note).observe(canvas, { attributes: true, attributeFilter: ["data-age-ms"] });
}"""
READ_AGES = "() => window.benchAges.splice(0)"


def in_page(port: int, script: str) -> Any:
    """Run this in the console's page, and let go of the browser again."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}")
        page: Page = browser.contexts[0].pages[0]
        return page.evaluate(script)


def run(workloads: list[str], seconds: float) -> dict[str, Any]:
    """The ages of each workload's pictures."""
    with tempfile.TemporaryDirectory(prefix="alongside-bench-") as name:
        folder = Path(name)
        film = ["--film"] if "video" in workloads else []
        with start_xvfb(SIZE) as xvfb, acting("pages", "--display", xvfb.display, "--folder", name, *film):
            pass
        port = free_port()
        results: dict[str, Any] = {}
        with stage(folder / "stage", None, (f"--remote-debugging-port={port}",)) as standing:
            product = ours.start(standing)
            for workload in workloads:
                measure(product, workload, 2.0)  # until the page shows pictures
                in_page(port, NOTE_AGES)
                seen = measure(product, workload, seconds).seen
                # what was painted before the first picture that counts, while the scene was set, is left out
                ages = [float(one) for one in in_page(port, READ_AGES)][-seen.distinct :]
                results[workload] = {
                    "capture_to_painted_ms": asdict(spread(ages)),
                    "source_to_viewer_ms": asdict(seen.latency_ms),
                }
                print(workload, results[workload], file=sys.stderr)
    return results


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.painted", description=__doc__)
    parser.add_argument(
        "--workloads", default="typing,terminal-scroll,drag", help=f"of {', '.join(WORKLOADS)}"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of each workload")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    results = run(given.workloads.split(","), given.seconds)
    print(json.dumps(results) if given.json else json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
