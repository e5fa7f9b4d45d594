"""Idle cost: the judgement, and a moment of the real thing; five minutes are `python -m tests.bench.idle`."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.idle import RESIDENT_LIMIT_MIB, Counts, Memory, Moment, idle_agent, memory_of, result

COUNTS = Counts(processor_ns=10**9, wake_ups=100, written_bytes=4096)
FIRST = Moment(0.0, {"service": COUNTS, "desktop": COUNTS}, 5000, 40, {"audit.jsonl": (1, 10, 7, 7)})
LAST = replace(FIRST, at_s=100.0)
SMALL = {"service": Memory(50.0, 35.0, 30.0), "desktop": Memory(39.0, 28.0, 25.0)}

VARIES_MIB = 3.0
"""How many pages of its libraries are resident hangs on what else runs; the benchmark judges by the limit."""


def busy(**more: int) -> Moment:
    """The service did this much more; the desktop process nothing."""
    grown = {name: getattr(COUNTS, name) + count for name, count in more.items()}
    return replace(LAST, counts={**LAST.counts, "service": replace(COUNTS, **grown)})


def test_an_agent_that_does_nothing_is_no_complaint() -> None:
    assert result(FIRST, LAST, SMALL).complaints == []


def test_traffic_is_scaled_to_a_day_and_counted_with_headers() -> None:
    found = result(FIRST, replace(LAST, carried_bytes=6000, packets=50), SMALL)
    assert found.traffic_mb_a_day == 0.86
    assert found.traffic_with_headers_mb_a_day == 1.31


@pytest.mark.parametrize(
    ("last", "word"),
    [
        (busy(processor_ns=3 * 10**8), "of a core"),
        (busy(written_bytes=1), "service wrote"),
        (replace(LAST, carried_bytes=8000), "traffic"),
        (replace(LAST, files={"audit.jsonl": (1, 10, 8, 8)}), "audit.jsonl changed"),
        (replace(LAST, files={}), "audit.jsonl changed"),
        (replace(LAST, files={**LAST.files, "new": (2, 0, 0, 0)}), "new changed"),
    ],
)
def test_whatever_passes_a_limit_is_a_complaint(last: Moment, word: str) -> None:
    [said] = result(FIRST, last, SMALL).complaints
    assert word in said


def test_too_much_memory_is_a_complaint() -> None:
    [said] = result(FIRST, LAST, {**SMALL, "third": Memory(2.0, 1.0, 1.0)}).complaints
    assert said == "91.0 MiB are resident"


@pytest.mark.real
def test_the_real_agent_is_within_its_memory_and_writes_nothing(tmp_path: Path) -> None:
    with idle_agent(tmp_path) as agent:
        first = agent.look()
        memory = {role: memory_of(pid) for role, pid in agent.pids.items()}
        last = agent.look()
    assert sum(each.resident for each in memory.values()) <= RESIDENT_LIMIT_MIB + VARIES_MIB, memory
    assert {role: counts.written_bytes for role, counts in last.counts.items()} == {
        role: counts.written_bytes for role, counts in first.counts.items()
    }
