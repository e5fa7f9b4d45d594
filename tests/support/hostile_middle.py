"""Somebody in the middle who ends both tunnels: a whole technician for the device, a whole device for the
technician, with whatever identities were stolen or made up."""

from enum import StrEnum

from protocol.errors import SupportError
from protocol.identity import Identity
from protocol.tunnel import HandshakeDone, Plaintext, Tunnel, TunnelEnd


class Direction(StrEnum):
    """Which way a frame goes."""

    TO_DEVICE = "to_device"
    TO_TECHNICIAN = "to_technician"

    @property
    def back(self) -> "Direction":
        """The other way."""
        return Direction.TO_TECHNICIAN if self is Direction.TO_DEVICE else Direction.TO_DEVICE


class Middle:
    """`read` is what it could read: nothing, unless the ends were deceived or the identities are real."""

    def __init__(self, as_device: Identity, as_technician: Identity) -> None:
        # the tunnel that talks to the end which frames of this direction go to
        self._tunnels = {
            Direction.TO_TECHNICIAN: Tunnel(TunnelEnd.DEVICE, as_device),
            Direction.TO_DEVICE: Tunnel(TunnelEnd.TECHNICIAN, as_technician),
        }
        self._waiting: dict[Direction, bytes] = dict.fromkeys(Direction, b"")
        self._standing: set[Direction] = set()
        self._is_started = False
        self.refused: dict[Direction, str] = {}
        self.read = b""

    @property
    def tunnels_that_stand(self) -> int:
        """With how many ends its handshake is done, as far as it can tell."""
        return len(self._standing)

    def start(self) -> list[tuple[Direction, bytes]]:
        """What it sends first; nothing the second time."""
        if self._is_started:
            return []
        self._is_started = True
        for tunnel in self._tunnels.values():
            tunnel.start()
        return self._outgoing()

    def take(self, direction: Direction, content: bytes) -> list[tuple[Direction, bytes]]:
        """A frame on its way; what is sent to both ends instead."""
        facing = direction.back  # it was sent to us by the end that frames of `back` go to
        if facing in self.refused:
            return []
        try:
            events = self._tunnels[facing].feed(content)
        except SupportError as exc:
            self.refused[facing] = exc.code
            return self._outgoing()
        for event in events:
            match event:
                case HandshakeDone():
                    self._standing.add(facing)
                case Plaintext(plain):
                    self.read += plain
                    self._waiting[direction] += plain
                case _:
                    pass
        self._seal()
        return self._outgoing()

    def _seal(self) -> None:
        for direction in self._standing - self.refused.keys():
            plain, self._waiting[direction] = self._waiting[direction], b""
            if plain:
                self._tunnels[direction].send(plain)

    def _outgoing(self) -> list[tuple[Direction, bytes]]:
        return [(to, piece) for to, tunnel in self._tunnels.items() for piece in tunnel.outgoing()]
