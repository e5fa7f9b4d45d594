"""A command of ours at a terminal: what a person types and reads there, and what others can see of it."""

import fcntl
import os
import pty
import select
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.said import command

LIMIT_S = 30.0


@dataclass
class Terminal:
    """The person's end."""

    process: "subprocess.Popen[bytes]"
    _master: int
    shown: bytes = b""
    visible: list[bytes] = field(default_factory=list)

    def answer(self, question: str, line: str) -> None:
        """Wait for the question, look at what other users could see, and type the line."""
        seen = len(self.shown)
        while question.encode() not in self.shown[seen:]:
            assert self._read(), f"{question!r} was not asked: {self.shown!r}"
        self.look()
        os.write(self._master, line.encode() + b"\n")

    def look(self) -> None:
        """Keep command line and environment of the process, as /proc has them now."""
        for name in ("cmdline", "environ"):
            self.visible.append(Path(f"/proc/{self.process.pid}/{name}").read_bytes())

    def end(self) -> int:
        """Read to the end; the exit status."""
        while self._read():
            pass
        return self.process.wait(LIMIT_S)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], LIMIT_S)
        assert ready, f"nothing more was said: {self.shown!r}"
        try:
            read = os.read(self._master, 4096)
        except OSError:  # EIO: the other end is closed
            return False
        self.shown += read
        return bool(read)


@contextmanager
def at_terminal(program: str, *words: str) -> Iterator[Terminal]:
    """Start the program with a terminal of its own; it is killed at the end if it still runs."""
    master, slave = pty.openpty()
    try:
        process = subprocess.Popen(
            command(program, *words),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
    finally:
        os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)
