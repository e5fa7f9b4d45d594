"""The technician's end of the `screen` channel: whether what the agent shows is in order (sans-I/O).

The pixels are inflated by the page; nothing reaches it that has not passed here.
"""

from collections.abc import Iterable

import msgspec

from protocol.errors import ErrorCode, PeerViolation
from protocol.limits import (
    PICTURE_AREA_LIMIT_PIXELS,
    PICTURE_PART_RAW_LIMIT_BYTES,
    SCREEN_RESTARTS_LIMIT,
    TILE_PIXELS,
    VIDEO_REGIONS_LIMIT,
)
from protocol.messages.screen import (
    BandProof,
    Copy,
    PicturePart,
    Rectangle,
    ScrollCopies,
    VideoEnded,
    VideoFrame,
)

# every region may have a frame in a picture, and one that replaces it another one
_FRAMES_LIMIT = 2 * VIDEO_REGIONS_LIMIT
# parts of one picture may overlap at most this often, and rows be proven: more is an attempt to keep us busy
_PICTURE_COVERS_LIMIT = 2
_BYTES_PER_PIXEL = 3
_ZSTD_ADDED_BYTES = 512
"""What a part may take besides its pixels: the head of a frame, and of blocks that do not compress."""


class PictureOrder:
    """Feed it every picture message in order. After a PeerViolation it must not be used again."""

    def __init__(self) -> None:
        self._codecs: frozenset[str] = frozenset()
        self._restarts = 0
        self._start_over()

    def _start_over(self) -> None:
        self._size = (0, 0)
        self._picture_no = 0
        self._is_complete = True
        self._has_more = False  # than rectangles
        self._regions: dict[int, VideoFrame] = {}
        self._last_region_no = 0
        self._covered_pixels = self._rectangles = self._frames = 0
        self._proven_rows = 0

    def restarted(self) -> None:
        """Another worker goes on: its pictures are counted from the start, and the first is a reset.

        Raises:
            PeerViolation: more often than a channel may have it.
        """
        self._restarts += 1
        if self._restarts > SCREEN_RESTARTS_LIMIT:
            raise PeerViolation("the screen was started again too often")
        self._start_over()

    def part(self, part: PicturePart) -> None:
        """Some rectangles of a picture.

        Raises:
            PeerViolation: the order, a place or a size is not what PROTOCOL.md says.
        """
        self._check_order(part)
        self._check_rectangles(part)
        self._covered_pixels += sum(one.width * one.height for one in part.rectangles)
        self._rectangles += len(part.rectangles)
        tiles = (part.width // TILE_PIXELS + 1) * (part.height // TILE_PIXELS + 1)
        is_covered = self._covered_pixels > _PICTURE_COVERS_LIMIT * tiles * TILE_PIXELS**2
        if is_covered or self._rectangles > _PICTURE_COVERS_LIMIT * tiles:
            raise PeerViolation("a picture larger than its display", code=ErrorCode.E_MESSAGE_SIZE)

    def copies(self, message: ScrollCopies) -> None:
        """What is moved before the parts of a picture come.

        Raises:
            PeerViolation: there is nothing to move yet, a picture has begun, or a place is outside.
        """
        width, height = self._size
        if not width or not self._is_complete or message.picture_no <= self._picture_no:
            raise PeerViolation(f"copies of picture {message.picture_no} after {self._picture_no}")
        if any(not _stays_inside(one, width, height) for one in message.copies):
            raise PeerViolation("a copy from or to the outside of the display")
        self._begin(message.picture_no)
        self._is_complete, self._has_more = False, True

    def decodes(self, codecs: Iterable[str]) -> None:
        """What we said that we can decode."""
        self._codecs = frozenset(codecs)

    def video(self, frame: VideoFrame) -> None:
        """A frame of a region.

        Raises:
            PeerViolation: order, place, codec or number of regions are not what PROTOCOL.md says.
        """
        self._begin_more(frame.picture_no)
        if not _is_inside(frame.rectangle, *self._size):
            raise PeerViolation("video outside of the display")
        if frame.codec not in self._codecs:
            raise PeerViolation(f"video in {frame.codec}, which we did not name")
        self._frames += 1
        if self._frames > _FRAMES_LIMIT:
            raise PeerViolation("more frames than regions can have in a picture")
        before = self._regions.get(frame.region_no)
        if before is None:
            self._check_new_region(frame)
        elif not frame.is_key and (frame.codec, frame.rectangle) != (before.codec, before.rectangle):
            raise PeerViolation("another codec or rectangle without a keyframe")
        elif before.picture_no == frame.picture_no or not _holds(frame.rectangle, before.rectangle):
            raise PeerViolation("a second frame of a region in a picture, or a smaller one")
        self._regions[frame.region_no] = msgspec.structs.replace(frame, encoded=b"-")

    def video_ended(self, message: VideoEnded) -> None:
        """A region is over.

        Raises:
            PeerViolation: there is no such region, or a picture has begun.
        """
        self._begin_more(message.picture_no)
        if self._regions.pop(message.region_no, None) is None:
            raise PeerViolation(f"the end of region {message.region_no}, which there is not")

    def proof(self, proof: BandProof) -> None:
        """What the picture that came last must be.

        Raises:
            PeerViolation: it is not complete, or the rows are outside or more than there are.
        """
        if not self._is_complete or proof.picture_no != self._picture_no:
            raise PeerViolation(f"proof of picture {proof.picture_no} after {self._picture_no}")
        height = self._size[1]
        self._proven_rows += proof.height
        if proof.y + proof.height > height or self._proven_rows > _PICTURE_COVERS_LIMIT * height:
            raise PeerViolation("a proof of rows that are not there")

    def _begin_more(self, picture_no: int) -> None:
        """What comes before the parts of a picture, perhaps after copies."""
        if not self._size[0]:
            raise PeerViolation("video before a picture")
        if self._is_complete and picture_no > self._picture_no:
            self._begin(picture_no)
        elif self._is_complete or not self._has_more or picture_no != self._picture_no:
            raise PeerViolation(f"video of picture {picture_no} after {self._picture_no}")
        self._is_complete, self._has_more = False, True

    def _check_new_region(self, frame: VideoFrame) -> None:
        if not frame.is_key or frame.region_no <= self._last_region_no:
            raise PeerViolation("a region that does not begin with a keyframe and a new number")
        if len(self._regions) >= VIDEO_REGIONS_LIMIT:
            raise PeerViolation("too many regions of video")
        self._last_region_no = frame.region_no

    def _begin(self, picture_no: int) -> None:
        self._picture_no = picture_no
        self._has_more = False
        self._covered_pixels = self._rectangles = self._frames = self._proven_rows = 0

    def _check_order(self, part: PicturePart) -> None:
        size = (part.width, part.height)
        if part.is_reset and self._is_complete:
            self._resize(size)
        elif part.is_reset:
            raise PeerViolation("a reset in the middle of a picture")
        if size != self._size:
            raise PeerViolation("another size without a reset")
        step = part.picture_no - self._picture_no
        is_next = step >= 1 if self._is_complete else step == 0
        if not is_next:
            raise PeerViolation(f"picture {part.picture_no} after {self._picture_no}")
        if self._is_complete:
            self._begin(part.picture_no)
        self._is_complete = part.is_last

    def _resize(self, size: tuple[int, int]) -> None:
        if size[0] * size[1] > PICTURE_AREA_LIMIT_PIXELS:
            raise PeerViolation(f"a display of {size[0]} x {size[1]}", code=ErrorCode.E_MESSAGE_SIZE)
        self._size = size
        self._regions.clear()

    def _check_rectangles(self, part: PicturePart) -> None:
        if any(not _is_inside(one, part.width, part.height) for one in part.rectangles):
            raise PeerViolation("a rectangle outside of the display")
        size_bytes = sum(one.width * one.height * _BYTES_PER_PIXEL for one in part.rectangles)
        if size_bytes > PICTURE_PART_RAW_LIMIT_BYTES:
            raise PeerViolation(f"{size_bytes} bytes of pixels in one part")
        if len(part.compressed) > size_bytes + size_bytes // 128 + _ZSTD_ADDED_BYTES:
            raise PeerViolation("a part larger than its pixels", code=ErrorCode.E_MESSAGE_SIZE)
        # a picture may be nothing but copies and video; then its one part is empty
        is_empty_as_it_may = self._has_more and part.is_last and not part.compressed
        if not part.rectangles and not is_empty_as_it_may:
            raise PeerViolation("a part without a rectangle")


def _is_inside(one: Rectangle | Copy, width: int, height: int) -> bool:
    return one.x + one.width <= width and one.y + one.height <= height


def _holds(one: Rectangle, other: Rectangle) -> bool:
    starts_before = one.x <= other.x and one.y <= other.y
    right, bottom = other.x + other.width, other.y + other.height
    return starts_before and one.x + one.width >= right and one.y + one.height >= bottom


def _stays_inside(one: Copy, width: int, height: int) -> bool:
    return (
        _is_inside(one, width, height) and one.to_x + one.width <= width and one.to_y + one.height <= height
    )
