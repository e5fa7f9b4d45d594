"""The service's part of the screen, with a worker in memory."""

import asyncio

import pytest

from agent.capabilities.screen.capability import LAST_WORD_LIMIT_BYTES, ScreenCapability
from protocol.audit import AuditKind
from protocol.errors import ErrorCode, NotGranted, SupportError, Unreachable
from protocol.grantables import Grantable
from protocol.messages.screen import FROM_AGENT_CODEC, ScreenFailed
from tests.support.capability_channel import MemoryAudit, MemoryChannel


class DeadConnection:
    """A worker that is gone already."""

    async def receive(self, limit_bytes: int) -> bytes:
        """It never says anything."""
        raise Unreachable(f"{limit_bytes}", code=ErrorCode.E_LINK_LOST)

    async def send(self, payload: bytes) -> None:
        """And hears nothing."""
        raise Unreachable(f"{payload!r}", code=ErrorCode.E_LINK_LOST)


class DyingWorker:
    """Dies as soon as it has come, always by itself."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.on_death = lambda: None

    def prepare(self) -> dict[str, int]:
        """See `ScreenWorker`."""
        return {}

    async def start(self) -> DeadConnection:
        """See `ScreenWorker`."""
        self.said.append("start")
        return DeadConnection()

    async def why_ended(self) -> ErrorCode | None:
        """See `ScreenWorker`."""
        self.on_death()
        return ErrorCode.E_SCREEN_FAILED

    async def stop(self) -> None:
        """See `ScreenWorker`."""
        self.said.append("stop")


async def test_it_is_stopped_before_it_is_started_again_and_at_the_end():
    worker, audit, channel = DyingWorker(), MemoryAudit(), MemoryChannel(Grantable.SCREEN_VIEW)
    await ScreenCapability(worker, audit).serve(channel)
    assert worker.said == ["start", "stop", "start", "stop"]
    assert audit.kinds == [AuditKind.SCREEN_STARTED, AuditKind.SCREEN_RESTARTED, AuditKind.SCREEN_ENDED]


async def test_a_restart_that_cannot_be_recorded_does_not_happen():
    worker, audit, channel = DyingWorker(), MemoryAudit(), MemoryChannel(Grantable.SCREEN_VIEW)
    audit.refused_kinds = {AuditKind.SCREEN_RESTARTED}
    with pytest.raises(SupportError) as refusal:
        await ScreenCapability(worker, audit).serve(channel)
    assert refusal.value.code is ErrorCode.E_AUDIT_WRITE
    assert worker.said == ["start", "stop"]


async def test_a_grant_that_ended_while_the_worker_died_is_no_reason_to_start_it_again():
    worker, audit, channel = DyingWorker(), MemoryAudit(), MemoryChannel(Grantable.SCREEN_VIEW)
    worker.on_death = lambda: channel.book.end_all() and None
    with pytest.raises(NotGranted):
        await ScreenCapability(worker, audit).serve(channel)
    assert worker.said == ["start", "stop"]
    assert AuditKind.SCREEN_RESTARTED not in audit.kinds


async def test_a_channel_that_closes_during_the_second_start_leaves_no_worker():
    worker, audit, channel = DyingWorker(), MemoryAudit(), MemoryChannel(Grantable.SCREEN_VIEW)
    serving = asyncio.create_task(ScreenCapability(worker, audit).serve(channel))
    first_start, starts_again = worker.start, asyncio.Event()

    async def start() -> DeadConnection:
        if worker.said:
            worker.said.append("start")
            starts_again.set()
            await asyncio.Event().wait()
        return await first_start()

    worker.start = start  # type: ignore[method-assign]  # the second start hangs
    await starts_again.wait()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert worker.said == ["start", "stop", "start", "stop"]


def test_every_last_word_is_short_enough_to_be_read():
    for code in ErrorCode:
        assert len(FROM_AGENT_CODEC.encode(ScreenFailed(code))) <= LAST_WORD_LIMIT_BYTES
