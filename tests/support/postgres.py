"""A throw-away PostgreSQL on a loopback port, with a fresh database for whoever asks."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.support.relay_process import free_ports

# PostgreSQL refuses to run as root; Debian's package makes this user
UNPRIVILEGED = "postgres"
START_TIMEOUT_S = 30


def program(name: str) -> str | None:
    """Where a program of PostgreSQL is: Debian keeps those of the server off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


IS_THERE = program("initdb") is not None


@dataclass
class PostgresServer:
    """A running server, reached on 127.0.0.1 without a password."""

    port: int
    _numbers: "count[int]"
    _control: Callable[..., None]

    def new_database(self) -> str:
        """The SQLAlchemy URL of an empty database."""
        name = f"relay_{next(self._numbers)}"
        self._say(f"CREATE DATABASE {name}")
        return f"postgresql+asyncpg://{UNPRIVILEGED}@127.0.0.1:{self.port}/{name}"

    def dump(self, url: str) -> str:
        """Everything in the database as SQL text, binary columns in hex."""
        command = [str(program("pg_dump")), *self._place(), "--inserts", url.rpartition("/")[2]]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def stop(self) -> None:
        """It goes away at once, as by a crash."""
        self._control("pg_ctl", "stop", "-w", "-m", "immediate")

    def start(self) -> None:
        """It is there again."""
        self._control("pg_ctl", "start", *_start_words(self.port))

    def _say(self, statement: str) -> None:
        command = [str(program("psql")), *self._place(), "-d", "postgres", "-q", "-c", statement]
        subprocess.run(command, check=True, capture_output=True)

    def _place(self) -> list[str]:
        return ["-h", "127.0.0.1", "-p", str(self.port), "-U", UNPRIVILEGED, "-w"]


def _start_words(port: int) -> list[str]:
    # no Unix socket, and nothing has to outlive a power cut here
    settings = f"-h 127.0.0.1 -p {port} -k '' -c fsync=off -c max_connections=100"
    return ["-w", "-t", str(START_TIMEOUT_S), "-l", "log", "-o", settings]


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server of its own, ended and wiped at the end."""
    user = UNPRIVILEGED if os.geteuid() == 0 else None
    [port] = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="alongside-postgres-") as name:
        folder = Path(name)
        if user is not None:
            shutil.chown(folder, user)
        cluster = str(folder / "cluster")

        def run(tool: str, *words: str) -> None:
            command = [str(program(tool)), "-D", cluster, *words]
            ended = subprocess.run(
                command, user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            assert ended.returncode == 0, ended.stderr

        run("initdb", "-U", UNPRIVILEGED, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        run("pg_ctl", "start", *_start_words(port))
        try:
            yield PostgresServer(port, count(1), run)
        finally:
            run("pg_ctl", "stop", "-w", "-m", "immediate")
