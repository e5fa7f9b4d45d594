"""The command that takes pictures of our windows shows each of them."""

import pytest

from agent.desktop.language import PSEUDO_NAME
from tests.screens import PERSON_WINDOWS, pictures

pytestmark = pytest.mark.real


def test_every_window_is_pictured_in_the_language_that_was_asked_for(tmp_path):
    made = pictures(tmp_path, ["en", PSEUDO_NAME], [1.0])
    assert [file.name.rsplit("-", 2)[0] for file in made] == [
        "prompt", "prompt-not-verified", "indicator", *PERSON_WINDOWS,
    ] * 2  # fmt: skip
    contents = [file.read_bytes() for file in made]
    # an empty window of this size is packed into some hundred bytes
    assert all(content.startswith(b"\x89PNG") and len(content) > 2000 for content in contents)
    assert not set(contents[: len(contents) // 2]) & set(contents[len(contents) // 2 :])
