"""One running program, where a real one cannot be had to misbehave in time."""

import pytest

from agent.exec.messages import OUTPUT_CHUNK_LIMIT_BYTES
from agent.exec.running import PIPE_LIMIT_BYTES, RunningCommand


def test_a_pipe_that_is_never_empty_is_read_to_the_most_that_one_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the program's end, while somebody else writes faster than we read."""
    read_bytes = 0

    def read(_self: RunningCommand, _fd: int) -> bytes:
        nonlocal read_bytes
        read_bytes += OUTPUT_CHUNK_LIMIT_BYTES
        return bytes(OUTPUT_CHUNK_LIMIT_BYTES)

    monkeypatch.setattr(RunningCommand, "_read", read)
    RunningCommand._read_rest(object.__new__(RunningCommand), 0)
    assert PIPE_LIMIT_BYTES <= read_bytes < PIPE_LIMIT_BYTES + OUTPUT_CHUNK_LIMIT_BYTES
