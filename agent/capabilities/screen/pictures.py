"""From what changed to the messages of the `screen` channel (sans-I/O).

Newest wins: while the viewer has not painted the pictures that are under way, what changes is only
remembered as tiles, never as pixels, so the next picture always holds the newest ones. The operations of
the next issue (scroll-copy, video regions) belong between `changed` and `rectangles` in `make`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import zstandard

from agent.capabilities.screen import tiles
from agent.platform.interfaces import Area
from protocol.errors import PeerViolation
from protocol.limits import (
    PICTURE_PART_RAW_LIMIT_BYTES,
    PICTURE_PART_TILES_LIMIT,
    PICTURES_IN_FLIGHT_LIMIT,
    ZSTD_WINDOW_LOG,
)
from protocol.messages.screen import PicturePart, Rectangle

if TYPE_CHECKING:
    from agent.platform.interfaces import Pixels

ZSTD_LEVEL = 1


class PictureStream:
    """One continuous zstd stream; what `encode` returns can be decoded as soon as it is there."""

    def __init__(self) -> None:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            ZSTD_LEVEL, window_log=ZSTD_WINDOW_LOG, enable_ldm=True, write_content_size=False
        )
        self._stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()

    def encode(self, raw: memoryview) -> bytes:
        """The bytes that follow in the stream, up to a block flush."""
        return self._stream.compress(raw) + self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


class PictureMaker:
    """The pictures of one display for one viewer. Coordinates are those of the display."""

    def __init__(self, width: int, height: int) -> None:
        self._last_no = 0
        self._in_flight: list[int] = []
        self._is_reset_due = True
        self._raw = np.empty(PICTURE_PART_RAW_LIMIT_BYTES + 1, dtype=np.uint8)
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        """Another size, or another display of the same size: the next picture is a reset."""
        self.width, self.height = width, height
        self._marked = tiles.tile_mask(width, height)
        self._previous: tiles.Words = np.zeros((height, width), dtype=np.uint32)
        self._restart()

    def refresh(self) -> None:
        """The viewer asks for everything anew, and no longer counts what is under way."""
        self._in_flight.clear()
        self._restart()

    def damage(self, areas: Iterable[Area]) -> None:
        """These areas may have changed."""
        tiles.mark(self._marked, areas, self.width, self.height)

    def seen(self, picture_no: int) -> None:
        """The viewer has painted this picture and every one before it.

        Raises:
            PeerViolation: there was no such picture yet.
        """
        if picture_no > self._last_no:
            raise PeerViolation(f"picture {picture_no} seen, newest is {self._last_no}")
        self._in_flight = [number for number in self._in_flight if number > picture_no]

    @property
    def is_pending(self) -> bool:
        """Whether something may have changed that no picture shows yet."""
        return bool(self._marked.any())

    def wanted(self) -> Area | None:
        """What to hand to `make` now; None while nothing changed or the viewer is behind."""
        if len(self._in_flight) >= PICTURES_IN_FLIGHT_LIMIT:
            return None
        return tiles.bounds(self._marked, self.width, self.height)

    def make(self, pixels: Pixels, area: Area, captured_at_ms: int) -> list[PicturePart]:
        """The parts of the next picture; none if the pixels are what the viewer has already.

        `area` is what `wanted` said; `pixels` are of that area, BGRX, and are not kept.
        """
        current = np.ascontiguousarray(pixels).view(np.uint32).reshape(area.height, area.width)
        if self._is_reset_due:
            found, self._stream = self._marked, PictureStream()
        else:
            found = tiles.changed(self._previous, current, area, self._marked)
        self._marked = tiles.tile_mask(self.width, self.height)
        changed = tiles.rectangles(found, self.width, self.height)
        if not changed:
            return []
        self._last_no += 1
        self._in_flight.append(self._last_no)
        batches = list(_batches(changed))
        parts = [
            PicturePart(
                picture_no=self._last_no,
                captured_at_ms=captured_at_ms,
                width=self.width,
                height=self.height,
                is_reset=self._is_reset_due and batch is batches[0],
                is_last=batch is batches[-1],
                rectangles=[Rectangle(one.x, one.y, one.width, one.height) for one in batch],
                compressed=self._encode(current, area, batch),
            )
            for batch in batches
        ]
        self._is_reset_due = False
        return parts

    def _encode(self, current: tiles.Words, area: Area, batch: list[Area]) -> bytes:
        size = 0
        for one in batch:
            rows = slice(one.y - area.y, one.bottom - area.y)
            words = current[rows, one.x - area.x : one.right - area.x]
            size += tiles.write_bgr(words, self._raw[size:])
            self._previous[one.y : one.bottom, one.x : one.right] = words
        return self._stream.encode(self._raw.data[:size])

    def _restart(self) -> None:
        self._is_reset_due = True
        self._marked[...] = True


def _batches(areas: list[Area]) -> Iterator[list[Area]]:
    """Cut into parts within the limits of pixels and rectangles."""
    batch: list[Area] = []
    size = 0
    for area in areas:
        raw_bytes = area.width * area.height * 3
        is_full = size + raw_bytes > PICTURE_PART_RAW_LIMIT_BYTES or len(batch) == PICTURE_PART_TILES_LIMIT
        if batch and is_full:
            yield batch
            batch, size = [], 0
        batch.append(area)
        size += raw_bytes
    if batch:
        yield batch
