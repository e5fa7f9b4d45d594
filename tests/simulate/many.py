"""Many schedules on all cores, and what they add up to."""

import gc
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tests.simulate import clocks, mutations
from tests.simulate.plan import Mode, quiet_plan
from tests.simulate.world import Outcome, play, play_plan

CHUNK_SEEDS = 100
GARBAGE_EVERY = 25
VIOLATIONS_KEPT = 5
TRACE_LINES_KEPT = 60
Broken = tuple[int, str, str, list[str]]


@dataclass(slots=True)
class Report:
    """What many schedules did. Times are real seconds, `virtual_s` is simulated."""

    modes: list[str]
    processes: int
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[Broken] = field(default_factory=list)
    recoveries_s: list[float] = field(default_factory=list)
    took_s: float = 0.0
    cpu_s: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """One more schedule."""
        for name in ("actions", "prompts", "sessions", "ready", "worked", "is_tls", "virtual_s"):
            self.counts[name] += int(getattr(outcome, name))
        self.counts["schedules"] += 1
        self.counts[f"schedules_{outcome.mode}"] += 1
        if outcome.recovered_after_s is not None:
            self.recoveries_s.append(round(outcome.recovered_after_s, 2))
        if outcome.violation:
            self.counts["violations"] += 1
            trace = outcome.trace[-TRACE_LINES_KEPT:]
            self.violations.append((outcome.seed, outcome.mode.value, outcome.violation, trace))

    def merge(self, other: "Report") -> None:
        """What another process did."""
        self.counts += other.counts
        self.violations = (self.violations + other.violations)[:VIOLATIONS_KEPT]
        self.recoveries_s += other.recoveries_s
        self.cpu_s += other.cpu_s

    def document(self) -> dict[str, object]:
        """The report as JSON values."""
        schedules = self.counts["schedules"]
        ordered = sorted(self.recoveries_s)
        return {
            "modes": self.modes,
            "processes": self.processes,
            **dict(sorted(self.counts.items())),
            "violations": self.counts["violations"],
            "violation_bound_95": round(3 / schedules, 8) if schedules and not self.violations else None,
            "took_s": round(self.took_s, 1),
            "cpu_s": round(self.cpu_s, 1),
            "schedules_per_s": round(schedules / self.took_s, 1) if self.took_s else 0.0,
            "recovered_after_s": _spread(ordered),
            "broken": [
                {"seed": seed, "mode": mode, "violation": text} for seed, mode, text, _ in self.violations
            ],
        }

    def summary(self) -> str:
        """One line for people."""
        document = self.document()
        return (
            f"{self.counts['schedules']} schedules, {self.counts['violations']} broken, "
            f"{document['schedules_per_s']} a second on {self.processes} processes, "
            f"{self.counts['ready']} sessions, {self.counts['actions']} actions, "
            f"{self.counts['is_tls']} with TLS"
        )


def _spread(ordered: list[float]) -> dict[str, float] | None:
    if not ordered:
        return None
    return {"p50": ordered[len(ordered) // 2], "p99": ordered[len(ordered) * 99 // 100], "max": ordered[-1]}


def run_many(seeds: Sequence[int], modes: tuple[Mode, ...], processes: int, limit_s: float = 0.0) -> Report:
    """All these seeds in all these modes, shared among processes."""
    report = Report([mode.value for mode in modes], processes)
    started_s = time.monotonic()
    chunks = (
        (seeds[start : start + CHUNK_SEEDS], mode)
        for start in range(0, len(seeds), CHUNK_SEEDS)
        for mode in modes
    )
    with _pool(processes) as pool:
        running: set[Future[Report]] = {
            pool.submit(run_chunk, *chunk) for chunk in islice(chunks, processes * 2)
        }
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                report.merge(each.result())
            is_late = limit_s and time.monotonic() - started_s > limit_s
            if not report.violations and not is_late:
                running |= {pool.submit(run_chunk, *chunk) for chunk in islice(chunks, len(done))}
    report.took_s = time.monotonic() - started_s
    return report


def run_chunk(seeds: Sequence[int], mode: Mode) -> Report:
    """These seeds, in this process."""
    report = Report([mode.value], 1)
    started_s = time.process_time()
    with _prepared() as folder:
        for number, seed in enumerate(seeds):
            report.add(play(seed, mode, folder))
            if number % GARBAGE_EVERY == 0:
                gc.collect()
    report.cpu_s = time.process_time() - started_s
    return report


def run_one(seed: int, mode: Mode) -> Outcome:
    """One seed, in a process of its own."""
    with _pool(1) as pool:
        return pool.submit(_play_one, seed, mode).result()


def _play_one(seed: int, mode: Mode) -> Outcome:
    with _prepared() as folder:
        return play(seed, mode, folder)


def prove(seeds: int, processes: int) -> dict[str, dict[str, object]]:
    """Break the core in each known way; how many seeds it took to notice (0: not noticed)."""
    with _pool(processes) as pool:
        waiting = {name: pool.submit(find, name, seeds) for name in mutations.MUTATIONS}
        return {name: each.result() for name, each in waiting.items()}


def find(name: str, seeds: int) -> dict[str, object]:
    """Run with this mutation until something is noticed."""
    mutation = mutations.MUTATIONS[name]
    with _prepared() as folder, mutation.apply():
        for seed in range(seeds):
            outcome = play_plan(mutation.plan(seed), folder)
            if outcome.violation:
                return {"seeds_needed": seed + 1, "violation": outcome.violation}
    return {"seeds_needed": 0, "violation": ""}


def killed_at_every_step(seed: int, stride: int, processes: int) -> Report:
    """One whole visit with no other fault, once for each (or each `stride`-th) turn of the loop at which the
    agent can be killed."""
    report = Report([Mode.SAFETY.value], processes)
    started_s = time.monotonic()
    with _pool(processes) as pool:
        [whole] = pool.submit(_killed_at, seed, [0]).result()
        assert not whole.violation, whole.violation
        assert whole.actions > 0, "the control: without the kill something is done"
        steps = range(1, whole.steps + 1, stride)
        shares = [pool.submit(_killed_at, seed, steps[share::processes]) for share in range(processes)]
        for share in shares:
            for outcome in share.result():
                report.add(outcome)
    report.took_s = time.monotonic() - started_s
    return report


def _killed_at(seed: int, steps: Sequence[int]) -> list[Outcome]:
    with _prepared() as folder:
        return [play_plan(quiet_plan(seed, step), folder) for step in steps]


@contextmanager
def _prepared() -> Iterator[Path]:
    memory = Path("/dev/shm")
    in_memory = str(memory) if memory.is_dir() else None
    with (
        tempfile.TemporaryDirectory(dir=in_memory) as folder,
        warnings.catch_warnings(),
        clocks.simulated(),
    ):
        warnings.simplefilter("ignore", RuntimeWarning)  # coroutines of killed programs, never awaited
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None  # what a killed program leaves behind
        gc.disable()
        try:
            yield Path(folder)
        finally:
            clocks.forget()
            gc.enable()
            gc.collect()
            sys.unraisablehook = hook


@contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    before = os.environ.get("PYTHONHASHSEED")
    os.environ["PYTHONHASHSEED"] = "0"
    try:
        with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield pool
    finally:
        os.environ.pop("PYTHONHASHSEED")
        if before is not None:
            os.environ["PYTHONHASHSEED"] = before
