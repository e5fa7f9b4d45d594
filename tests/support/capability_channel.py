"""A capability's channel and audit, in memory."""

import asyncio
import time
from collections.abc import Mapping

from protocol.audit import AuditKind
from protocol.errors import ErrorCode, SupportError
from protocol.grantables import Grantable
from protocol.grants import Grant, GrantBook, GrantParties
from protocol.ids import DeviceId, SessionId, SubjectId

PARTIES = GrantParties(SubjectId("ada"), DeviceId("d-" + "a" * 20), "os-1", SessionId("s-" + "a" * 26))


class ChannelOver(SupportError):
    """What this channel's `receive` raises when it was closed."""

    default_code = ErrorCode.E_GRANT_ENDED


class MemoryChannel:
    """A `CapabilityChannel`: the test feeds requests and reads answers; the grants are real ones."""

    def __init__(self, *grantables: Grantable, parties: GrantParties = PARTIES) -> None:
        self.book = GrantBook(parties)
        self.book.mint(grantables, until_s=time.monotonic() + 600)
        self._requests: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()

    def feed(self, message: bytes) -> None:
        """What the technician sends."""
        self._requests.put_nowait(message)

    def close(self) -> None:
        """The channel is over."""
        self._requests.put_nowait(None)

    async def answer(self) -> bytes:
        """What the capability sent next."""
        async with asyncio.timeout(30):
            return await self._answers.get()

    @property
    def has_answers(self) -> bool:
        """Whether something was sent that no test has read."""
        return not self._answers.empty()

    async def send(self, message: bytes) -> None:
        """See `CapabilityChannel`."""
        self._answers.put_nowait(message)

    async def receive(self) -> bytes:
        """See `CapabilityChannel`."""
        message = await self._requests.get()
        if message is None:
            raise ChannelOver
        return message

    def require(self, grantable: Grantable) -> Grant:
        """See `CapabilityChannel`."""
        return self.book.require(grantable, time.monotonic())


class MemoryAudit:
    """A `CapabilityAudit` that keeps its records; it refuses `refused_kinds`."""

    def __init__(self) -> None:
        self.records: list[tuple[AuditKind, dict[str, str | int], bool]] = []
        self.refused_kinds: set[AuditKind] = set()

    @property
    def kinds(self) -> list[AuditKind]:
        """What was recorded, in order."""
        return [kind for kind, _, _ in self.records]

    def write(
        self, kind: AuditKind, facts: Mapping[str, str | int] | None = None, *, succeeded: bool = True
    ) -> None:
        """See `CapabilityAudit`."""
        if kind in self.refused_kinds:
            raise SupportError("disk full", code=ErrorCode.E_AUDIT_WRITE)
        self.records.append((kind, dict(facts or {}), succeeded))

    def note(
        self, kind: AuditKind, facts: Mapping[str, str | int] | None = None, *, succeeded: bool = True
    ) -> None:
        """See `CapabilityAudit`."""
        if kind not in self.refused_kinds:
            self.records.append((kind, dict(facts or {}), succeeded))
