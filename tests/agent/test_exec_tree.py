"""Ending what is below a process: each of the two ways to find it is enough where the other finds nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
# a tree of two, one of which has left its session and its parent; a word says which ways are blinded
PROBE = """
import os, sys, time
sys.path.insert(0, sys.argv[2])
from agent.exec import tree
from agent.exec.limits import adopt_descendants
adopt_descendants()
reading, writing = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
    os.write(writing, b"x")
    time.sleep(60)
os.close(writing)
for _ in range(2):
    os.read(reading, 1)
both = tree.stop_and_kill, tree._children
if sys.argv[1] != "all at once":
    tree.stop_and_kill = lambda: None
if sys.argv[1] != "one by one":
    tree._children = lambda: []
end = lambda: tree.kill_descendants(lambda: tree.reap_children(lambda pid, status: None))
print(end(), len(tree.living_descendants()))
tree.stop_and_kill, tree._children = both
print(end(), len(tree.living_descendants()))
"""


@pytest.mark.parametrize(
    ("way", "said"), [("one by one", "True 0"), ("all at once", "True 0"), ("neither", "False 2")]
)
def test_a_tree_is_ended_by_either_way_and_said_to_be_left_by_neither(way: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROBE, way, str(ROOT)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout.splitlines() == [said, "True 0"], done.stderr
