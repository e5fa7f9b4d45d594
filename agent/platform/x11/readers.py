"""Two ways to read the root window's pixels: MIT-SHM, and plain GetImage where that cannot work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from agent.platform.interfaces import Area
from agent.platform.x11.connection import Desk
from agent.platform.x11.shared_memory import Segment
from protocol.errors import BackendUnavailable

if TYPE_CHECKING:
    from agent.platform.interfaces import Pixels

Z_PIXMAP = 2
ALL_PLANES = 0xFFFFFFFF
REPLY_HEADER_BYTES = 32


class PixelReader(Protocol):
    """`read` raises xcffib's own errors when the area is not on the root window."""

    detail: str

    def read(self, area: Area) -> Pixels:
        """Raw 32-bit pixels in the server's layout; valid until the next read."""
        ...

    def close(self) -> None:
        """May be called twice, also after the connection broke."""
        ...


class SharedReader:
    """MIT-SHM (0.6 ms for 1920x1080). One segment as large as the desktop, made anew when that grows."""

    detail = "MIT-SHM"

    def __init__(self, desk: Desk) -> None:
        """Raises BackendUnavailable if server and agent cannot share memory (another machine or user)."""
        self._desk = desk
        self._shm: Any = desk.connection(desk.bindings.shm.key)
        self._server_segment = 0
        self._segment: Segment | None = None
        size = desk.size()
        self._attach(size.width * size.height * 4)

    def read(self, area: Area) -> Pixels:
        """See `PixelReader`."""
        needed_bytes = area.width * area.height * 4
        if self._segment is None or needed_bytes > self._segment.size_bytes:
            self.close()
            self._attach(needed_bytes)
        assert self._segment is not None
        place = (area.x, area.y, area.width, area.height)
        self._shm.GetImage(self._desk.root, *place, ALL_PLANES, Z_PIXMAP, self._server_segment, 0).reply()
        return self._segment.pixels(area.width, area.height)

    def close(self) -> None:
        """See `PixelReader`."""
        if self._segment is None:
            return
        if not self._desk.connection.has_error():
            self._shm.Detach(self._server_segment)
            self._desk.connection.flush()
        self._segment.close()
        self._segment = None

    def _attach(self, size_bytes: int) -> None:
        segment = Segment(size_bytes)
        try:
            self._server_segment = self._desk.connection.generate_id()
            # the server must write: read_only False
            self._shm.Attach(self._server_segment, segment.segment_id, False, is_checked=True).check()
        except self._desk.bindings.xcffib.XcffibException as exc:
            segment.close()
            raise BackendUnavailable(f"the server cannot attach our memory: {type(exc).__name__}") from exc
        finally:
            segment.forget()
        self._segment = segment


class CopyingReader:
    """Plain GetImage through the socket (6 ms for 1920x1080). `reason` says why not MIT-SHM."""

    def __init__(self, desk: Desk, reason: str) -> None:
        self._desk = desk
        self.detail = f"GetImage, because: {reason}"

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


def open_reader(desk: Desk) -> PixelReader:
    """The fastest way that works with this server."""
    if "MIT-SHM" not in desk.extensions:
        return CopyingReader(desk, "the server has no MIT-SHM extension")
    try:
        return SharedReader(desk)
    except BackendUnavailable as exc:
        return CopyingReader(desk, exc.detail)
