"""The one shape that every session capability has on the agent's side."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

from protocol.audit import AuditKind
from protocol.grantables import Grantable
from protocol.grants import Grant


class CapabilityChannel(Protocol):
    """One open channel, as a capability sees it."""

    async def send(self, message: bytes) -> None:
        """Send one message; waits while the channel is full. Raises ChannelEnded, NotGranted."""
        ...

    async def receive(self) -> bytes:
        """The next message of the technician. Raises ChannelEnded at the channel's end, NotGranted."""
        ...

    def require(self, grantable: Grantable) -> Grant:
        """The live grant, asked for again before each effect. Raises NotGranted."""
        ...


class CapabilityAudit(Protocol):
    """Audit records of this session, as a capability writes them."""

    def write(
        self, kind: AuditKind, facts: Mapping[str, str | int] | None = None, *, succeeded: bool = True
    ) -> None:
        """Before an effect. Raises SupportError (E_AUDIT_WRITE); then the effect must not happen."""
        ...

    def note(
        self, kind: AuditKind, facts: Mapping[str, str | int] | None = None, *, succeeded: bool = True
    ) -> None:
        """After an end or a refusal; never raises."""
        ...


class Capability(Protocol):
    """Serves the channels of its word; one instance lives as long as its session."""

    name: ClassVar[str]
    grantable: ClassVar[Grantable]

    async def serve(self, channel: CapabilityChannel) -> None:
        """Run until the channel closes; cancelled when the grant ends. Leaves nothing running."""
        ...
