"""Texts from a peer that a person will read: bounded, on one line, without control or direction tricks."""

import unicodedata

from protocol.limits import NAME_LIMIT_CHARS, REASON_LIMIT_CHARS

# Cc control, Cf format (bidirectional overrides, zero width), Cs surrogate, Co private, Zl and Zp separators
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def shown_text(text: str, limit_chars: int) -> str:
    """The text as it may be shown: NFC, hidden characters replaced by U+FFFD, cut with an ellipsis.

    Source: Unicode Technical Report 36, sections 2 and 3 (bidirectional and invisible characters).
    """
    cut = text[: limit_chars * 2]
    plain = "".join(
        "\ufffd" if unicodedata.category(character) in _HIDDEN else character
        for character in unicodedata.normalize("NFC", " ".join(cut.split()))
    )
    return plain if len(plain) <= limit_chars else plain[: limit_chars - 1] + "…"


def shown_name(text: str) -> str:
    """A person's, device's or organisation's name as it may be shown; never empty."""
    return shown_text(text, NAME_LIMIT_CHARS) or "(no name)"


def shown_reason(text: str) -> str:
    """The technician's free text as it may be shown; may be empty."""
    return shown_text(text, REASON_LIMIT_CHARS)
