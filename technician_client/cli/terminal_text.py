"""Bytes of a remote program as text that cannot drive our terminal."""

import codecs
import unicodedata

_KEPT = frozenset("\n\t")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
REPLACEMENT = "\ufffd"


class TerminalText:
    """Decodes UTF-8 that comes in pieces; control characters other than tab and newline are replaced.

    Without that, output could set the window's title, answer questions, or rewrite what was printed
    (ECMA-48 control sequences). A carriage return becomes a new line.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._has_return = False

    def feed(self, chunk: bytes) -> str:
        """The text of this piece; the start of a cut character waits for the next one."""
        return self._shown(self._decoder.decode(chunk))

    def end(self) -> str:
        """What was still waiting."""
        return self._shown(self._decoder.decode(b"", final=True))

    def _shown(self, text: str) -> str:
        shown: list[str] = []
        for character in text:
            if self._has_return and character != "\n":
                shown.append("\n")
            self._has_return = character == "\r"
            if self._has_return:
                continue
            is_plain = character in _KEPT or unicodedata.category(character) not in _HIDDEN
            shown.append(character if is_plain else REPLACEMENT)
        return "".join(shown)
