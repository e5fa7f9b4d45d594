"""The console's style sheet: legible light and dark, and still where the person wants it still."""

import re
from pathlib import Path

import pytest

import technician_client.console
from agent.desktop.drawing import contrast

STYLE = (Path(technician_client.console.__file__).parent / "static" / "style.css").read_text("utf-8")
TEXT_PAIRS = (
    *(
        (ink, ground)
        for ink in ("text", "muted", "accent")
        for ground in ("ground", "surface", "raised", "sunken")
    ),
    *((ink, ground) for ink in ("good", "warn", "bad") for ground in ("surface", f"{ink}-soft")),
    ("on-accent", "accent"),
    ("on-accent", "accent-hover"),
    ("on-bad", "bad"),
    ("on-bad", "bad-hover"),
    ("text", "accent-soft"),
)
OUTLINE_PAIRS = tuple(
    (line, ground) for line in ("line-strong", "accent") for ground in ("ground", "surface")
)


def block(start: str) -> str:
    """What stands in the braces after this."""
    at = STYLE.index(start) + len(start)
    depth, end = 1, STYLE.index("{", at) + 1
    begin = end
    while depth:
        depth += {"{": 1, "}": -1}.get(STYLE[end], 0)
        end += 1
    return STYLE[begin : end - 1]


def colours(of: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", of))


LIGHT = colours(block(":root"))
DARK = LIGHT | colours(block("@media (prefers-color-scheme: dark)"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_of_the_console_has_a_contrast_of_four_and_a_half_and_every_outline_one_of_three(
    scheme: str,
) -> None:
    known = {"light": LIGHT, "dark": DARK}[scheme]
    for least, pairs in ((4.5, TEXT_PAIRS), (3.0, OUTLINE_PAIRS)):
        for first, second in pairs:
            assert contrast(known[first], known[second]) >= least, (first, second)


def test_dark_has_its_own_of_every_colour() -> None:
    assert colours(block("@media (prefers-color-scheme: dark)")).keys() == LIGHT.keys()


def test_nothing_moves_for_whoever_prefers_less_motion() -> None:
    moving = block("@media (prefers-reduced-motion: no-preference)")
    assert "transition:" in moving
    assert "animation:" in moving
    elsewhere = STYLE.replace(moving, "")
    assert not re.search(r"\b(transition|animation|animation-name|scroll-behavior)\s*:", elsewhere)
