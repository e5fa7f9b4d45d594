"""`python -m tests.simulate`: schedules on all cores, traces of failing ones, proofs that it can fail."""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from tests.simulate.many import Report, killed_at_every_step, prove, run_many, run_one
from tests.simulate.plan import Mode


def main(words: Sequence[str] | None = None) -> int:
    """The exit status: 0 when nothing was broken (or, with --prove, when every mutation was found)."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many schedules")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--mode", choices=[*Mode, "both"], default="both", help="half of each with 'both'")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--limit-s", type=float, default=0.0, help="begin no further schedules after so long")
    parser.add_argument("--trace", type=int, metavar="SEED", help="run this one seed and print what happened")
    parser.add_argument(
        "--prove", action="store_true", help="break the core on purpose; find it within --seeds"
    )
    parser.add_argument(
        "--every-step", type=int, metavar="SEED", help="one visit, the agent killed at each turn of the loop"
    )
    parser.add_argument("--stride", type=int, default=1, help="with --every-step: at each so many turns")
    parser.add_argument("--json", action="store_true", help="the report as JSON on standard output")
    given = parser.parse_args(words)
    if given.trace is not None:
        return _trace(given.trace, _modes(given.mode))
    if given.prove:
        return _prove(given.seeds, given.processes, as_json=given.json)
    if given.every_step is not None:
        report = killed_at_every_step(given.every_step, given.stride, given.processes)
        _say(report, as_json=given.json)
        return 1 if report.violations else 0
    report = run_many(
        range(given.start, given.start + given.seeds), _modes(given.mode), given.processes, given.limit_s
    )
    _say(report, as_json=given.json)
    return 1 if report.violations else 0


def _modes(word: str) -> tuple[Mode, ...]:
    return tuple(Mode) if word == "both" else (Mode(word),)


def _trace(seed: int, modes: tuple[Mode, ...]) -> int:
    outcomes = [run_one(seed, mode) for mode in modes]
    for outcome in outcomes:
        sys.stdout.write(f"seed {seed}, {outcome.mode}, fingerprint {outcome.fingerprint[:16]}\n")
        sys.stdout.writelines(f"  {line}\n" for line in outcome.trace)
    return 1 if any(outcome.violation for outcome in outcomes) else 0


def _prove(seeds: int, processes: int, *, as_json: bool) -> int:
    found = prove(seeds, processes)
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
    for name, proof in found.items():
        sys.stderr.write(f"{name}: {proof['seeds_needed'] or 'NOT FOUND'}  {proof['violation']}\n")
    return 0 if all(proof["seeds_needed"] for proof in found.values()) else 1


def _say(report: Report, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(report.document()) + "\n")
    for seed, mode, text, trace in report.violations:
        sys.stderr.write(f"seed {seed} ({mode}): {text}\n")
        sys.stderr.writelines(f"  {line}\n" for line in trace)
        sys.stderr.write(f"again: python -m tests.simulate --mode {mode} --trace {seed}\n")
    sys.stderr.write(f"{report.summary()}\n")


if __name__ == "__main__":
    sys.exit(main())
