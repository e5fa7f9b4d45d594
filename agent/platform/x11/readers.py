"""Ways to read the root window's pixels: MIT-SHM twice, and plain GetImage where that cannot work."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from agent.platform.interfaces import Area
from agent.platform.x11.connection import Desk
from agent.platform.x11.shared_memory import AnonymousFile, Memory, SystemVSegment
from protocol.errors import BackendUnavailable

if TYPE_CHECKING:
    from agent.platform.interfaces import Pixels

Z_PIXMAP = 2
ALL_PLANES = 0xFFFFFFFF
REPLY_HEADER_BYTES = 32
FD_PASSING_SINCE = (1, 2)


class PixelReader(Protocol):
    """`read` raises xcffib's own errors when the area is not on the root window."""

    detail: str

    def read(self, area: Area) -> Pixels:
        """Raw 32-bit pixels in the server's layout; valid until the next read."""
        ...

    def close(self) -> None:
        """May be called twice, also after the connection broke."""
        ...


@dataclass(frozen=True, slots=True)
class SharedWay:
    """A way to give the server memory; `attach` makes it, for the segment id that it is handed.

    `attach` raises BackendUnavailable, or xcffib's errors when the server refuses; then it has closed the
    memory.
    """

    detail: str
    attach: Callable[[Desk, int, int], Memory]


def attach_anonymous_file(desk: Desk, server_segment: int, size_bytes: int) -> Memory:
    """AttachFd of MIT-SHM 1.2: the descriptor of an anonymous file travels over the socket.

    xcffib passes none. libxcb's own `xcb_send_fd` puts one in front of the connection's next request, and
    closes it. (CreateSegment, where the server makes the file, cannot be used: libxcb breaks a connection
    on which descriptors come that it was not told to expect.)
    """
    _require_fd_passing(desk)
    memory = AnonymousFile(size_bytes)
    try:
        sent = os.dup(memory.fd)
        xcb = ctypes.CDLL(desk.bindings.xcffib.soname)
        xcb.xcb_send_fd.argtypes = [ctypes.c_void_p, ctypes.c_int]
        xcb.xcb_send_fd.restype = None
        raw_connection = desk.bindings.xcffib.ffi.cast("uintptr_t", desk.connection._conn)
        xcb.xcb_send_fd(int(raw_connection), sent)
        # the server must write: read_only False
        desk.connection(desk.bindings.shm.key).AttachFd(server_segment, False, is_checked=True).check()
    except (AttributeError, OSError) as exc:
        memory.close()
        raise BackendUnavailable(f"libxcb cannot pass a file descriptor ({exc})") from exc
    except BaseException:
        memory.close()
        raise
    memory.forget()
    return memory


def attach_system_v(desk: Desk, server_segment: int, size_bytes: int) -> Memory:
    """Attach of MIT-SHM 1.0: the server opens a System V segment by its number."""
    memory = SystemVSegment(size_bytes)
    try:
        shm = desk.connection(desk.bindings.shm.key)
        shm.Attach(server_segment, memory.segment_id, False, is_checked=True).check()
    except BaseException:
        memory.close()
        raise
    finally:
        memory.forget()
    return memory


def _require_fd_passing(desk: Desk) -> None:
    version = desk.connection(desk.bindings.shm.key).QueryVersion().reply()
    found = (version.major_version, version.minor_version)
    if found < FD_PASSING_SINCE:
        raise BackendUnavailable(f"the server has MIT-SHM {found[0]}.{found[1]}, and 1.2 passes descriptors")
    with socket.socket(fileno=os.dup(desk.connection.get_file_descriptor())) as connected:
        if connected.family != socket.AF_UNIX:
            raise BackendUnavailable("the server is reached by TCP, which passes no descriptors")


BY_FILE = SharedWay("MIT-SHM by file descriptor", attach_anonymous_file)
BY_SYSTEM_V = SharedWay("MIT-SHM by System V segment", attach_system_v)
SHARED_WAYS = (BY_FILE, BY_SYSTEM_V)


class SharedReader:
    """MIT-SHM (0.6 ms for 1920x1080). One memory as large as the desktop, made anew when that grows."""

    def __init__(self, desk: Desk, way: SharedWay) -> None:
        """Raises BackendUnavailable if server and agent cannot share memory (another machine or user)."""
        self.detail = way.detail
        self._way = way
        self._desk = desk
        self._shm: Any = desk.connection(desk.bindings.shm.key)
        self._server_segment = 0
        self._memory: Memory | None = None
        size = desk.size()
        self._attach(size.width * size.height * 4)

    def read(self, area: Area) -> Pixels:
        """See `PixelReader`."""
        needed_bytes = area.width * area.height * 4
        if self._memory is None or needed_bytes > self._memory.size_bytes:
            self.close()
            self._attach(needed_bytes)
        assert self._memory is not None
        place = (area.x, area.y, area.width, area.height)
        self._shm.GetImage(self._desk.root, *place, ALL_PLANES, Z_PIXMAP, self._server_segment, 0).reply()
        return self._memory.pixels(area.width, area.height)

    def close(self) -> None:
        """See `PixelReader`."""
        if self._memory is None:
            return
        if not self._desk.connection.has_error():
            self._shm.Detach(self._server_segment)
            self._desk.connection.flush()
        self._memory.close()
        self._memory = None

    def _attach(self, size_bytes: int) -> None:
        server_segment = self._desk.connection.generate_id()
        try:
            self._memory = self._way.attach(self._desk, server_segment, size_bytes)
        except self._desk.bindings.xcffib.XcffibException as exc:
            raise BackendUnavailable(f"the server cannot attach our memory: {type(exc).__name__}") from exc
        self._server_segment = server_segment


class CopyingReader:
    """Plain GetImage through the socket (6 ms for 1920x1080)."""

    detail = "GetImage"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def read(self, area: Area) -> Pixels:
        """See `PixelReader`."""
        import numpy as np

        place = (area.x, area.y, area.width, area.height)
        asked = self._desk.connection.core.GetImage(Z_PIXMAP, self._desk.root, *place, ALL_PLANES)
        # asked.reply() would turn every byte into a Python integer
        content = self._desk.connection.wait_for_reply(asked.sequence).buf
        flat = np.frombuffer(content, np.uint8, area.width * area.height * 4, REPLY_HEADER_BYTES)
        return flat.reshape(area.height, area.width, 4)

    def close(self) -> None:
        """See `PixelReader`."""


def open_reader(desk: Desk, ways: Sequence[SharedWay] = SHARED_WAYS) -> PixelReader:
    """The first of these ways that works with this server, else GetImage; `detail` has the reasons."""
    if "MIT-SHM" not in desk.extensions:
        return _with_reasons(CopyingReader(desk), ["the server has no MIT-SHM extension"])
    reasons: list[str] = []
    for way in ways:
        try:
            return _with_reasons(SharedReader(desk, way), reasons)
        except BackendUnavailable as exc:
            reasons.append(f"not {way.detail}: {exc.detail}")
    return _with_reasons(CopyingReader(desk), reasons)


def _with_reasons(reader: SharedReader | CopyingReader, reasons: Sequence[str]) -> PixelReader:
    if reasons:
        reader.detail = f"{reader.detail}, because: {'; '.join(reasons)}"
    return reader
