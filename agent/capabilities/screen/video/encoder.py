"""One region's encoder: PyAV, loaded when the first region opens and never before."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.capabilities.screen.tiles import Words
from protocol.errors import BackendUnavailable
from protocol.limits import VIDEO_FRAME_LIMIT_BYTES

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane

H264 = "avc1.42E033"
VP8 = "vp8"
VP9 = "vp09.00.51.08"
FRAMES_PER_S = 30
BUFFER_S = 0.25
"""How much of a second's bytes one frame may have at most, by the encoder's rate control."""


@dataclass(frozen=True, slots=True)
class CodecTerms:
    """`codec` is the name on the wire (WebCodecs codec registry), `library` FFmpeg's encoder."""

    codec: str
    library: str
    options: dict[str, str] = field(default_factory=dict)


# bit rates are set where it opens; every one of these gives a frame's packet at once
KNOWN_CODECS = (
    CodecTerms(
        H264, "libx264", {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "crf": "23"}
    ),
    CodecTerms(
        VP8, "libvpx", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "undershoot-pct": "95"}
    ),
    CodecTerms(
        VP9, "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "row-mt": "0"}
    ),
)


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """What the viewer's decoder gets."""

    codec: str
    is_key: bool
    encoded: bytes


class RegionEncoder(Protocol):
    """Of one size. After an error it is of no use any more."""

    codec: str

    def encode(self, words: Words, at_ms: int, *, is_key: bool) -> EncodedFrame | None:
        """The frame of these pixels (not kept); None if nothing that can be seen changed since the last."""
        ...

    def close(self) -> None:
        """May be called twice."""
        ...


def open_encoder(codecs: Collection[str], width: int, height: int, rate_bytes_per_s: float) -> RegionEncoder:
    """The first known encoder that opens and whose codec the viewer decodes. Width and height are even.

    Raises:
        BackendUnavailable: there is none.
    """
    try:
        import av
    except ImportError as exc:
        raise BackendUnavailable(f"PyAV is missing: {exc}") from None
    reasons = []
    for terms in KNOWN_CODECS:
        if terms.codec not in codecs:
            continue
        try:
            return _AvEncoder(terms, width, height, rate_bytes_per_s)
        except (av.FFmpegError, ValueError) as exc:  # UnknownCodecError is a ValueError
            reasons.append(f"{terms.library}: {exc}")
    raise BackendUnavailable("; ".join(reasons) or "the viewer decodes no codec of ours")


class _AvEncoder:
    def __init__(self, terms: CodecTerms, width: int, height: int, rate_bytes_per_s: float) -> None:
        import av
        from av.video.frame import PictureType

        self.codec = terms.codec
        self._frame_class = av.VideoFrame
        self._key_type, self._any_type = PictureType.I, PictureType.NONE
        self._last: VideoFrame | None = None
        self._context = _opened(terms, width, height, rate_bytes_per_s)

    def encode(self, words: Words, at_ms: int, *, is_key: bool) -> EncodedFrame | None:
        """See `RegionEncoder`.

        Raises:
            BackendUnavailable: no packet came, or one larger than a message may be.
        """
        pixels = words.view(np.uint8).reshape(*words.shape, 4)
        frame = self._frame_class.from_numpy_buffer(pixels, format="bgra").reformat(
            format="yuv420p", src_colorspace="ITU709", dst_colorspace="ITU709"
        )
        if not is_key and self._last is not None and _is_equal(frame, self._last):
            return None
        self._last = frame
        frame.pts = at_ms
        frame.time_base = Fraction(1, 1000)
        frame.pict_type = self._key_type if is_key else self._any_type
        packets = self._context.encode(frame)
        if len(packets) != 1 or packets[0].size > VIDEO_FRAME_LIMIT_BYTES:
            raise BackendUnavailable(f"{self.codec}: {[packet.size for packet in packets]} bytes")
        return EncodedFrame(self.codec, packets[0].is_keyframe, bytes(packets[0]))

    def close(self) -> None:
        """See `RegionEncoder`."""
        self._last = None
        # PyAV frees the context with its last reference
        if hasattr(self, "_context"):
            del self._context


def _opened(terms: CodecTerms, width: int, height: int, rate_bytes_per_s: float) -> VideoCodecContext:
    from av.video.codeccontext import VideoCodecContext

    context = VideoCodecContext.create(terms.library, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = Fraction(1, 1000)
    context.framerate = Fraction(FRAMES_PER_S, 1)
    context.thread_count = 1
    # keyframes come when they are asked for: nothing is lost on the way
    context.gop_size = 1 << 20
    bits_per_s = int(rate_bytes_per_s * 8)
    rate = {"maxrate": str(bits_per_s), "bufsize": str(int(bits_per_s * BUFFER_S))}
    if terms.codec != H264:
        context.bit_rate = bits_per_s
    context.options = {**terms.options, **rate}
    context.open()
    return context


def _is_equal(one: VideoFrame, other: VideoFrame) -> bool:
    return all(
        np.array_equal(_visible(plane), _visible(before))
        for plane, before in zip(one.planes, other.planes, strict=True)
    )


def _visible(plane: VideoPlane) -> NDArray[np.uint8]:
    """Without what fills up its lines."""
    lines: NDArray[np.uint8] = np.asarray(memoryview(plane)).reshape(-1, plane.line_size)
    return lines[: plane.height, : plane.width]
