"""JPEG frames of a region: for viewers without a video decoder, and as a preview of what is too large.

A frame may be smaller than its region; the viewer stretches it. Importing this loads PyAV.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from agent.capabilities.screen.tiles import Words
from agent.capabilities.screen.video.codecs import JPEG
from agent.capabilities.screen.video.encoder import EncodedFrame, EncoderTerms
from protocol.errors import BackendUnavailable
from protocol.limits import VIDEO_FRAME_LIMIT_BYTES

FRAMES_PER_S = 30
PIXEL_FORMAT = "yuvj420p"
RAISE_BELOW = 0.5
"""Of what a frame may have: then the next one is a rung better, which is up to 1.7 times as large."""


@dataclass(frozen=True, slots=True)
class Rung:
    """`divisor` of both sides, `quantiser` of FFmpeg's mjpeg: 2 is best, 31 worst."""

    divisor: int
    quantiser: int


RUNGS = (
    Rung(1, 4), Rung(1, 8), Rung(1, 14), Rung(2, 6), Rung(2, 11),
    Rung(4, 5), Rung(4, 10), Rung(8, 6), Rung(8, 14),
)  # fmt: skip
FIRST_RUNG = 2


class JpegEncoder:
    """See `RegionEncoder`. Every frame is a keyframe; its size follows the rate, frame after frame.

    A keyframe that was asked for is within the rate, or as small as it gets.
    """

    codec = JPEG
    levels = 1

    def __init__(self, terms: EncoderTerms, rung: int = FIRST_RUNG) -> None:
        self._size = (terms.width, terms.height)
        self._frame_bytes = terms.rate_bytes_per_s / FRAMES_PER_S
        self._reformatter = VideoReformatter()
        self._last: Words | None = None
        self._use(rung)

    def encode(self, words: Words, at_ms: int, *, is_key: bool) -> EncodedFrame | None:
        """See `RegionEncoder`."""
        began_s = time.perf_counter()
        if not is_key and self._last is not None and np.array_equal(words, self._last):
            return None
        self._last = words.copy()
        encoded = self._encoded(words, at_ms)
        # a stream begins within its rate, at once; later frames follow it
        while is_key and len(encoded) > self._frame_bytes and self._rung + 1 < len(RUNGS):
            self._use(self._rung + (1 if len(encoded) < 2 * self._frame_bytes else 2))
            encoded = self._encoded(words, at_ms)
        self._follow(len(encoded))
        return EncodedFrame(JPEG, True, encoded, time.perf_counter() - began_s)

    def close(self) -> None:
        """See `RegionEncoder`."""
        self._last = None
        if hasattr(self, "_context"):
            del self._context

    def _follow(self, size_bytes: int) -> None:
        if size_bytes > self._frame_bytes and self._rung + 1 < len(RUNGS):
            self._use(self._rung + 1)
        elif size_bytes < RAISE_BELOW * self._frame_bytes and self._rung:
            self._use(self._rung - 1)

    def _use(self, rung: int) -> None:
        self._rung = min(rung, len(RUNGS) - 1)
        try:
            self._context = _opened(RUNGS[self._rung], *self._size)
        except (av.FFmpegError, ValueError) as exc:
            raise BackendUnavailable(f"mjpeg does not open: {exc}") from None

    def _encoded(self, words: Words, at_ms: int) -> bytes:
        pixels = words.view(np.uint8).reshape(*words.shape, 4)
        # a JPEG file is of BT.601 colours and full range (JFIF 1.02)
        frame = self._reformatter.reformat(
            VideoFrame.from_numpy_buffer(pixels, format="bgra"),
            width=self._context.width,
            height=self._context.height,
            format=PIXEL_FORMAT,
            src_colorspace=Colorspace.ITU601,
            dst_colorspace=Colorspace.ITU601,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.AREA,
            threads=1,
        )
        frame.pts, frame.time_base = at_ms, Fraction(1, 1000)
        try:
            packets = self._context.encode(frame)
        except av.FFmpegError as exc:
            raise BackendUnavailable(f"mjpeg: {exc}") from None
        if len(packets) != 1 or packets[0].size > VIDEO_FRAME_LIMIT_BYTES:
            raise BackendUnavailable(f"mjpeg made {[packet.size for packet in packets]} bytes of a frame")
        return bytes(packets[0])


def _opened(rung: Rung, width: int, height: int) -> VideoCodecContext:
    context = VideoCodecContext.create("mjpeg", "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height = max(1, width // rung.divisor), max(1, height // rung.divisor)
    context.pix_fmt, context.time_base, context.thread_count = PIXEL_FORMAT, Fraction(1, 1000), 1
    context.qmin = context.qmax = rung.quantiser
    context.open()
    return context
