"""Right-to-left text for Tk, which on X11 neither joins Arabic letters nor orders what runs from the right.

What a label gets here is what stands on the screen from left to right, line by line: letters in their
joined forms, wrapped, and each line then ordered by the Unicode Bidirectional Algorithm (UAX #9). Names
stand between FSI and PDI in the text; each is ordered by itself and moves nothing around it. Imported only
where the language runs from the right.
"""

import unicodedata
from collections.abc import Callable
from functools import lru_cache

import arabic_reshaper
from bidi.algorithm import get_display

LRI, RLI, FSI, PDI = "\u2066", "\u2067", "\u2068", "\u2069"
_OPENING = (LRI, RLI)
# "symbol for null" and its like, which nobody writes: neutral, as UAX #9 has isolates seen from outside
_PLACES = tuple(chr(code) for code in range(0x2400, 0x2420))
_FROM_RIGHT = ("R", "AL")

Measure = Callable[[str], int]


def on_screen(text: str, width: int, measure: Measure) -> str:
    """The text as Tk has to draw it, in lines of at most `width` pixels, which `measure` counts."""
    lines = []
    for paragraph in text.split("\n"):
        joined = _joiner().reshape(paragraph) if paragraph else ""
        runs_right = runs_from_right(paragraph)
        for line in _wrapped(_directed(joined), width, lambda part: measure(_without_isolates(part))):
            lines.append(_ordered(line, from_right=runs_right))
    return "\n".join(lines)


def runs_from_right(text: str) -> bool:
    """Whether any letter of it does: digits alone, codes and addresses keep their order."""
    return any(unicodedata.bidirectional(letter) in _FROM_RIGHT for letter in text)


@lru_cache(maxsize=1)
def _joiner() -> arabic_reshaper.ArabicReshaper:
    return arabic_reshaper.ArabicReshaper({"delete_harakat": True, "support_ligatures": True})


def _directed(text: str) -> str:
    """Each isolate with the direction that its first letter gives it, so that a part of it keeps that."""
    return "".join(
        (RLI if _first_strong(text[at + 1 :]) else LRI) if letter == FSI else letter
        for at, letter in enumerate(text)
    )


def _first_strong(text: str) -> bool:
    """UAX #9, P2 and P3: whether the first letter of this isolate, outside of inner ones, does."""
    depth = 0
    for letter in text:
        depth += (letter in (LRI, RLI, FSI)) - (letter == PDI)
        if depth < 0:
            return False
        kind = unicodedata.bidirectional(letter)
        if depth == 0 and kind in ("L", *_FROM_RIGHT):
            return kind in _FROM_RIGHT
    return False


def _wrapped(text: str, width: int, measure: Measure) -> list[str]:
    """Lines of whole words, or of letters where one word is wider; an isolate that goes on is opened anew."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if measure(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while measure(line) > width and len(line) > 1:
            at = next((n for n in range(len(line) - 1, 1, -1) if measure(line[:n]) <= width), 1)
            lines.append(line[:at])
            line = line[at:]
    lines.append(line)
    return _closed(lines)


def _closed(lines: list[str]) -> list[str]:
    whole: list[str] = []
    going_on: list[str] = []
    for line in lines:
        opened = "".join(going_on) + line
        for letter in line:
            if letter in _OPENING:
                going_on.append(letter)
            elif letter == PDI and going_on:
                going_on.pop()
        whole.append(opened + PDI * len(going_on))
    return whole


def _ordered(line: str, *, from_right: bool) -> str:
    """One line from left to right; isolates are ordered by themselves and stand in their places."""
    outside, inside = _taken_apart(line)
    shown = str(get_display(outside, base_dir="R" if from_right else "L"))
    for place, (opening, content) in inside.items():
        shown = shown.replace(place, _ordered(content, from_right=opening == RLI))
    return shown


def _taken_apart(line: str) -> tuple[str, dict[str, tuple[str, str]]]:
    """The line with a mark for each outermost isolate, and how that opens and goes on."""
    outside, depth, place = "", 0, ""
    inside: dict[str, tuple[str, str]] = {}
    free = iter(_PLACES)
    for letter in line:
        if letter in _OPENING:
            depth += 1
            if depth == 1:
                place = next(free, "")
                outside += place
                inside[place] = (letter, "")
                continue
        elif letter == PDI:
            depth = max(0, depth - 1)
            if depth == 0:
                continue
        if depth:
            inside[place] = (inside[place][0], inside[place][1] + letter)
        elif letter not in _PLACES:
            outside += letter
    inside.pop("", None)
    return outside, inside


def _without_isolates(text: str) -> str:
    return "".join(letter for letter in text if letter not in (LRI, RLI, PDI))
