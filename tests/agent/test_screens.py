"""The command that takes pictures of our windows shows each of them."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.desktop.language import PSEUDO_NAME
from tests.screens import PERSON_WINDOWS

pytestmark = pytest.mark.real


def test_every_window_is_pictured_in_the_language_that_was_asked_for(tmp_path):
    # a process of its own: Tk keeps each display that it was on, and ends with the first that goes away
    words = [sys.executable, "-m", "tests.screens", str(tmp_path), "--languages", f"en,{PSEUDO_NAME}"]
    told = subprocess.run([*words, "--scales", "1"], check=True, capture_output=True, text=True).stdout
    made = [Path(line) for line in told.splitlines() if line.endswith(".png")]
    assert [file.name.rsplit("-", 2)[0] for file in made] == [
        "prompt", "prompt-not-verified", "indicator", *PERSON_WINDOWS,
    ] * 2  # fmt: skip
    contents = [file.read_bytes() for file in made]
    # an empty window of this size is packed into some hundred bytes
    assert all(content.startswith(b"\x89PNG") and len(content) > 2000 for content in contents)
    assert not set(contents[: len(contents) // 2]) & set(contents[len(contents) // 2 :])
