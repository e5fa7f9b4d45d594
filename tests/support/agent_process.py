"""A real `alongside-agent run` without a display, which a test may kill, starve of disk, and start again."""

import json
import os
import resource
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.said import command


class AgentProcess:
    """Runs on a data folder that has joined; its log is `log_text`."""

    def __init__(self, data: Path, inside: Sequence[str] = ()) -> None:
        """`inside`: the words that start a program in other surroundings."""
        self.data = data
        self._inside = inside
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket_path(self) -> Path:
        """Where a desktop process connects."""
        return self.data / "run" / "agent.sock"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Start, and wait until its link is there."""
        words = [*self._inside, *command("alongside-agent", "run", "--data", str(self.data), "--json")]
        environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
        with (self.data / "log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, env=environment)
        assert self._process.stdout is not None
        ready = json.loads(self._process.stdout.readline())
        assert ready["link"] == "connected", ready
        return self

    def kill(self) -> None:
        """SIGKILL: nothing of it runs any further."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As a service manager would."""
        self._end(signal.SIGTERM)

    def fill_disk(self) -> None:
        """From now on its audit log cannot grow by a byte (EFBIG, as ENOSPC would be)."""
        size = (self.data / "audit.jsonl").stat().st_size
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, hard))

    def free_disk(self) -> None:
        """It can grow again."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (hard, hard))

    def log_text(self) -> str:
        """Everything it wrote to standard error."""
        return (self.data / "log").read_text()

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.wait(15)
        if process.stdout is not None:
            process.stdout.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
