"""All regions of video on one display, and how they keep out of the exact layer's way (sans-I/O).

Where video moves, the exact layer is shown what it has sent already: so it finds no change there, and what it
believes of the viewer's picture stays true. It knows nothing else of the video above.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from agent.capabilities.screen.tiles import Mask, Words, bounds, tile_mask
from agent.capabilities.screen.video.classify import BAD_SHARE, Classifier, aligned, compressed_share, united
from agent.capabilities.screen.video.codecs import JPEG, KNOWN_CODECS
from agent.capabilities.screen.video.encoder import EncodedFrame, EncoderChoice, EncoderTerms, OpenEncoder
from agent.capabilities.screen.video.preview import SIZE_SHARE, PreviewNeed
from agent.capabilities.screen.video.region import (
    FRAMES_PER_S,
    Phase,
    Region,
    RegionTerms,
    touched,
)
from agent.platform.interfaces import Area
from protocol.errors import BackendUnavailable
from protocol.limits import TILE_PIXELS, VIDEO_REGIONS_LIMIT
from protocol.messages.screen import Rectangle, VideoEnded, VideoFrame

JOINED_AREA_LIMIT = 1.5
"""A region grows over a new box only if both fill two thirds of what holds them."""
CHECK_INTERVAL_S = 1.0
CHECKED_TILES = 16
BAD_TILES_SHARE = 0.3
"""A region with fewer bad tiles than that is no video any more."""
ACTIVE_TILES_SHARE = 0.3
RETRY_S = 10.0
AGAIN_S = 0.5
PATIENCE_S = 0.1
"""A link that only seemed slow, because little was sent on it, is known to be faster by then."""
RATE_CEILING_BYTES_PER_S = 1e6


@dataclass(frozen=True, slots=True)
class Begun:
    """The picture that is being made, and what the link delivers.

    What would take more than `preview_over_bytes` exactly is previewed.
    """

    picture_no: int
    now_s: float
    rate_bytes_per_s: float = float("inf")
    preview_over_bytes: float = float("inf")


class VideoLayer:
    """Of one display and one viewer."""

    def __init__(self, opens: OpenEncoder | None = None) -> None:
        self._rate_bytes_per_s = 0.0
        self.choice = EncoderChoice()
        self._opens = opens or self.choice
        self._codecs: tuple[str, ...] = ()
        self._regions: list[Region] = []
        self._last_no = 0
        self._now_s = 0.0
        self._retry_at_s = 0.0
        self._previewed_at_s = -AGAIN_S
        self._late_since_s: float | None = None
        self.patience_s = PATIENCE_S
        self.resize(0, 0)

    def resize(self, width: int, height: int) -> None:
        """Another display: nothing is known of it."""
        self.restart()
        self._width, self._height = width, height
        self._shape = tile_mask(width, height).shape
        self._classifier = Classifier(width, height, self._shape)
        self._preview_need = PreviewNeed(self._shape)

    def restart(self) -> None:
        """A picture that is a reset ends every region, without a message."""
        for region in self._regions:
            region.close()
        self._regions.clear()

    def decodes(self, codecs: Iterable[str]) -> None:
        """What the viewer can decode; regions that there are keep their codec."""
        known = dict.fromkeys(terms.codec for terms in KNOWN_CODECS)
        self._codecs = tuple(codec for codec in known if codec in set(codecs))

    def keyframe(self, region_no: int) -> Area | None:
        """The viewer needs a keyframe of this region; its area, or None if it is over already."""
        for region in self._regions:
            if region.number == region_no:
                region.ask_for_key()
                return region.area
        return None

    @property
    def due_s(self) -> float | None:
        """When `settle` has something to do."""
        due = [at_s for one in self._regions for at_s in (one.still_at_s, one.held_until_s)]
        return min((at_s for at_s in due if at_s is not None), default=None)

    def settle(self, now_s: float, marked: Mask) -> None:
        """Tells the time, and marks tiles: of regions that rest now (sent exactly), and that were held."""
        self._now_s = now_s
        for region in self._regions:
            if region.is_held and region.is_due(now_s):
                region.is_held = False
                marked[region.tiles] = True
            if region.still_at_s is not None and now_s >= region.still_at_s:
                region.rest()
                marked[region.tiles] = True
                self._is_shown_by(region)

    def damaged(self, mask: Mask) -> Mask:
        """The source says that these tiles changed; those of them that a picture may be made for now.

        Inside of a region whose encoder cannot take more frames, nothing is captured before it can.
        """
        if not self._codecs:
            return mask
        self._classifier.damaged(mask, self._now_s)
        self._preview_need.damaged(mask)
        left = mask
        for region in self._regions:
            region.is_damaged |= touched(region, mask)
            if region.phase is Phase.MOVING and not region.is_due(self._now_s):
                region.is_held = region.is_held or region.is_damaged
                left = left.copy() if left is mask else left
                left[region.inner_tiles] = False
        return left

    def widen(self, marked: Mask) -> None:
        """A frame needs the whole region: marks all of its tiles once one is."""
        for region in self._regions:
            is_waiting = region.is_preview or not region.is_due(self._now_s)
            if touched(region, marked) and not is_waiting:
                marked[region.tiles] = True

    def outside(self, areas: list[Area]) -> list[Area]:
        """What of these is not shown as moving video, where exact pixels would be old ones."""
        for region in self._regions:
            if region.phase is Phase.MOVING:
                areas = [left for one in areas for left in without(one, region.area)]
        return areas

    def preview(
        self, begun: Begun, found: Mask, current: Words, area: Area, *, is_whole: bool
    ) -> list[VideoFrame]:
        """What is too large to be sent exactly now, as a small JPEG; `found` is what differs.

        The exact tiles follow, with this picture and the next ones, and then the preview is over. What needs
        one again and again is a region of video from the next picture on, whatever it shows. `is_whole`: the
        viewer knows every tile, without which nothing may move above them.
        """
        fresh = self._preview_need.fresh(found)
        box = bounds(fresh, self._width, self._height)
        over_bytes = begun.preview_over_bytes
        if box is None or not self._preview_need.is_there(fresh, current, area, over_bytes):
            self._late_since_s = None
            return []
        self._late_since_s = self._now_s if self._late_since_s is None else self._late_since_s
        if self._now_s - self._late_since_s < self.patience_s:
            return []
        if self._now_s < self._retry_at_s:
            return []
        before = next((one for one in self._regions if one.is_preview), None)
        is_crossed = any(one.area.common_with(box) for one in self._regions if one is not before)
        is_again = is_crossed or self._now_s - self._previewed_at_s < AGAIN_S
        if is_again and is_whole and self._codecs != (JPEG,):
            self._move(aligned(box, self._width, self._height))
            return []
        box = box if before is None else united(before.area, box)
        if is_crossed or JPEG not in self._codecs or box.common_with(area) != box:
            return []
        if before is None and len(self._regions) >= VIDEO_REGIONS_LIMIT:
            return []
        self._preview_need.shown(found)
        self._previewed_at_s = self._now_s
        return self._previewed(begun, before, box, current[_cut(box, area)])

    def frames(
        self, begun: Begun, previous: Words, current: Words, area: Area
    ) -> tuple[list[VideoFrame], Words]:
        """The frames of regions that changed by this picture, and `current` as the exact layer is to see it.

        `previous` is the whole display, `current` only `area` of it; it is written to where that is allowed.
        """
        self._now_s = begun.now_s
        self._rate_bytes_per_s = min(begun.rate_bytes_per_s, RATE_CEILING_BYTES_PER_S)
        made = [self._frame(region, begun, current, area) for region in self._regions]
        moving = [region.area for region in self._regions if region.phase is Phase.MOVING]
        if moving and not current.flags.writeable:
            current = current.copy()
        for one in moving:
            _hide(one, previous, current, area)
        return [frame for frame in made if frame is not None], current

    def classify(self, looked: Mask, found: Mask, previous: Words, current: Words, area: Area) -> None:
        """Of the tiles `looked` a picture carries `found`. Starts or grows regions, from the next one on."""
        now_s = self._now_s
        if not self._codecs:
            return
        refined = [one for one in self._regions if one.phase is Phase.REFINING and not one.is_damaged]
        if refined:
            # what is exact again at last is no sign of a film
            found = found.copy()
            for region in refined:
                found[region.tiles] = False
        self._classifier.looked(looked, found, now_s)
        if now_s < self._retry_at_s:
            return
        for box in self._classifier.boxes(found, previous, current, area, now_s):
            try:
                self._cover(box)
            except BackendUnavailable:
                # no encoder opens: exact is what is left, and perhaps later one does
                self._retry_at_s = now_s + RETRY_S

    def ended(self, picture_no: int, marked: Mask) -> list[VideoEnded]:
        """Regions that are wholly exact with this picture; `marked` is what is left for later ones."""
        over = [one for one in self._regions if one.phase is Phase.REFINING and not touched(one, marked)]
        for region in over:
            self._drop(region)
        # what ended before its first frame is not known to the viewer
        return [VideoEnded(region.number, picture_no) for region in over if region.was_shown]

    def bands(self) -> Mask:
        """The rows of tiles that a region crosses."""
        crossed = np.zeros(self._shape[0], np.bool_)
        for region in self._regions:
            crossed[region.tiles[0]] = True
        return crossed

    @property
    def _terms(self) -> RegionTerms:
        return RegionTerms(self._opens, self._codecs, self._rate_bytes_per_s / max(1, len(self._regions)))

    def _previewed(self, begun: Begun, region: Region | None, box: Area, words: Words) -> list[VideoFrame]:
        # the encoder is told a rate: one frame of it is the preview
        rate = SIZE_SHARE * begun.preview_over_bytes * FRAMES_PER_S
        try:
            encoder = self._opens((JPEG,), EncoderTerms(box.width, box.height, rate))
            made = encoder.encode(words, 0, is_key=True)
            encoder.close()
        except BackendUnavailable:
            self._retry_at_s = self._now_s + RETRY_S
            return []
        assert made is not None
        if region is None:
            self._last_no += 1
            region = Region(self._last_no, box, None, self._now_s)
            self._regions.append(region)
        region.area, region.was_shown = box, True
        return [_message(region, begun, made)]

    def _is_shown_by(self, region: Region) -> None:
        """Its last frame is as good as a preview."""
        mask = tile_mask(self._width, self._height)
        mask[region.tiles] = True
        self._preview_need.shown(mask)

    def _move(self, box: Area) -> None:
        """All of this is video; what was video inside of it is over as soon as it is hidden below."""
        if len(self._regions) >= VIDEO_REGIONS_LIMIT:
            return
        for one in self._regions:
            if one.area.common_with(box):
                one.leave()
        try:
            region = Region(self._last_no + 1, box, self._terms, self._now_s)
        except BackendUnavailable:
            self._retry_at_s = self._now_s + RETRY_S
            return
        self._last_no += 1
        region.is_for_the_link = True
        self._regions.append(region)

    def _drop(self, region: Region) -> None:
        region.close()
        self._regions.remove(region)

    def _cover(self, box: Area) -> None:
        for region in self._regions:
            both = united(region.area, box)
            if region.is_preview:
                continue
            if _pixels(both) <= JOINED_AREA_LIMIT * (_pixels(region.area) + _pixels(box)):
                region.grow(aligned(both, self._width, self._height), self._terms, self._now_s)
                return
        if len(self._regions) < VIDEO_REGIONS_LIMIT:
            self._last_no += 1
            self._regions.append(Region(self._last_no, box, self._terms, self._now_s))

    def _frame(self, region: Region, begun: Begun, current: Words, area: Area) -> VideoFrame | None:
        one = region.area
        if region.is_leaving or not region.is_damaged or one.common_with(area) != one:
            return None
        region.is_held = not region.is_due(begun.now_s)
        if region.is_held:
            return None
        words = current[_cut(one, area)]
        if begun.now_s >= region.check_at_s and not self._is_still_video(region, words):
            region.leave()
            self._is_shown_by(region)
            return None
        try:
            made = region.frame(words, self._terms, self._now_s)
        except BackendUnavailable:
            region.leave()
            self._retry_at_s = self._now_s + RETRY_S
            return None
        return None if made is None else _message(region, begun, made)

    def _is_still_video(self, region: Region, words: Words) -> bool:
        """Whether most of it changes, and compresses badly; looked at once in a while, in some tiles."""
        region.check_at_s = self._now_s + CHECK_INTERVAL_S
        active = np.argwhere(self._classifier.active(self._now_s)[region.tiles])
        rows, columns = region.tiles
        if len(active) < ACTIVE_TILES_SHARE * (rows.stop - rows.start) * (columns.stop - columns.start):
            return False
        if region.is_for_the_link:
            return True
        sampled = active[:: max(1, len(active) // CHECKED_TILES)].tolist()
        cuts = [
            words[row * TILE_PIXELS :, column * TILE_PIXELS :][:TILE_PIXELS, :TILE_PIXELS]
            for row, column in sampled
        ]
        shares = [compressed_share(cut) for cut in cuts if cut.size]
        bad = sum(share >= BAD_SHARE for share in shares)
        return bad >= BAD_TILES_SHARE * len(shares)


def without(one: Area, hole: Area) -> list[Area]:
    """What is left of an area outside of another one: up to four areas, the widest above and below."""
    cut = one.common_with(hole)
    if cut is None:
        return [one]
    around = (
        Area(one.x, one.y, one.width, cut.y - one.y),
        Area(one.x, cut.bottom, one.width, one.bottom - cut.bottom),
        Area(one.x, cut.y, cut.x - one.x, cut.height),
        Area(cut.right, cut.y, one.right - cut.right, cut.height),
    )
    return [left for left in around if left.width > 0 and left.height > 0]


def _message(region: Region, begun: Begun, made: EncodedFrame) -> VideoFrame:
    one = region.area
    place = Rectangle(one.x, one.y, one.width, one.height)
    return VideoFrame(region.number, begun.picture_no, place, made.codec, made.is_key, made.encoded)


def _cut(one: Area, area: Area) -> tuple[slice, slice]:
    """Where `one` is in pixels of `area`."""
    return slice(one.y - area.y, one.bottom - area.y), slice(one.x - area.x, one.right - area.x)


def _hide(region: Area, previous: Words, current: Words, area: Area) -> None:
    cut = region.common_with(area)
    if cut is not None:
        rows = slice(cut.y - area.y, cut.bottom - area.y)
        current[rows, cut.x - area.x : cut.right - area.x] = previous[cut.y : cut.bottom, cut.x : cut.right]


def _pixels(area: Area) -> int:
    return area.width * area.height
