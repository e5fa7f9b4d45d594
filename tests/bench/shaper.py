"""A TCP proxy that is a slow link: delay, bandwidth, buffer and what loss does, in plain asyncio on loopback.

`python -m tests.bench.shaper --link 40ms/20mbit --from 127.0.0.2:7000 --to 127.0.0.1:7000` (both as often
as wanted) prints "ready" when it listens. All connections share the link, as they do behind one line.
"""

import argparse
import asyncio
import contextlib
import socket
from collections.abc import Sequence

from tests.bench.link_terms import LinkTerms, parse_link
from tests.bench.shaped_path import ShapedPath

READ_BYTES = 4096  # small pieces, so that a large one does not arrive in one clap
SOCKET_BUFFER_BYTES = 32 * 1024  # the kernel's own buffers are a queue too


class Shaper:
    """Both directions of one line, for any number of connections."""

    def __init__(self, terms: LinkTerms) -> None:
        self._up = ShapedPath(terms, seed=1)
        self._down = ShapedPath(terms, seed=2)

    async def listen(self, at: tuple[str, int], to: tuple[str, int]) -> asyncio.Server:
        """Forward connections from the one address to the other."""
        listener = socket.create_server(at)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                far_reader, far_writer = await asyncio.open_connection(*to, limit=READ_BYTES)
            except OSError:
                writer.close()
                return
            _send_at_once(writer)
            _send_at_once(far_writer)
            async with asyncio.TaskGroup() as both:
                both.create_task(_carry(self._up, reader, far_writer))
                both.create_task(_carry(self._down, far_reader, writer))

        return await asyncio.start_server(accepted, sock=listener, limit=READ_BYTES)


def _send_at_once(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def _carry(path: ShapedPath, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction of one connection until its end; errors mean that the other side is gone."""
    clock = asyncio.get_running_loop().time
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    arriving = asyncio.create_task(_arrive(under_way, writer))
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(READ_BYTES):
            await asyncio.sleep(path.wait_s(len(piece), clock()))
            under_way.put_nowait((path.arrival_s(len(piece), clock()), piece))
    under_way.put_nowait((0.0, b""))
    await arriving


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
    with contextlib.suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


async def _serve(terms: LinkTerms, pairs: Sequence[tuple[str, str]]) -> None:
    shaper = Shaper(terms)
    servers = [await shaper.listen(_address(at), _address(to)) for at, to in pairs]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


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
