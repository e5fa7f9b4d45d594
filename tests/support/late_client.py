"""A second address of an X server: what its clients ask arrives late, what it tells them does not."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

X_SOCKETS = Path("/tmp/.X11-unix")  # X(7), "DISPLAY NAMES"
FIRST_PORT = 6000
PIECE_BYTES = 65536


@contextmanager
def late_client(display: str, late_s: float) -> Iterator[str]:
    """The address (a display name) at which requests reach `display` so many seconds late."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="late client")
    thread.start()
    socket = X_SOCKETS / f"X{display.lstrip(':')}"
    forwarding = _Forwarding(socket, late_s)
    try:
        port = asyncio.run_coroutine_threadsafe(forwarding.listen(), loop).result()
        yield f"127.0.0.1:{port - FIRST_PORT}"
    finally:
        asyncio.run_coroutine_threadsafe(forwarding.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _Forwarding:
    def __init__(self, socket: Path, late_s: float) -> None:
        self._socket, self._late_s = socket, late_s
        self._clients: set[asyncio.Task[None]] = set()

    async def listen(self) -> int:
        """The port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Nobody is served any more."""
        self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        from_server, to_server = await asyncio.open_unix_connection(self._socket)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_carry(reader, to_server, self._late_s))
                both.create_task(_carry(from_server, writer, 0.0))
        finally:
            writer.close()
            to_server.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, late_s: float) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(PIECE_BYTES):
            await asyncio.sleep(late_s)
            writer.write(piece)
    writer.close()
