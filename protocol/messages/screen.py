"""Channel `screen`: displays, exact pictures, cursor; acknowledgements come back.

A picture is a set of changed tiles. Its parts carry consecutive output of one zstd stream per viewer
(level 1, window 2^25); each part ends at a block flush, and holds the residues (PROTOCOL.md) of its
rectangles, row by row, rectangle after rectangle. Copies of what is on the viewer's canvas come before.
"""

from enum import StrEnum
from typing import Annotated, TypeAlias

from msgspec import Meta

from protocol.codec import Codec, Message
from protocol.limits import (
    ALL_DISPLAYS_INDEX,
    COPIES_PER_PICTURE_LIMIT,
    CURSOR_SIDE_LIMIT_PIXELS,
    DISPLAY_LIMIT,
    DISPLAY_SCALE_LIMIT,
    DISPLAY_SIDE_LIMIT_PIXELS,
    PICTURE_PART_TILES_LIMIT,
    SCREEN_MESSAGE_LIMIT_BYTES,
    VIDEO_CODECS_LIMIT,
    VIDEO_FRAME_LIMIT_BYTES,
)
from protocol.messages.presence import ShortText

Pixels = Annotated[int, Meta(ge=0, le=DISPLAY_SIDE_LIMIT_PIXELS)]
Side = Annotated[int, Meta(ge=1, le=DISPLAY_SIDE_LIMIT_PIXELS)]
Offset = Annotated[int, Meta(ge=-DISPLAY_SIDE_LIMIT_PIXELS * 4, le=DISPLAY_SIDE_LIMIT_PIXELS * 4)]
PictureNo = Annotated[int, Meta(ge=1, le=1 << 62)]
RegionNo = Annotated[int, Meta(ge=1, le=0xFFFFFFFF)]
ClockMs = Annotated[int, Meta(ge=0, le=1 << 62)]
CodecName = Annotated[str, Meta(min_length=1, max_length=32)]
CursorSide = Annotated[int, Meta(ge=0, le=CURSOR_SIDE_LIMIT_PIXELS)]


class DisplayMode(StrEnum):
    """What is shown: one display by its index, all as one, or the one with the pointer."""

    ONE = "one"
    ALL = "all"
    FOLLOW = "follow"


class DisplayFacts(Message, frozen=True, tag="screen.display"):
    """One monitor, in physical pixels of the device's whole desktop."""

    index: Annotated[int, Meta(ge=0, le=DISPLAY_LIMIT)]
    x: Offset
    y: Offset
    width: Side
    height: Side
    scale: Annotated[float, Meta(gt=0, le=DISPLAY_SCALE_LIMIT)]


class Displays(Message, frozen=True, tag="screen.displays"):
    """Agent: what there is, which one is shown. Sent first, and again on every change.

    `shown_index` is ALL_DISPLAYS_INDEX while `mode` is "all": then the picture is the box around all
    displays, black where there is none. With another index a reset comes next; pictures up to it are of
    what was shown before.
    """

    displays: Annotated[list[DisplayFacts], Meta(max_length=DISPLAY_LIMIT)]
    shown_index: Annotated[int, Meta(ge=0, le=ALL_DISPLAYS_INDEX)]
    mode: DisplayMode
    source: ShortText


class Rectangle(Message, frozen=True, array_like=True, tag=False):
    """Position and size in pixels of the shown display."""

    x: Pixels
    y: Pixels
    width: Side
    height: Side


class PicturePart(Message, frozen=True, tag="screen.part"):
    """Some changed rectangles of a picture; the picture is complete with the part that `is_last`.

    `is_reset`: a new zstd stream starts here, and the viewer knows nothing of the display; what this picture
    leaves out comes with the next ones.
    `captured_at_ms` is the agent's monotonic clock, the one its heartbeats carry.
    """

    picture_no: PictureNo
    captured_at_ms: ClockMs
    width: Side
    height: Side
    is_reset: bool
    is_last: bool
    rectangles: Annotated[list[Rectangle], Meta(max_length=PICTURE_PART_TILES_LIMIT)]
    compressed: bytes


class Copy(Message, frozen=True, array_like=True, tag=False):
    """Move a rectangle of the picture before: from `x`, `y` to `to_x`, `to_y`. The two may overlap."""

    x: Pixels
    y: Pixels
    width: Side
    height: Side
    to_x: Pixels
    to_y: Pixels


class ScrollCopies(Message, frozen=True, tag="screen.copies"):
    """Comes before the first part of its picture: carried out in order, then the parts are painted."""

    picture_no: PictureNo
    copies: Annotated[list[Copy], Meta(min_length=1, max_length=COPIES_PER_PICTURE_LIMIT)]


class BandProof(Message, frozen=True, tag="screen.proof"):
    """What the viewer must have after this picture: SHA-256 over the raw BGR bytes of some whole rows."""

    picture_no: PictureNo
    y: Pixels
    height: Side
    sha256: Annotated[bytes, Meta(min_length=32, max_length=32)]


class VideoFrame(Message, frozen=True, tag="screen.video"):
    """A lossy frame over a region, before the first part of its picture. A region begins with a keyframe.

    `codec` is one of those that the viewer named; another codec or rectangle comes with a keyframe only, and
    the new rectangle holds the one before. Exact parts inside of the region are painted over it. A frame is
    of the rectangle's size, or of half of both sides and stretched.
    """

    region_no: RegionNo
    picture_no: PictureNo
    rectangle: Rectangle
    codec: CodecName
    is_key: bool
    encoded: Annotated[bytes, Meta(min_length=1, max_length=VIDEO_FRAME_LIMIT_BYTES)]


class VideoEnded(Message, frozen=True, tag="screen.video_ended"):
    """Before the first part of its picture, with which every pixel of the region is exact again."""

    region_no: RegionNo
    picture_no: PictureNo


class CursorShape(Message, frozen=True, tag="screen.cursor_shape"):
    """RGBA, 8 bits each, not premultiplied, row by row; width 0 means that the cursor is hidden."""

    width: CursorSide
    height: CursorSide
    hot_x: CursorSide
    hot_y: CursorSide
    rgba: Annotated[bytes, Meta(max_length=CURSOR_SIDE_LIMIT_PIXELS**2 * 4)]


class CursorMoved(Message, frozen=True, tag="screen.cursor_moved"):
    """Where the hot spot is, in pixels of the shown display; may lie outside of it."""

    x: Offset
    y: Offset


class Behind(Message, frozen=True, tag="screen.behind"):
    """Agent: what changed at `since_ms` (its monotonic clock) is in no picture yet; 0: every change is.

    Sent while changes have to wait for long, and once when none does any more.
    """

    since_ms: Annotated[int, Meta(ge=0, le=1 << 62)]


class ScreenRefused(Message, frozen=True, tag="screen.refused"):
    """Agent: what the viewer chose cannot be shown, or not any more; `screen.displays` says what is, next."""

    code: ShortText


class ScreenFailed(Message, frozen=True, tag="screen.failed"):
    """Capture cannot go on; the channel closes after it."""

    code: ShortText


class ScreenRestarted(Message, frozen=True, tag="screen.restarted"):
    """Agent: the screen worker died and another one goes on, at most once for each channel.

    `screen.displays` and a reset follow. Picture and region numbers start anew, and what the viewer said is
    forgotten: it sends `screen.restart_seen`, then its `screen.decodes` and `screen.show_display` again.
    """


class RestartSeen(Message, frozen=True, tag="screen.restart_seen"):
    """Technician: answer to `screen.restarted`. Until it comes, all that the viewer sends is dropped."""


class PictureSeen(Message, frozen=True, tag="screen.seen"):
    """Technician: this picture is painted."""

    picture_no: PictureNo


class ProofFailed(Message, frozen=True, tag="screen.proof_failed"):
    """Technician: that band was not equal; counted at both ends, and the agent sends everything anew."""

    picture_no: PictureNo
    y: Pixels


class Refresh(Message, frozen=True, tag="screen.refresh"):
    """Technician: send everything anew, with a new stream."""


class ShowDisplay(Message, frozen=True, tag="screen.show_display"):
    """Technician: show this display instead."""

    index: Annotated[int, Meta(ge=0, le=DISPLAY_LIMIT)]


class ShowAll(Message, frozen=True, tag="screen.show_all"):
    """Technician: show all displays as one."""


class Follow(Message, frozen=True, tag="screen.follow"):
    """Technician: show the display that the pointer is on, and change with it."""


class Decodes(Message, frozen=True, tag="screen.decodes"):
    """Technician: what this viewer decodes, by its WebCodecs name, and `jpeg`; none at first."""

    codecs: Annotated[list[CodecName], Meta(max_length=VIDEO_CODECS_LIMIT)]


class KeyframeWanted(Message, frozen=True, tag="screen.keyframe"):
    """Technician: this region's frames cannot be decoded without a keyframe."""

    region_no: RegionNo


FromAgent: TypeAlias = (
    Displays
    | ScrollCopies
    | VideoFrame
    | VideoEnded
    | PicturePart
    | BandProof
    | CursorShape
    | CursorMoved
    | ScreenRestarted
    | Behind
    | ScreenRefused
    | ScreenFailed
)
FromTechnician: TypeAlias = (
    PictureSeen
    | ProofFailed
    | Refresh
    | ShowDisplay
    | ShowAll
    | Follow
    | Decodes
    | KeyframeWanted
    | RestartSeen
)

FROM_AGENT_CODEC: Codec[FromAgent] = Codec(FromAgent, SCREEN_MESSAGE_LIMIT_BYTES)
FROM_TECHNICIAN_CODEC: Codec[FromTechnician] = Codec(FromTechnician, 1024)
