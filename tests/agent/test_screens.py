"""The command that takes pictures of our windows shows each of them."""

import pytest
from PIL import Image

from agent.desktop.language import PSEUDO_NAME
from tests.screens import pictures

pytestmark = pytest.mark.real


def test_every_window_is_pictured_in_the_language_that_was_asked_for(tmp_path):
    made = pictures(tmp_path, ["en", PSEUDO_NAME], [1.0])
    assert [file.name.rsplit("-", 2)[0] for file in made] == [
        "prompt", "prompt-not-verified", "indicator", "prompt", "prompt-not-verified", "indicator",
    ]  # fmt: skip
    images = [Image.open(file).convert("RGB") for file in made]
    assert all(len(image.getcolors(1 << 24)) > 20 for image in images)
    assert images[0].tobytes() != images[3].tobytes()
