"""One region of video: frames while it moves, exact pixels when it rests, and then its end (sans-I/O)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from agent.capabilities.screen.tiles import Mask, Words
from agent.capabilities.screen.video.effort import Effort
from agent.capabilities.screen.video.encoder import EncodedFrame, EncoderTerms, OpenEncoder, RegionEncoder
from agent.platform.interfaces import Area
from protocol.errors import BackendUnavailable
from protocol.limits import TILE_PIXELS

STILL_S = 0.3
FIRST_CHECK_S = 1.0
BITS_PER_PIXEL_LIMIT = 0.4
RATE_SHARE = 0.8
RATE_LIMIT_BYTES_PER_S = 5_000_000 / 8
RATE_MIN_BYTES_PER_S = 200_000 / 8
FRAMES_PER_S = 30
HALVED_BELOW_BITS_PER_PIXEL = 0.02
"""With less than that, frames of half of both sides look better (decision 0006)."""
RATE_STEP = 2.0
REOPEN_INTERVAL_S = 2.0


class Phase(Enum):
    """REFINING: it rests, and exact pixels are sent; new damage that can be seen makes it MOVING again."""

    MOVING = "moving"
    REFINING = "refining"


@dataclass(frozen=True, slots=True)
class RegionTerms:
    """How its encoder is opened."""

    open_encoder: OpenEncoder
    codecs: tuple[str, ...]
    rate_bytes_per_s: float

    def rate_for(self, area: Area) -> float:
        """What a region of this size should need, within what the link gives."""
        wanted = area.width * area.height * FRAMES_PER_S * BITS_PER_PIXEL_LIMIT / 8
        given = min(wanted, RATE_LIMIT_BYTES_PER_S, self.rate_bytes_per_s * RATE_SHARE)
        return max(RATE_MIN_BYTES_PER_S, given)


class Region:
    """Its number is never used again; its area may grow.

    Without `terms` it is a preview: it has had its frame, and becomes exact. `is_for_the_link`: it is video
    because the link is too slow for it, and not for what it shows.
    """

    def __init__(self, number: int, area: Area, terms: RegionTerms | None, now_s: float) -> None:
        self.number = number
        self.area = area
        self.phase = Phase.MOVING if terms else Phase.REFINING
        self.is_damaged = True
        self.is_held = False
        self.is_leaving = terms is None
        self.is_for_the_link = self.was_shown = False
        self.effort = Effort()
        self.check_at_s = now_s + FIRST_CHECK_S
        self._changed_at_s = now_s
        self._is_key_due = False
        self._encoder: RegionEncoder | None = None
        if terms:
            self._open(terms, now_s)

    @property
    def tiles(self) -> tuple[slice, slice]:
        """The tiles that it touches."""
        one = self.area
        rows = slice(one.y // TILE_PIXELS, -(-one.bottom // TILE_PIXELS))
        return rows, slice(one.x // TILE_PIXELS, -(-one.right // TILE_PIXELS))

    @property
    def inner_tiles(self) -> tuple[slice, slice]:
        """The tiles of which every pixel is in it."""
        one = self.area
        rows = slice(-(-one.y // TILE_PIXELS), one.bottom // TILE_PIXELS)
        return rows, slice(-(-one.x // TILE_PIXELS), one.right // TILE_PIXELS)

    @property
    def is_preview(self) -> bool:
        """Whether it never moves: it is what a picture looks like about, until it is exact."""
        return self._encoder is None

    @property
    def held_until_s(self) -> float | None:
        """When the frame may be made that it waits for; None if it waits for none."""
        if not self.is_held or self.phase is not Phase.MOVING:
            return None
        return max(self.effort.due_s, self._opened_at_s)

    def is_due(self, now_s: float) -> bool:
        """Whether a frame may be made: a keyframe at once, others by what the encoder can sustain."""
        return self._is_key_due or now_s >= self.effort.due_s

    @property
    def still_at_s(self) -> float | None:
        """When it rests, if nothing changes; None if it does already."""
        return self._changed_at_s + STILL_S if self.phase is Phase.MOVING else None

    def grow(self, area: Area, terms: RegionTerms, now_s: float) -> None:
        """A larger area, which holds the one before; the next frame is a keyframe."""
        self.close()
        self.area = area
        self._open(terms, now_s)
        self.phase, self.is_damaged, self.is_leaving = Phase.MOVING, True, False
        self.check_at_s = now_s + FIRST_CHECK_S

    def ask_for_key(self) -> None:
        """The viewer's decoder needs a keyframe."""
        self._is_key_due = self.is_damaged = True

    def rest(self) -> None:
        """From now on exact pixels are sent."""
        self.phase = Phase.REFINING

    def leave(self) -> None:
        """It is no video any more: as if it rested, and no damage makes it move again.

        Its encoder goes at once: another one over the same pixels would take as much memory again.
        """
        self.phase, self.is_leaving = Phase.REFINING, True
        self.close()

    def frame(self, words: Words, terms: RegionTerms, now_s: float) -> EncodedFrame | None:
        """The newest frame, if what can be seen of it changed. An encoder that fails is replaced once.

        Raises:
            BackendUnavailable: no encoder works.
        """
        self.is_damaged = False
        try:
            self._adapt(terms, now_s)
            made = self._encoded(words, now_s)
        except BackendUnavailable:
            self.close()
            self._open(terms, now_s)
            made = self._encoded(words, now_s)
        if made is not None:
            self.effort.spent(made.took_s, now_s)
            self.was_shown, self._is_key_due = True, False
            self._changed_at_s = now_s
            self.phase = Phase.MOVING
        return made

    def close(self) -> None:
        """May be called twice."""
        if self._encoder is not None:
            self._encoder.close()

    def _encoded(self, words: Words, now_s: float) -> EncodedFrame | None:
        assert self._encoder is not None
        return self._encoder.encode(words, int(now_s * 1000), is_key=self._is_key_due)

    def _adapt(self, terms: RegionTerms, now_s: float) -> None:
        """Another rate, if it is much more or less than the encoder has, and another level of effort."""
        ratio = terms.rate_for(self.area) / self._rate
        is_other_rate = (
            now_s - self._opened_at_s > REOPEN_INTERVAL_S and not 1 / RATE_STEP < ratio < RATE_STEP
        )
        if is_other_rate or self._level != self.effort.level:
            self.close()
            self._open(terms, now_s)

    def _open(self, terms: RegionTerms, now_s: float) -> None:
        self._rate, self._level = terms.rate_for(self.area), self.effort.level
        area, bits_per_s = self.area, 8 * self._rate
        is_halved = bits_per_s < HALVED_BELOW_BITS_PER_PIXEL * FRAMES_PER_S * area.width * area.height
        wanted = EncoderTerms(area.width, area.height, self._rate, self._level, is_halved=is_halved)
        self._encoder = terms.open_encoder(terms.codecs, wanted)
        self.effort.use(self._encoder.levels)
        # the first frame follows at once, also if nothing changes any more
        self._is_key_due = self.is_held = True
        self._opened_at_s = now_s


def touched(region: Region, mask: Mask) -> bool:
    """Whether one of these tiles is one that the region touches."""
    return bool(mask[region.tiles].any())
