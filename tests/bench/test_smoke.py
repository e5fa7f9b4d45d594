"""The benchmark itself, short, on our own product."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]
NEEDED = ("Xvfb", "openbox", "chromium", "ss")


@pytest.mark.timeout(200)
@pytest.mark.parametrize("link", [[], ["--link", "40ms/20mbit"]], ids=["loopback", "shaped"])
def test_typing_is_seen_and_exact_at_rest(tmp_path_factory, link):
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"install {', '.join(missing)}: python -m tests.bench.screen --install")
    folder = tmp_path_factory.mktemp("smoke")  # a short name: a socket's path below it has at most 107 bytes
    words = ["--json", "--seconds", "3", "--workloads", "typing", "--keep", str(folder), *link]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.bench.screen", *words],
        cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    results = json.loads(ended.stdout)
    (row,) = results["products"]["alongside"]
    assert row["seen"] >= row["drawn"] - 1 > 8
    assert row["is_exact_at_rest"]
    assert row["latency_ms"]["median"] >= (20 if link else 0)
    assert 0 < row["kbit_s_to_viewer"] < 1000
    assert set(row["cpu_percent"]) >= {
        "agent service",
        "agent desktop",
        "screen worker",
        "relay",
        "client",
        "browser",
    }
