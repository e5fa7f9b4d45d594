"""Texts of a hostile device made fit to be shown: names, snapshots, command output."""

import codecs
import unicodedata
from typing import Any

from protocol.names import shown_text

_SNAPSHOT_TEXT_LIMIT_CHARS = 256
_KEPT = frozenset("\n\t")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def shown_tree(value: Any) -> Any:
    """A copy of a tree of built-in values in which every text is bounded and without hidden characters."""
    if isinstance(value, str):
        return shown_text(value, _SNAPSHOT_TEXT_LIMIT_CHARS)
    if isinstance(value, list):
        return [shown_tree(item) for item in value]
    if isinstance(value, dict):
        return {key: shown_tree(item) for key, item in value.items()}
    return value


class OutputText:
    """Turns the bytes of one output stream into text, whatever the cuts; control characters become U+FFFD."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, chunk: bytes) -> str:
        """The text that this chunk completed."""
        return "".join(map(_shown_character, self._decoder.decode(chunk))).replace("\r", "")


def _shown_character(character: str) -> str:
    if character in _KEPT or character == "\r":
        return character
    return "\ufffd" if unicodedata.category(character) in _HIDDEN else character
