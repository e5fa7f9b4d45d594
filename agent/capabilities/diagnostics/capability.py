"""Channel `diagnostics`: one snapshot for each request, one after the other."""

from collections.abc import Awaitable, Callable
from typing import ClassVar

from agent.capabilities.base import CapabilityAudit, CapabilityChannel
from protocol.audit import AuditKind
from protocol.grantables import Grantable
from protocol.messages.diagnostics import FROM_AGENT_CODEC, FROM_TECHNICIAN_CODEC, Display


class DiagnosticsCapability:
    """Reads and sends; changes nothing.

    `read_displays` asks the person's desktop process: the displays, and why there are none ("" if there are).
    """

    name: ClassVar[str] = "diagnostics"
    grantable: ClassVar[Grantable] = Grantable.DIAGNOSTICS_READ

    def __init__(
        self, read_displays: Callable[[], Awaitable[tuple[list[Display], str]]], audit: CapabilityAudit
    ) -> None:
        self._read_displays = read_displays
        self._audit = audit

    async def serve(self, channel: CapabilityChannel) -> None:
        """See `agent.capabilities.base.Capability`."""
        # here: an idle service does not hold psutil
        from agent.capabilities.diagnostics.snapshot import SnapshotReader

        reader = SnapshotReader(self._read_displays)
        while True:
            request = FROM_TECHNICIAN_CODEC.decode(await channel.receive())
            channel.require(Grantable.DIAGNOSTICS_READ)
            self._audit.write(AuditKind.DIAGNOSTICS_READ)
            snapshot = await reader.read(request.request_no)
            channel.require(Grantable.DIAGNOSTICS_READ)
            await channel.send(FROM_AGENT_CODEC.encode(snapshot))
