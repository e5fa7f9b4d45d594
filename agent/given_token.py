"""Where a join token comes from: a file, standard input or, at its own risk, the command line.

Every user of a computer can read the words that a program was started with. A token among them is taken off
at once: the program starts itself anew with "-" in its place and the token on standard input.
"""

import os
import select
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.state import read_bounded
from protocol.errors import EnvironmentFault, ErrorCode, UsageError
from protocol.ids import JOIN_PREFIX
from protocol.limits import JOIN_TOKEN_LIMIT_CHARS

if TYPE_CHECKING:
    from protocol.join_token import JoinToken

STANDARD_INPUT: Final = "-"
WAS_SHOWN_OPTION: Final = "--token-was-shown"
_COMMAND: Final = "join"
_LIMIT_BYTES: Final = 2 * JOIN_TOKEN_LIMIT_CHARS


@dataclass(frozen=True, slots=True)
class GivenToken:
    """A token's text, and whether it stood on the command line, where everybody could read it."""

    text: str
    was_shown: bool


def given_token(word: str, token_file: str, *, was_shown: bool) -> GivenToken:
    """The token: from the file, from standard input for "-", asked for at a terminal, or the word itself.

    Raises:
        UsageError: two were given, or none and nobody can be asked, or the file cannot be read.
    """
    if word and token_file:
        raise UsageError("give one token: by --token-file FILE, or - for standard input")
    source = token_file or word
    if not source and not sys.stdin.isatty():
        raise UsageError("a join token is needed: give --token-file FILE, or - for standard input")
    if source in ("", STANDARD_INPUT):
        return GivenToken(_from_standard_input(), was_shown)
    if word:
        return GivenToken(word, was_shown=True)
    return GivenToken(_from_file(Path(token_file)), was_shown=False)


def require_unshown(token: "JoinToken", given: GivenToken) -> None:
    """Refuse a token that others may have read and could use as well.

    One that works once is taken: it is used up by this very command, or the command fails and says so.

    Raises:
        UsageError: E_TOKEN_SHOWN.
    """
    if given.was_shown and token.uses_limit != 1:
        raise UsageError(f"its serial begins with {token.serial[:12]}", code=ErrorCode.E_TOKEN_SHOWN)


def restart_without_token() -> None:
    """Take a token off this process's words by starting the program anew; returns where there is none.

    Not on Windows, where a new program would not have this one's process id.
    """
    words = without_token(sys.orig_argv[1:])
    if words is None or os.name == "nt":
        return
    token = next(word for word in sys.orig_argv if word.startswith(JOIN_PREFIX)).encode("utf-8", "replace")
    if len(token) > select.PIPE_BUF:  # no token is as long; it is refused as damaged
        return
    reading, writing = os.pipe()
    os.write(writing, token)
    os.close(writing)
    os.dup2(reading, sys.stdin.fileno())
    os.execv(sys.executable, [sys.executable, *words])  # noqa: S606 - this very program, no shell


def without_token(words: Sequence[str]) -> list[str] | None:
    """These words with every token replaced by "-", and a note that there was one; None without one."""
    tokens = [place for place, word in enumerate(words) if word.startswith(JOIN_PREFIX)]
    if not tokens or _COMMAND not in words[: tokens[0]]:
        return None
    plain = [STANDARD_INPUT if place in tokens else word for place, word in enumerate(words)]
    after_command = plain.index(_COMMAND) + 1
    return [*plain[:after_command], WAS_SHOWN_OPTION, *plain[after_command:]]


def _from_standard_input() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.read(_LIMIT_BYTES)
    try:
        return getpass("Join token (it is not shown): ")
    except EOFError:
        raise UsageError("no join token was given") from None


def _from_file(path: Path) -> str:
    try:
        return read_bounded(path, _LIMIT_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except EnvironmentFault as exc:
        raise UsageError(f"the token cannot be read from {exc.detail}") from None
