"""What a peer sent, on its way into a log: nothing of it can drive the terminal that shows the log."""

import unicodedata
from collections.abc import MutableMapping
from typing import Any

# Cc control (but for the newline, which renderers escape), Cf format, Cs surrogate, Zl and Zp separators
_DRIVING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def plain_text(text: str) -> str:
    """The text with every character escaped that a terminal would act on."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if character != "\n" and unicodedata.category(character) in _DRIVING
        else character
        for character in text
    )


def plain_values(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor, to stand before what formats exceptions, and the renderer."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = plain_text(value)
    return event
