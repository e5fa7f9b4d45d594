"""`python -I -m agent.exec BOOK`: for one order, which comes on standard input (a pipe or a socket)."""

import sys
from pathlib import Path

from agent.exec.guardian import guarded


def _work() -> None:
    from agent.exec.book import CommandBook  # here: the guardian stays small
    from agent.exec.worker import serve

    serve(sys.stdin.fileno(), sys.stdout.fileno(), CommandBook(Path(sys.argv[1])))


guarded(_work)
