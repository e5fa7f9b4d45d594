"""One region's encoder, and which of those that there are: PyAV, loaded when the first region opens."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.capabilities.screen.tiles import Words
from agent.capabilities.screen.video.codecs import JPEG, KNOWN_CODECS, CodecTerms
from protocol.errors import BackendUnavailable

HARDWARE_MIN_PIXELS = 256 * 144
"""Smaller ones are cheap, and some hardware refuses them."""


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """What the viewer's decoder gets; `took_s` is how long it took to make."""

    codec: str
    is_key: bool
    encoded: bytes
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class EncoderTerms:
    """Of one size, both sides even; `level` is one of the encoder's, see `CodecTerms`.

    `is_halved`: frames have half of both sides, and the viewer stretches them. JPEG finds its own size.
    """

    width: int
    height: int
    rate_bytes_per_s: float
    level: int = 0
    is_halved: bool = False

    @property
    def coded_size(self) -> tuple[int, int]:
        """Width and height of what is encoded, both even."""
        if not self.is_halved:
            return self.width, self.height
        return max(2, self.width // 4 * 2), max(2, self.height // 4 * 2)


class RegionEncoder(Protocol):
    """Of one size. After an error it is of no use any more."""

    codec: str
    levels: int

    def encode(self, words: Words, at_ms: int, *, is_key: bool) -> EncodedFrame | None:
        """The frame of these pixels (not kept); None if nothing that can be seen changed since the last.

        Raises:
            BackendUnavailable: no packet came, or one larger than a message may be.
        """
        ...

    def close(self) -> None:
        """May be called twice."""
        ...


MakeEncoder = Callable[[CodecTerms, EncoderTerms], RegionEncoder]
OpenEncoder = Callable[[Collection[str], EncoderTerms], RegionEncoder]


class EncoderChoice:
    """Opens the best encoder that works. `reasons` says why better ones were passed over."""

    def __init__(self, known: Sequence[CodecTerms] = KNOWN_CODECS, make: MakeEncoder | None = None) -> None:
        self._known = known
        self._make = make or _made
        self.reasons: dict[str, str] = {}
        self.taken_share = 0.0
        """Of the room for encoders that need much memory, see `CodecTerms.room_share`."""

    def __call__(self, codecs: Collection[str], terms: EncoderTerms) -> RegionEncoder:
        """The first known encoder that opens and whose codec the viewer decodes.

        Hardware that failed once is not tried again: that takes long, and it does not come back.

        Raises:
            BackendUnavailable: there is none.
        """
        tried = []
        for one in self._known:
            if one.codec not in codecs or self._is_passed_over(one, terms):
                continue
            try:
                return _Opened(self._make(one, terms), one, terms, self)
            except BackendUnavailable as exc:
                self.reasons[one.library] = exc.detail
                tried.append(f"{one.library}: {exc.detail}")
        raise BackendUnavailable("; ".join(tried) or "the viewer decodes no codec of ours")

    def _is_passed_over(self, one: CodecTerms, terms: EncoderTerms) -> bool:
        width, height = terms.coded_size
        pixels = width * height
        if one.is_hardware and (pixels < HARDWARE_MIN_PIXELS or one.library in self.reasons):
            return True
        return pixels > one.area_limit_pixels or one.room_share(pixels) + self.taken_share > 1


class _Opened:
    """Takes its share of the room until it is closed; hardware notes when it fails."""

    def __init__(
        self, real: RegionEncoder, terms: CodecTerms, size: EncoderTerms, choice: EncoderChoice
    ) -> None:
        self.codec, self.levels = real.codec, real.levels
        self._real, self._terms, self._choice = real, terms, choice
        width, height = size.coded_size
        self._share = terms.room_share(width * height)
        choice.taken_share += self._share

    def encode(self, words: Words, at_ms: int, *, is_key: bool) -> EncodedFrame | None:
        """See `RegionEncoder`."""
        try:
            return self._real.encode(words, at_ms, is_key=is_key)
        except BackendUnavailable as exc:
            if self._terms.is_hardware:
                self._choice.reasons[self._terms.library] = exc.detail
            raise

    def close(self) -> None:
        """See `RegionEncoder`."""
        self._choice.taken_share -= self._share
        self._share = 0.0
        self._real.close()


def _made(codec: CodecTerms, terms: EncoderTerms) -> RegionEncoder:
    """Loads PyAV.

    Raises:
        BackendUnavailable: PyAV is missing, or this encoder does not open.
    """
    try:
        from agent.capabilities.screen.video.av_encoder import AvEncoder
        from agent.capabilities.screen.video.jpeg import JpegEncoder
    except ImportError as exc:
        raise BackendUnavailable(f"PyAV is missing: {exc}") from None
    return JpegEncoder(terms) if codec.codec == JPEG else AvEncoder(codec, terms)
