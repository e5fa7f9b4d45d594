"""A network namespace of a test's own (Linux, root), and code and programs of the test inside of it."""

import ctypes
import os
import secrets
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_SPACES = Path("/run/netns")  # ip-netns(8)
_NETWORK = 0x40000000  # CLONE_NEWNET (linux/sched.h)


@contextmanager
def own_network() -> Iterator[str]:
    """Its name; inside is a loopback device with 127.0.0.1 and ::1, and nothing else."""
    name = f"alongside-{secrets.token_hex(4)}"
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        ip("netns", "del", name)


def take_ipv4_away(name: str) -> None:
    """No IPv4 address is left inside, not even that of loopback."""
    ip("-n", name, "address", "del", "127.0.0.1/8", "dev", "lo")


def has_ipv4() -> bool:
    """Whether this thread's network has an IPv4 loopback."""
    try:
        socket.create_server(("127.0.0.1", 0)).close()
    except OSError:
        return False
    return True


def run_inside(name: str, act: Callable[[], T]) -> T:
    """Run this in a thread inside; what it starts, threads and programs, is inside too."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            enter_network(name)
            results.append(act())
        except BaseException as exc:  # noqa: BLE001 - handed to the caller, whatever it is
            errors.append(exc)

    # a thread of its own: a namespace is entered by a thread, and left by its end
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def enter_network(name: str) -> None:
    """This thread is inside from now on (setns(2)); raises OSError."""
    space = os.open(_SPACES / name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(space, _NETWORK) != 0:
            raise OSError(ctypes.get_errno(), f"setns {name}")
    finally:
        os.close(space)


def ip(*words: str) -> None:
    """ip(8), which has to work."""
    subprocess.run(["ip", *words], check=True, capture_output=True)
