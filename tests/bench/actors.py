"""Child programs of the benchmark: started with a ready line, given a go, and ended by their pid."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
READY_TIMEOUT_S = 40.0
STOP_TIMEOUT_S = 5.0
LOOK_EVERY_S = 0.02


class ActorFailed(Exception):
    """A program of the benchmark or a peer did not do its part."""


class Actor:
    """One of our own programs that speaks lines."""

    def __init__(self, module: str, words: Sequence[str]) -> None:
        self.name = module
        self.child = subprocess.Popen(
            [sys.executable, "-m", f"tests.bench.{module}", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True,
        )  # fmt: skip
        self.line(READY_TIMEOUT_S)

    def go(self) -> None:
        """It may begin."""
        assert self.child.stdin is not None
        self.child.stdin.write("go\n")
        self.child.stdin.flush()

    def line(self, timeout_s: float) -> str:
        """Its next line.

        Raises:
            ActorFailed: it ended or said nothing.
        """
        assert self.child.stdout is not None
        ready, _, _ = select.select([self.child.stdout], [], [], timeout_s)
        said = self.child.stdout.readline() if ready else ""
        if not said:
            raise ActorFailed(f"{self.name} said nothing for {timeout_s:.0f} s (status {self.child.poll()})")
        return said

    def answer(self, timeout_s: float) -> Any:
        """Its next line, as JSON."""
        return json.loads(self.line(timeout_s))

    def end(self) -> None:
        """Close its input; kill it if that does not help."""
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        end_family(self.child)


@contextmanager
def acting(module: str, *words: str) -> Iterator[Actor]:
    """An actor, ended at the end."""
    actor = Actor(module, words)
    try:
        yield actor
    finally:
        actor.end()


def end_family(child: "subprocess.Popen[Any]") -> None:
    """End a program and everything it started, by pid."""
    family: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(child.pid)
        family = [parent, *parent.children(recursive=True)]
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(STOP_TIMEOUT_S)
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    child.wait(STOP_TIMEOUT_S)


@contextmanager
def running(
    words: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A program of somebody else, its output in a log, ended with its children."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env={**os.environ, **(environment or {})}, start_new_session=True,
        )  # fmt: skip
    try:
        yield child
    finally:
        end_family(child)


def until_said(file: Path, text: str, timeout_s: float) -> None:
    """Wait for a text in a program's log.

    Raises:
        ActorFailed: it does not come.
    """
    deadline_s = time.monotonic() + timeout_s
    while text not in file.read_text(errors="replace"):
        if time.monotonic() > deadline_s:
            raise ActorFailed(f"{file.name}: {text!r} did not come; it ends with {file.read_text()[-300:]!r}")
        time.sleep(LOOK_EVERY_S)
