"""From what changed to the messages of the `screen` channel (sans-I/O).

Newest wins: while the viewer has not painted the pictures that are under way, what changes is only
remembered as tiles, never as pixels, so the next picture always holds the newest ones; so are tiles that do
not fit into a picture's budget. What the viewer has after every picture that was made is kept here: copies
refer to it, differences and proofs are taken from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import zstandard

from agent.capabilities.screen import tiles
from agent.capabilities.screen.pixel_tools import PixelTools, pixel_tools
from agent.capabilities.screen.portions import Indexes, TileLedger, largest_costs
from agent.capabilities.screen.proof import HealPace, ProofRound, prove
from agent.capabilities.screen.scroll import covered
from agent.capabilities.screen.video.layer import Begun, VideoLayer
from agent.platform.interfaces import Area
from protocol.errors import PeerViolation
from protocol.limits import (
    PICTURE_PART_RAW_LIMIT_BYTES,
    PICTURE_PART_TILES_LIMIT,
    PICTURES_IN_FLIGHT_LIMIT,
    TILE_PIXELS,
    ZSTD_WINDOW_LOG,
)
from protocol.messages.screen import (
    BandProof,
    Copy,
    PicturePart,
    ProofFailed,
    Rectangle,
    ScrollCopies,
    VideoEnded,
    VideoFrame,
)

if TYPE_CHECKING:
    from agent.platform.interfaces import Pixels

ZSTD_LEVEL = 1
UNLIMITED_BYTES = 1 << 40
PictureMessage: TypeAlias = ScrollCopies | VideoFrame | VideoEnded | PicturePart


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

    def __init__(
        self, width: int, height: int, tools: Callable[[int, int], PixelTools] = pixel_tools
    ) -> None:
        self._open_tools = tools
        self.last_no = 0
        self._in_flight: list[int] = []
        self._is_reset_due, self._is_damaged = True, False
        self._reset_no = 0
        self._heal = HealPace()
        self.video = VideoLayer()
        self._raw = np.empty(PICTURE_PART_RAW_LIMIT_BYTES + 1, dtype=np.uint8)
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        """Another size, or another display of the same size: the next picture is a reset."""
        self.width, self.height = width, height
        self._marked = tiles.tile_mask(width, height)
        self._unknown = tiles.tile_mask(width, height)
        self._ledger = TileLedger(self._marked.shape)
        self.video.resize(width, height)
        self._previous: tiles.Words = np.zeros((height, width), dtype=np.uint32)
        self._tools = self._open_tools(width, height)
        self._proofs = ProofRound(len(self._marked))
        self._restart()

    def refresh(self) -> None:
        """The viewer asks for everything anew, and no longer counts what is under way."""
        self._in_flight.clear()
        self._restart()

    def damage(self, areas: Iterable[Area]) -> None:
        """These areas may have changed."""
        damaged = tiles.tile_mask(self.width, self.height)
        tiles.mark(damaged, areas, self.width, self.height)
        self._is_damaged |= bool(damaged.any())
        self._marked |= self.video.damaged(damaged)

    def settle(self, now_s: float) -> None:
        """Tells the time, whenever there is something to do. Video that rests is then to be sent exactly."""
        self.video.settle(now_s, self._marked)

    def keyframe(self, region_no: int) -> None:
        """The viewer needs a keyframe of this region; nothing comes of it if that is over."""
        area = self.video.keyframe(region_no)
        if area is not None:
            tiles.mark(self._marked, [area], self.width, self.height)

    def seen(self, picture_no: int) -> None:
        """The viewer has painted this picture and every one before it.

        Raises:
            PeerViolation: there was no such picture yet.
        """
        self._require_made(picture_no)
        self._in_flight = [number for number in self._in_flight if number > picture_no]

    @property
    def is_pending(self) -> bool:
        """Whether something may have changed that no picture shows yet."""
        return bool(self._marked.any())

    @property
    def waits_since_ms(self) -> int | None:
        """When the oldest change that did not fit into the last picture was found; None if all fitted."""
        return self._ledger.oldest_ms(self._marked)

    def wanted(self) -> Area | None:
        """What to hand to `make` now; None while nothing changed or the viewer is behind."""
        if self._is_window_full:
            return None
        self.video.widen(self._marked)
        return tiles.bounds(self._marked, self.width, self.height)

    def make(
        self,
        pixels: Pixels,
        area: Area,
        captured_at_ms: int,
        budget_bytes: int = UNLIMITED_BYTES,
        preview_over_bytes: float = math.inf,
        whole_bytes: float = 0.0,
        rate_bytes_per_s: float = math.inf,
    ) -> list[PictureMessage]:
        """The next picture: perhaps copies and video, then its parts; nothing if the viewer has these pixels.

        `area` is what `wanted` said; `pixels` are of that area, BGRX, and are not kept. Tiles that are over
        the budget stay pending, unless all are likely to cost no more than `whole_bytes`; if they would take
        more than `preview_over_bytes`, a preview goes ahead. Video is made for `rate_bytes_per_s`.
        """
        words = np.ascontiguousarray(pixels).view(np.uint32).reshape(area.height, area.width)
        # sources may hand out memory that begins at any byte
        current = np.require(words, requirements="A")
        number = self.last_no + 1
        begun = Begun(number, captured_at_ms / 1000, rate_bytes_per_s, preview_over_bytes)
        frames, current = self.video.frames(begun, self._previous, current, area)
        looked = self._marked
        copies, found = self._found(current, area)
        is_whole = not self._unknown.any()
        if is_whole:
            self.video.classify(looked, found, self._previous, current, area)
        if not self._is_reset_due:
            frames += self.video.preview(begun, found, current, area, is_whole=is_whole)
        frame_bytes = sum(len(frame.encoded) for frame in frames)
        # beside a large frame there is still place for what is typed
        left_bytes = max(budget_bytes - frame_bytes, budget_bytes / 2)
        order = self._order(found, left_bytes, captured_at_ms, current, area)
        if self._ledger.costs(order).sum() <= whole_bytes - frame_bytes:
            left_bytes = max(left_bytes, whole_bytes - frame_bytes)
        batches = self._batches(order, left_bytes, current, area)
        first: list[PictureMessage] = [*frames, *self.video.ended(number, self._marked)]
        if copies:
            first.insert(0, ScrollCopies(number, copies))
        if not batches and not first:
            return []
        self.last_no = number
        self._in_flight.append(number)
        self._proofs.changed(self._bands(found, copies), captured_at_ms / 1000)
        self._proofs.bar(self.video.bands() | self._unknown.any(axis=1))
        parts = self._parts(batches, captured_at_ms)
        if self._is_reset_due:
            self._is_reset_due, self._reset_no = False, self.last_no
        return [*first, *parts]

    @property
    def due_s(self) -> float | None:
        """When `settle`, `prove` or `heal` has something to do; None while only pictures have."""
        if self._is_reset_due:
            return None
        due = [self._heal.due_s, self.video.due_s, None if self._is_window_full else self._proofs.due_s]
        return min((due_s for due_s in due if due_s is not None), default=None)

    def prove(self, now_s: float) -> list[BandProof]:
        """What the viewer must have after the last picture that was made; at most one band at a time."""
        if self._is_reset_due or self._is_window_full:
            return []
        band = self._proofs.take(now_s)
        return [] if band is None else [prove(self._previous, band, self.last_no)]

    def proof_failed(self, failed: ProofFailed) -> None:
        """The viewer has other pixels. Everything is sent anew when `heal` is next called and it is time.

        Raises:
            PeerViolation: there was no such picture yet.
        """
        self._require_made(failed.picture_no)
        # what was proved before the last reset has been sent anew already
        if failed.picture_no >= self._reset_no and not self._is_reset_due:
            self._heal.failed()

    def heal(self, now_s: float) -> bool:
        """Whether everything is sent anew now, because a proof had failed."""
        if self._is_reset_due or not self._heal.is_due(now_s):
            return False
        self._restart()
        return True

    @property
    def proof_failures(self) -> int:
        """How many proofs the viewer found wrong, those of one fault counted each."""
        return self._heal.failures

    def _found(self, current: tiles.Words, area: Area) -> tuple[list[Copy], tiles.Mask]:
        """Copies, carried out in `_previous`, and the tiles that differ after them; then none is marked."""
        marked, self._marked = self._marked, tiles.tile_mask(self.width, self.height)
        is_damaged, self._is_damaged = self._is_damaged, False
        if self._is_reset_due:
            self._stream = PictureStream()
            self._tools.forget(marked)
            self._unknown[...] = True
            return [], marked
        # the rest of a reset: nothing may be copied from what the viewer does not have yet
        if self._unknown.any():
            changed = self._tools.changed(self._previous, current, area, marked)
            return [], changed | (marked & self._unknown)
        if not is_damaged:
            # what a budget left over has not moved; searches in vain would put off the next one
            self._tools.forget(marked)
            return [], self._tools.changed(self._previous, current, area, marked)
        copies = self._tools.find(self._previous, current, area, marked)
        if copies:
            marked = marked & ~covered(copies, marked, self.width, self.height)
        return copies, self._tools.changed(self._previous, current, area, marked)

    def _order(
        self, found: tiles.Mask, left_bytes: float, now_ms: int, current: tiles.Words, area: Area
    ) -> Indexes:
        largest = None
        if self._ledger.may_be_dear(found, left_bytes):
            shown = self._previous[area.y : area.bottom, area.x : area.right]
            known = None if self._unknown.any() else shown
            largest = largest_costs(current, area, found.shape, known)
        return self._ledger.order(found, left_bytes, now_ms, largest)

    def _bands(self, found: tiles.Mask, copies: list[Copy]) -> tiles.Mask:
        bands: tiles.Mask = np.logical_or.reduce(found, axis=1)
        for copy in copies:
            bands[copy.to_y // TILE_PIXELS : -(-(copy.to_y + copy.height) // TILE_PIXELS)] = True
        return bands

    def _batches(
        self, order: Indexes, left_bytes: float, current: tiles.Words, area: Area
    ) -> list[tuple[list[Area], bytes]]:
        """Rectangles and bytes of each part, up to the one that crosses the budget; the rest is marked."""
        encoded: list[tuple[list[Area], bytes]] = []
        while len(order) and (not encoded or left_bytes > 0):
            count = self._ledger.fitting(order, left_bytes)
            gone, order = order[:count], order[count:]
            mask = tiles.tile_mask(self.width, self.height)
            mask.flat[gone] = True
            if self._unknown.any():
                rectangles = tiles.rectangles(mask, self.width, self.height)
            else:
                rectangles = self._tools.rectangles(mask, self._previous, current, area)
                rectangles = self.video.outside(rectangles)
            together = [(batch, self._encode(current, area, batch)) for batch in _batches(rectangles)]
            size_bytes = sum(len(compressed) for _, compressed in together)
            self._ledger.sent(gone, size_bytes, rectangles)
            self._unknown.flat[gone] = False
            left_bytes -= size_bytes
            encoded += together
        self._marked.flat[order] = True
        if len(order):
            self._tools.forget(self._marked)
        return encoded

    def _parts(self, batches: list[tuple[list[Area], bytes]], captured_at_ms: int) -> list[PicturePart]:
        # copies and video alone are ended by a part without rectangles
        batches = batches or [([], b"")]
        return [
            PicturePart(
                picture_no=self.last_no,
                captured_at_ms=captured_at_ms,
                width=self.width,
                height=self.height,
                is_reset=self._is_reset_due and number == 1,
                is_last=number == len(batches),
                rectangles=[Rectangle(one.x, one.y, one.width, one.height) for one in batch],
                compressed=compressed,
            )
            for number, (batch, compressed) in enumerate(batches, 1)
        ]

    def _encode(self, current: tiles.Words, area: Area, batch: list[Area]) -> bytes:
        size = 0
        for one in batch:
            rows = slice(one.y - area.y, one.bottom - area.y)
            words = current[rows, one.x - area.x : one.right - area.x]
            size += self._tools.write(words, self._raw[size:])
            self._previous[one.y : one.bottom, one.x : one.right] = words
        return self._stream.encode(self._raw.data[:size])

    @property
    def _is_window_full(self) -> bool:
        return len(self._in_flight) >= PICTURES_IN_FLIGHT_LIMIT

    def _require_made(self, picture_no: int) -> None:
        if picture_no > self.last_no:
            raise PeerViolation(f"picture {picture_no} answered, newest is {self.last_no}")

    def _restart(self) -> None:
        self._is_reset_due = True
        self._heal.settle()
        self.video.restart()
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
