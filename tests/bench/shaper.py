"""A TCP proxy that is a slow link: delay, bandwidth, buffer and what loss does, in plain asyncio on loopback.

`python -m tests.bench.shaper --link 40ms/20mbit --from 127.0.0.2:7000 --to 127.0.0.1:7000` (both as often
as wanted) prints "ready" when it listens. All connections share the link, as they do behind one line.
"""

import argparse
import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence

from tests.bench.link_terms import LinkTerms, parse_link
from tests.bench.shaped_path import ShapedPath

READ_BYTES = 4096  # small pieces, so that a large one does not arrive in one clap
SOCKET_BUFFER_BYTES = 32 * 1024  # the kernel's own buffers are a queue too

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Listeners, and whatever connects to them, for as long as it is open; `join` serves one connection."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket, join: Callable[[Ends], Awaitable[None]]) -> None:
        """Serve one listener, with small buffers: the kernel's own are a queue too."""

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await join((reader, writer))
            writer.transport.abort()

        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
        self._servers.append(await asyncio.start_server(accepted, sock=listener, limit=READ_BYTES))

    async def close(self) -> None:
        """Drop everything."""
        for server in self._servers:
            server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections)
        await asyncio.sleep(0)  # what was dropped is closed in the loop's next turn


class Shaper(Proxy):
    """Both directions of one line, for any number of connections."""

    def __init__(self, terms: LinkTerms) -> None:
        super().__init__()
        self._up = ShapedPath(terms, seed=1)
        self._down = ShapedPath(terms, seed=2)

    async def listen(self, at: tuple[str, int], to: tuple[str, int]) -> tuple[str, int]:
        """Forward connections to the other address; returns where it listens (port 0: a free one)."""
        listener = socket.create_server(at)
        await self.serve(listener, lambda near: self._join(near, to))
        host, port = listener.getsockname()[:2]
        return host, port

    async def _join(self, near: Ends, to: tuple[str, int]) -> None:
        far = await _connected(to)
        try:
            _send_at_once(near[1])
            _send_at_once(far[1])
            async with asyncio.TaskGroup() as both:
                both.create_task(_carry(self._up, near[0], far[1]))
                both.create_task(_carry(self._down, far[0], near[1]))
        finally:
            far[1].transport.abort()


async def _connected(to: tuple[str, int]) -> Ends:
    far = socket.socket()
    far.setblocking(False)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)  # counts only before connecting
    try:
        await asyncio.get_running_loop().sock_connect(far, to)
    except OSError:
        far.close()
        raise
    return await asyncio.open_connection(sock=far, limit=READ_BYTES)


def _send_at_once(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def _carry(path: ShapedPath, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction of one connection until its end; errors mean that the other side is gone."""
    clock = asyncio.get_running_loop().time
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    async with asyncio.TaskGroup() as both:
        both.create_task(_arrive(under_way, writer))
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(READ_BYTES):
                await asyncio.sleep(path.wait_s(len(piece), clock()))
                under_way.put_nowait((path.arrival_s(len(piece), clock()), piece))
        under_way.put_nowait((0.0, b""))


async def _arrive(under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    clock = asyncio.get_running_loop().time
    with contextlib.suppress(ConnectionError):
        while True:
            at_s, piece = await under_way.get()
            if not piece:
                break
            if (wait_s := at_s - clock()) > 0:
                await asyncio.sleep(wait_s)
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


async def _serve(terms: LinkTerms, pairs: Sequence[tuple[str, str]]) -> None:
    shaper = Shaper(terms)
    for at, to in pairs:
        await shaper.listen(_address(at), _address(to))
    print("ready", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Run until it is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--link", required=True)
    parser.add_argument("--from", dest="at", action="append", required=True)
    parser.add_argument("--to", action="append", required=True)
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(_serve(parse_link(given.link), list(zip(given.at, given.to, strict=True))))


if __name__ == "__main__":
    main()
