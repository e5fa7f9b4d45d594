"""A slow link that loses real packets: the kernel's TCP on both sides of a pair of TUN devices (Linux, root).

`python -m tests.bench.packet_link --link 150ms/5mbit/1% --at 127.0.0.2 --port 7000` (as often as wanted)
prints "ready" when it listens. What connects there goes into one device, comes out of the other in a network
namespace, and goes on to the same port of 127.0.0.1. Delay, bandwidth, loss and a buffer that drops what does
not fit are done to IP packets, so that congestion control, repetition and the kernel's queues are real.
"""

import argparse
import asyncio
import contextlib
import fcntl
import os
import random
import signal
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from tests.bench.link_terms import LinkTerms, parse_link
from tests.bench.shaper import READ_BYTES, Ends, Proxy
from tests.support.own_network import enter_network, ip

NEAR_HOST, FAR_HOST = "198.18.77.1", "198.18.77.2"
"""Of the range for benchmarks (RFC 2544, C.2.2), which no network routes."""
PACKET_LIMIT_BYTES = 1600
_TUN_SET_INTERFACE, _TUN_WITHOUT_HEADER = (
    0x400454CA,
    0x1001,
)  # TUNSETIFF, IFF_TUN | IFF_NO_PI (linux/if_tun.h)


@dataclass(frozen=True, slots=True)
class FarEnd:
    """What was made in the namespace: sockets and devices stay there, whoever uses them."""

    device: int
    listeners: list[socket.socket]


class Direction:
    """One way: packets of one device, later and fewer, into the other."""

    def __init__(self, terms: LinkTerms, from_device: int, to_device: int, seed: int) -> None:
        self._terms, self._from, self._to = terms, from_device, to_device
        self._dice = random.Random(seed)
        self._free_at_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(from_device, self._take)

    def close(self) -> None:
        """Carry nothing more."""
        self._loop.remove_reader(self._from)

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._carry(os.read(self._from, PACKET_LIMIT_BYTES))

    def _carry(self, packet: bytes) -> None:
        terms, now_s = self._terms, self._loop.time()
        queued_bytes = max(0.0, self._free_at_s - now_s) * terms.bits_per_s / 8
        if queued_bytes + len(packet) > terms.buffer_bytes or self._dice.random() < terms.loss:
            return
        self._free_at_s = max(self._free_at_s, now_s) + len(packet) * 8 / terms.bits_per_s
        self._loop.call_at(self._free_at_s + terms.one_way_s, self._deliver, packet)

    def _deliver(self, packet: bytes) -> None:
        with contextlib.suppress(BlockingIOError):  # the device's own queue is full: lost
            os.write(self._to, packet)


@contextlib.contextmanager
def far_end(ports: Sequence[int]) -> Iterator[FarEnd]:
    """The namespace with its device, up, and a listener for each port."""
    name, device = f"alongside-{os.getpid()}", f"far{os.getpid()}"
    ip("netns", "add", name)
    try:
        made: list[FarEnd] = []

        def make() -> None:
            enter_network(name)
            end = open_device(device, FAR_HOST, NEAR_HOST)
            made.append(FarEnd(end, [socket.create_server((FAR_HOST, port)) for port in ports]))

        # a thread of its own: a namespace is entered by a thread, and left by its end
        entering = threading.Thread(target=make)
        entering.start()
        entering.join()
        if not made:
            raise OSError(f"the network namespace {name} could not be set up")
        yield made[0]
        for listener in made[0].listeners:
            listener.close()
        os.close(made[0].device)
    finally:
        ip("netns", "del", name)


def open_device(name: str, here: str, there: str) -> int:
    """A TUN device in this thread's namespace, up; it goes with its descriptor."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUN_SET_INTERFACE, struct.pack("16sH22x", name.encode(), _TUN_WITHOUT_HEADER))
    ip("addr", "add", here, "peer", there, "dev", name)
    ip("link", "set", name, "up")
    return device


async def _join(near: Ends, to: str, port: int) -> None:
    far = await asyncio.open_connection(to, port, limit=READ_BYTES)
    try:
        for _, writer in (near, far):
            _without_queues(writer)
        async with asyncio.TaskGroup() as both:
            both.create_task(_carry(near[0], far[1]))
            both.create_task(_carry(far[0], near[1]))
    finally:
        far[1].transport.abort()


def _without_queues(writer: asyncio.StreamWriter) -> None:
    """What waits here would be no link's queue but our own."""
    writer.transport.set_write_buffer_limits(high=0)
    one = writer.get_extra_info("socket")
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, READ_BYTES)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(READ_BYTES):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


@contextlib.asynccontextmanager
async def packet_link(terms: LinkTerms, at: str, ports: Sequence[int]) -> AsyncIterator[None]:
    """From these ports at `at` to the same ones of 127.0.0.1, for as long as this is open."""
    near, forwarding = open_device(f"near{os.getpid()}", NEAR_HOST, FAR_HOST), Proxy()
    try:
        with far_end(ports) as far:
            ways = [Direction(terms, near, far.device, seed=1), Direction(terms, far.device, near, seed=2)]
            for listener in far.listeners:
                port = listener.getsockname()[1]
                await forwarding.serve(listener, partial(_join, to="127.0.0.1", port=port))
            for port in ports:
                await forwarding.serve(
                    socket.create_server((at, port)), partial(_join, to=FAR_HOST, port=port)
                )
            yield
            await forwarding.close()
            for way in ways:
                way.close()
    finally:
        os.close(near)


async def _serve(terms: LinkTerms, at: str, ports: Sequence[int]) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with packet_link(terms, at, ports):
        print("ready", flush=True)
        await ended.wait()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.packet_link", description=__doc__)
    parser.add_argument("--link", required=True, type=parse_link)
    parser.add_argument("--at", required=True)
    parser.add_argument("--port", required=True, type=int, action="append")
    given = parser.parse_args()
    asyncio.run(_serve(given.link, given.at, given.port))


if __name__ == "__main__":
    main()
