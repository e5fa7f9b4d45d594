"""One snapshot: every source asked at the same time, each failing for itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

import structlog

from agent.capabilities.diagnostics import probes
from agent.capabilities.diagnostics.bounded import BoundedSources, SourceStuck
from protocol.errors import SupportError
from protocol.limits import DIAGNOSTICS_ITEMS_LIMIT, DISPLAY_LIMIT, SESSION_LIMIT_PER_DEVICE
from protocol.messages.diagnostics import Display, Snapshot, SourceFailed

log = structlog.get_logger()

SOURCE_TIMEOUT_S = 3.0
T = TypeVar("T")

# one for the whole process: a dead disk must not cost a thread for every session that asks about it
SOURCES = BoundedSources(SOURCE_TIMEOUT_S, at_once_limit=SESSION_LIMIT_PER_DEVICE)

ReadDisplays: TypeAlias = Callable[[], Awaitable[tuple[list[Display], str]]]


class SnapshotReader:
    """Reads the snapshots of one channel."""

    def __init__(self, read_displays: ReadDisplays, sources: BoundedSources = SOURCES) -> None:
        self._read_displays = read_displays
        self._sources = sources
        self._failures: list[SourceFailed] = []

    async def read(self, request_no: int) -> Snapshot:
        """One snapshot; takes as long as the slowest source, at most its timeout. One at a time."""
        started_s = time.monotonic()
        self._failures = []
        async with asyncio.TaskGroup() as group:
            system = group.create_task(self._ask("system", probes.read_system))
            cpu = group.create_task(self._ask("cpu", probes.read_cpu))
            memory = group.create_task(self._ask("memory", probes.read_memory))
            disks = group.create_task(self._ask("disks", probes.read_disks))
            interfaces = group.create_task(self._ask("network", probes.read_interfaces))
            processes = group.create_task(self._ask("processes", probes.read_processes))
            logins = group.create_task(self._ask("sessions", probes.read_logins))
            displays = group.create_task(self._displays())
        found_disks, disk_failures = disks.result() or ([], [])
        return Snapshot(
            request_no=request_no,
            took_s=time.monotonic() - started_s,
            system=system.result(),
            cpu=cpu.result(),
            memory=memory.result(),
            disks=found_disks,
            interfaces=interfaces.result() or [],
            processes=processes.result() or [],
            logins=logins.result() or [],
            displays=displays.result(),
            failures=(self._failures + disk_failures)[:DIAGNOSTICS_ITEMS_LIMIT],
        )

    async def _ask(self, name: str, source: Callable[[], T]) -> T | None:
        try:
            return await self._sources.ask(name, source)
        except SourceStuck as exc:
            self._failed(name, exc.detail)
        except Exception as exc:  # noqa: BLE001 - whatever one source raises must not spoil the others
            log.warning("diagnostics.source_failed", source=name, error=repr(exc)[:300])
            self._failed(name, probes.plain_reason(exc))
        return None

    async def _displays(self) -> list[Display]:
        try:
            async with asyncio.timeout(SOURCE_TIMEOUT_S):
                displays, failure = await self._read_displays()
        except (TimeoutError, SupportError):
            displays, failure = [], "the desktop does not answer"
        if failure:
            self._failed("displays", probes.shown_path(failure))
        return displays[:DISPLAY_LIMIT]

    def _failed(self, source: str, reason: str) -> None:
        self._failures.append(SourceFailed(source, reason))
