"""A memory limit around a program: a control group where one can be made, else an rlimit for each process."""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")
REMOVED_S = 20.0


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """What holds. `kills` and `used_bytes` are known of a control group alone, else 0."""

    group: Path | None
    limit_bytes: int

    @property
    def words(self) -> list[str]:
        """What a command line begins with, so that the program is held to it from its first page."""
        if self.group is None:
            return ["prlimit", f"--data={self.limit_bytes}", "--"]
        return ["sh", "-c", f'echo $$ > {self.group}/cgroup.procs && exec "$@"', "sh"]

    def kills(self) -> int:
        """How many processes the kernel has killed to keep the limit."""
        if self.group is None:
            return 0
        file = self.group / ("memory.events" if self._is_v2 else "memory.oom_control")
        words = dict(line.split() for line in file.read_text().splitlines())
        return int(words["oom_kill"])

    def used_bytes(self) -> int:
        """The most that they have held together."""
        if self.group is None:
            return 0
        name = "memory.peak" if self._is_v2 else "memory.max_usage_in_bytes"
        return int((self.group / name).read_text())

    @property
    def _is_v2(self) -> bool:
        assert self.group is not None
        return (self.group / "memory.events").exists()


@contextlib.contextmanager
def memory_limit(limit_bytes: int) -> Iterator[MemoryLimit]:
    """So much for all that is started by its words together; without a group for each process by itself."""
    group = _make_group(limit_bytes)
    try:
        yield MemoryLimit(group, limit_bytes)
    finally:
        if group is not None:
            _remove(group)


def _remove(group: Path) -> None:
    """Once the last process in it is gone, which may take the kernel a moment."""
    deadline_s = time.monotonic() + REMOVED_S
    while True:
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.05)
        else:
            return


def _make_group(limit_bytes: int) -> Path | None:
    """A fresh group with this limit; None where this user cannot make one."""
    for root, name in ((_V1, "memory.limit_in_bytes"), (_V2, "memory.max")):
        group = root / f"alongside-test-{os.getpid()}"
        try:
            group.mkdir()
            if (group / name).exists():
                (group / name).write_text(str(limit_bytes))
                return group
            group.rmdir()
        except OSError:
            with contextlib.suppress(OSError):
                group.rmdir()
    return None
