"""What a command says: results on standard output, everything meant for a person's eye on standard error."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from rich.console import Console, RenderableType
from rich.text import Text

from protocol.errors import ErrorCode, SupportError, exit_status
from protocol.names import shown_text

DETAIL_LIMIT_CHARS = 400
PIPE_WIDTH_CHARS = 200  # no line of a table is folded for a program that reads it
# for these the registry's sentence is empty words beside what the detail says
_DETAIL_IS_THE_SENTENCE = frozenset({ErrorCode.E_USAGE, ErrorCode.E_CONFIG})

JsonObject: TypeAlias = Mapping[str, Any]  # what json.dumps takes; the values are ours


class Output:
    """One command's output. With `is_json`, tables are left out and one JSON document is printed."""

    def __init__(self, *, is_json: bool) -> None:
        self.is_json = is_json
        width = None if sys.stdout.isatty() else PIPE_WIDTH_CHARS
        self._results = Console(file=sys.stdout, markup=False, highlight=False, emoji=False, width=width)
        self._remarks = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)

    def result(self, document: JsonObject, *shown: RenderableType) -> None:
        """The command's answer: the document with --json, else what is shown to a person."""
        if self.is_json:
            self.line(document)
            return
        for renderable in shown:
            self._results.print(renderable, soft_wrap=isinstance(renderable, Text))

    def line(self, document: JsonObject) -> None:
        """One JSON line on standard output, at once."""
        print(json.dumps(document), flush=True)

    def remark(self, text: str) -> None:
        """A sentence for the person, beside the answer."""
        self._remarks.print(Text(text), soft_wrap=True)

    @contextmanager
    def working(self, text: str) -> Iterator[None]:
        """Shows that something takes its time; only where a person looks at a terminal."""
        if not self._remarks.is_terminal:
            yield
            return
        with self._remarks.status(Text(text)):
            yield


def report_error(error: SupportError, *, is_json: bool) -> int:
    """Tell what happened, what to do next and the code; returns the exit status."""
    sentence, remedy = error.text
    detail = shown_text(error.detail, DETAIL_LIMIT_CHARS)
    if is_json:
        fields = {"code": str(error.code), "sentence": sentence, "detail": detail, "remedy": remedy}
        print(json.dumps({"error": fields}), flush=True)
    print("\n".join(error_lines(error)), file=sys.stderr, flush=True)
    return int(exit_status(error.code))


def error_lines(error: SupportError) -> list[str]:
    """The three lines a person reads for an error."""
    sentence, remedy = error.text
    detail = shown_text(error.detail, DETAIL_LIMIT_CHARS)
    if error.code in _DETAIL_IS_THE_SENTENCE and detail:
        sentence, detail = _as_sentence(detail), ""
    if detail:
        sentence = f"{sentence.rstrip('.')} ({detail})."
    return [f"Error: {sentence}", f"  What to do: {remedy}", f"  Code: {error.code}"]


def _as_sentence(detail: str) -> str:
    first = detail.partition(" ")[0]
    start = detail[0].upper() if first.isalpha() else detail[0]  # a path or an address stays as it is
    return f"{start}{detail[1:].rstrip('.')}."
