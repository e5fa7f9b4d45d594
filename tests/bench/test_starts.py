"""Starting and ending the screen leaves nothing behind; the thousand are `python -m tests.bench.starts`."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.bench.starts import GROWTH_LIMIT_MIB, Counted, Held, complaints

STARTS = 25
HELD = Held(own_mib=30.0, descriptors=11, threads=2, children=1)
QUIET = Counted({"service": HELD}, segments=0)


def test_what_is_as_before_is_no_complaint():
    assert complaints(QUIET, QUIET, []) == []


@pytest.mark.parametrize(
    ("last", "left", "word"),
    [
        (replace(QUIET, segments=1), [], "segments"),
        (QUIET, [4711], "workers"),
        (Counted({"service": replace(HELD, own_mib=30.1 + GROWTH_LIMIT_MIB)}, 0), [], "MiB"),
        (Counted({"service": replace(HELD, descriptors=12)}, 0), [], "descriptors"),
        (Counted({"service": replace(HELD, threads=3)}, 0), [], "threads"),
        (Counted({"service": replace(HELD, children=2)}, 0), [], "children"),
    ],
)
def test_whatever_is_left_behind_is_a_complaint(last, left, word):
    [said] = complaints(QUIET, last, left)
    assert word in said


@pytest.mark.real
def test_25_starts_of_the_real_worker_leave_nothing_behind(record_property):
    words = [sys.executable, "-m", "tests.bench.starts", "--starts", str(STARTS), "--json"]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    result = json.loads(ran.stdout.splitlines()[-1])
    for role, held in result["last"]["processes"].items():
        grown = held["own_mib"] - result["first"]["processes"][role]["own_mib"]
        record_property(f"{role}, MiB more after {STARTS} starts", grown)
    assert result["complaints"] == [], ran.stderr
    assert result["starts"] == STARTS
    assert ran.returncode == 0
