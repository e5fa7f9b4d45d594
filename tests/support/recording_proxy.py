"""Stands between a client and a relay on loopback, and keeps everything that the client said.

The relay's link is plain on loopback; a WebSocket client masks what it sends, so the frames are read with a
WebSocket library before anybody looks for a secret in them.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from websockets.frames import Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol

PIECE_BYTES = 1 << 16


@dataclass
class RecordingProxy:
    """`said` is what came from clients, one entry a connection; `on_client` runs before each is forwarded."""

    listening: socket.socket
    target: tuple[str, int]
    on_client: Callable[[], None] = lambda: None
    said: list[bytearray] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _sockets: list[socket.socket] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where clients connect."""
        return int(self.listening.getsockname()[1])

    def request_heads(self) -> list[str]:
        """The request line and headers of each connection, as sent."""
        return [bytes(said).partition(b"\r\n\r\n")[0].decode("latin-1") for said in self.said]

    def payloads(self) -> list[bytes]:
        """Every message of every client, unmasked."""
        found = []
        for said in self.said:
            protocol = ServerProtocol()
            head, end, rest = bytes(said).partition(b"\r\n\r\n")
            protocol.receive_data(head + end)
            [request] = protocol.events_received()
            assert isinstance(request, Request)
            protocol.send_response(protocol.accept(request))
            protocol.receive_data(rest)
            found += [event.data for event in protocol.events_received() if isinstance(event, Frame)]
        return found

    def serve(self) -> None:
        """Accept until the listening socket is closed."""
        with suppress(OSError):
            while True:
                client, _ = self.listening.accept()
                self.said.append(bytearray())
                self.on_client()
                relay = socket.create_connection(self.target)
                self._sockets += [client, relay]
                self._start(client, relay, self.said[-1])
                self._start(relay, client, None)

    def _start(self, source: socket.socket, sink: socket.socket, kept: bytearray | None) -> None:
        thread = threading.Thread(target=_copy, args=(source, sink, kept))
        thread.start()
        self._threads.append(thread)

    def close(self) -> None:
        """No more clients; those that are there have to be gone."""
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        for thread in self._threads:
            thread.join(10)
        for one in self._sockets:
            one.close()


def _copy(source: socket.socket, sink: socket.socket, kept: bytearray | None) -> None:
    with suppress(OSError):
        while piece := source.recv(PIECE_BYTES):
            if kept is not None:
                kept += piece
            sink.sendall(piece)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def recording_proxy(target_port: int) -> Iterator[RecordingProxy]:
    """A proxy in front of this port of 127.0.0.1."""
    listening = socket.create_server(("127.0.0.1", 0))
    proxy = RecordingProxy(listening, ("127.0.0.1", target_port))
    serving = threading.Thread(target=proxy.serve)
    serving.start()
    try:
        yield proxy
    finally:
        proxy.close()
        serving.join(10)
