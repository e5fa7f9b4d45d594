"""The programs' virtual clocks and their tunnels, for as long as a simulation runs in this process."""

import logging
import sys
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from datetime import datetime, tzinfo
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import structlog

import agent.session_runner
import technician_client.opening
from protocol.errors import ErrorCode
from protocol.identity import Identity
from protocol.tunnel import Tunnel, TunnelEnd

SHELLS = ("agent.", "technician_client.", "protocol.aio.")


class _Now:
    """What the programs are shown; set by each schedule."""

    wall: Callable[[], datetime]
    monotonic_s: Callable[[], float]
    make_tunnel: Callable[[TunnelEnd, Identity, Sequence[bytes]], Tunnel]
    fault: Callable[[str], None]


NOW = _Now()


class _SimulatedDatetime(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # a plain datetime
        return NOW.wall()


def forget() -> None:
    """Let go of the last schedule."""
    vars(NOW).clear()


def _note_fault(_logger: object, _level: str, event: MutableMapping[str, Any]) -> str:
    """What our programs log as an error is a fault of ours, unless it says that the disk failed."""
    if event.get("code") != ErrorCode.E_AUDIT_WRITE:
        failure = sys.exc_info()[1]
        NOW.fault(f"{event.get('event')}: {failure!r}")
    raise structlog.DropEvent


@contextmanager
def simulated() -> Iterator[None]:
    """Our shells read virtual clocks and build the schedule's tunnels. Nothing else reads one."""
    clock = SimpleNamespace(
        monotonic=lambda: NOW.monotonic_s(),
        time=lambda: NOW.wall().timestamp(),
        clock_gettime=lambda _clock: NOW.monotonic_s(),
        CLOCK_MONOTONIC=time.CLOCK_MONOTONIC,
        CLOCK_BOOTTIME=time.CLOCK_BOOTTIME,
    )
    patches = [
        patch.object(module, "Tunnel", lambda end, identity, roots: NOW.make_tunnel(end, identity, roots))
        for module in (agent.session_runner, technician_client.opening)
    ]
    for name, module in list(sys.modules.items()):
        if name.startswith(SHELLS):
            if getattr(module, "datetime", None) is datetime:
                patches.append(patch.object(module, "datetime", _SimulatedDatetime))
            if getattr(module, "time", None) is time:
                patches.append(patch.object(module, "time", clock))
    for each in patches:
        each.start()
    structlog.configure(
        processors=[_note_fault], wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR)
    )
    try:
        yield
    finally:
        structlog.reset_defaults()
        for each in reversed(patches):
            each.stop()
