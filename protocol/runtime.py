"""What a program of ours does to its own process before anything else."""

import io
import sys
from typing import Any


class _Unfailing(io.FileIO):
    """A descriptor that drops what cannot be written: on a full disk nobody can be told anyway."""

    def write(self, content: Any, /) -> int:
        """Write, or pretend to."""
        try:
            return super().write(content) or len(content)
        except OSError:
            return len(content)


def outlive_a_full_disk(*names: str) -> None:
    """Let no message to a person and no log line fail its caller; `names` are "stderr", "stdout".

    A log file on a full disk would otherwise end the very task that reports the full disk. A stream that was
    replaced already (by a test) is left alone.
    """
    for name in names:
        stream = getattr(sys, name)
        if stream is None or stream is not getattr(sys, f"__{name}__"):
            continue
        raw = _Unfailing(stream.fileno(), "wb", closefd=False)
        unfailing = io.TextIOWrapper(
            io.BufferedWriter(raw), encoding=stream.encoding, errors=stream.errors, line_buffering=True
        )
        setattr(sys, name, unfailing)
