"""Keeps audit events in memory."""

from protocol.audit import AuditEvent


class RecordingSink:
    """Every event, oldest first."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def append(self, event: AuditEvent) -> None:
        """Keep it."""
        self.events.append(event)

    @property
    def kinds(self) -> list[str]:
        """The kinds, oldest first."""
        return [str(event.kind) for event in self.events]
