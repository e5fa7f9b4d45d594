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
    told = subprocess.run(
        [*words, "--scales", "1", "--schemes", "light,dark"], check=True, capture_output=True, text=True
    ).stdout
    made = [Path(line) for line in told.splitlines() if line.endswith(".png")]
    assert [file.name.rsplit("-", 3)[0] for file in made] == [
        "prompt", "prompt-control", "prompt-not-verified", "prompt-verify",
        "indicator", "indicator-not-verified", "indicator-keys-taken", *PERSON_WINDOWS,
    ] * 4  # fmt: skip
    contents = [file.read_bytes() for file in made]
    # an empty window of this size is packed into some hundred bytes
    assert all(content.startswith(b"\x89PNG") and len(content) > 2000 for content in contents)
    apart = len(contents) // 4
    for at, content in enumerate(contents):
        others = [contents[(at + apart * turn) % len(contents)] for turn in (1, 2, 3)]
        # the bar is alike, light or dark: it stands over whatever the desktop shows
        assert content not in others or "indicator" in made[at].name, made[at].name
