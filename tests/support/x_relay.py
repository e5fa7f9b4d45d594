"""A relay in front of an X server that carries bytes only: descriptors get lost in it."""

import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

CHUNK_BYTES = 1 << 16
LOOK_EVERY_S = 0.05
FIRST_NUMBER = 2000
SOCKETS = Path("/tmp/.X11-unix")


@contextmanager
def bytes_only(display: str) -> Iterator[str]:
    """The display ":N" that reaches `display` through the relay, for one connection after the other.

    Forwarders of X do that, also where both ends are on the same machine.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        number = _listen(listener)
        is_over = threading.Event()
        thread = threading.Thread(target=_serve, args=(listener, SOCKETS / f"X{display[1:]}", is_over))
        thread.start()
        try:
            yield f":{number}"
        finally:
            is_over.set()
            thread.join()
            (SOCKETS / f"X{number}").unlink()


def _listen(listener: socket.socket) -> int:
    for number in range(FIRST_NUMBER, FIRST_NUMBER + 1000):
        with suppress(OSError):
            listener.bind(str(SOCKETS / f"X{number}"))
            listener.listen()
            return number
    raise AssertionError("no display number is free")


def _serve(listener: socket.socket, server: Path, is_over: threading.Event) -> None:
    while not is_over.is_set():
        if select.select([listener], [], [], LOOK_EVERY_S)[0]:
            with ExitStack() as both:
                program = both.enter_context(listener.accept()[0])
                to_server = both.enter_context(socket.socket(socket.AF_UNIX))
                to_server.connect(str(server))
                _carry({program: to_server, to_server: program}, is_over)


def _carry(other_end: dict[socket.socket, socket.socket], is_over: threading.Event) -> None:
    while not is_over.is_set():
        for readable in select.select(list(other_end), [], [], LOOK_EVERY_S)[0]:
            # recv(2) without room for a descriptor closes the one that came
            chunk = os.read(readable.fileno(), CHUNK_BYTES)
            if not chunk:
                return
            other_end[readable].sendall(chunk)
