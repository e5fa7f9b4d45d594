"""A program whose log lies on a full disk goes on."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

SCRIPT = """
import sys
from protocol.runtime import outlive_a_full_disk
if sys.argv[1] == "yes":
    outlive_a_full_disk("stderr")
for _ in range(100):
    print("x" * 1000, file=sys.stderr, flush=True)
print("came to its end")
"""


@pytest.mark.parametrize(("is_protected", "output"), [("yes", "came to its end\n"), ("no", "")])
def test_a_full_disk_under_standard_error_ends_only_a_program_that_did_not_ask(
    is_protected: str, output: str
) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-c", SCRIPT, is_protected], stdout=subprocess.PIPE, stderr=full, text=True
        )
    assert ended.stdout == output
    assert (ended.returncode == 0) == (is_protected == "yes")
