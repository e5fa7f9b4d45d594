"""Asking the person at the terminal whether something is meant."""

import sys

import typer

from protocol.errors import UsageError


def confirm(question: str) -> None:
    """Go on after a yes; anything else ends the command.

    Raises:
        UsageError: nobody can be asked. typer.Abort: the answer is no.
    """
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked whether this is meant; give --yes")
    typer.confirm(question, abort=True, err=True)
