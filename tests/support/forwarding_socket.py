"""A session socket that records what the forwarder does with it."""

from dataclasses import dataclass, field

from relay.worker.forwarder import CloseCode


@dataclass(eq=False)
class RecordingSocket:
    """Implements `relay.worker.forwarder.ForwardingSocket`."""

    sent: list[bytes] = field(default_factory=list)
    is_reading: bool = True
    closed: CloseCode | None = None

    def send(self, message: bytes | memoryview) -> None:
        """See `ForwardingSocket`."""
        if self.closed is None:
            self.sent.append(bytes(message))

    def pause_reading(self) -> None:
        """See `ForwardingSocket`."""
        self.is_reading = False

    def resume_reading(self) -> None:
        """See `ForwardingSocket`."""
        self.is_reading = True

    def close(self, code: CloseCode) -> None:
        """See `ForwardingSocket`."""
        self.closed = self.closed or code
