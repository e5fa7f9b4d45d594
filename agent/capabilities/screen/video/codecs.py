"""Which encoders there are, in the order in which they are tried, and how each is set.

Every one of these must give a frame's packet at once, and a keyframe with everything a decoder needs whenever
one is asked for. What was measured of the software ones: protocol/decisions/0006.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from protocol.limits import PICTURE_AREA_LIMIT_PIXELS

H264 = "avc1.42E033"
VP8 = "vp8"
VP9 = "vp09.00.51.08"
JPEG = "jpeg"
"""No codec of WebCodecs: each frame is a JPEG file, which every browser decodes."""

Options = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CodecTerms:
    """`codec` is the name on the wire (WebCodecs codec registry, or JPEG), `library` FFmpeg's encoder.

    `levels` are added to the options, the best first, each cheaper than the one before. More than
    `area_limit_pixels`, those of all regions together, would take it more memory than a worker may hold.
    """

    codec: str
    library: str
    options: Options
    levels: tuple[Options, ...] = field(default=({},))
    pixel_format: str = "yuv420p"
    is_hardware: bool = False
    has_bit_rate: bool = True
    area_limit_pixels: int = PICTURE_AREA_LIMIT_PIXELS

    def room_share(self, pixels: int) -> float:
        """Of the room that encoders have which need much memory, what a region of this size takes."""
        is_large = self.area_limit_pixels < PICTURE_AREA_LIMIT_PIXELS
        return pixels / self.area_limit_pixels if is_large else 0.0


# the options are in FFmpeg's source, libavcodec/{nvenc_h264,qsvenc_h264,amfenc_h264,videotoolboxenc,mfenc}.c
_HARDWARE = (
    CodecTerms(
        H264,
        "h264_nvenc",
        {"preset": "p3", "tune": "ull", "rc": "vbr", "zerolatency": "1", "delay": "0", "forced-idr": "1"}
        | {"profile": "baseline"},
        pixel_format="nv12",
        is_hardware=True,
    ),
    CodecTerms(
        H264,
        "h264_qsv",
        {"preset": "veryfast", "async_depth": "1", "forced_idr": "1", "scenario": "displayremoting"}
        | {"profile": "baseline", "look_ahead": "0"},
        pixel_format="nv12",
        is_hardware=True,
    ),
    CodecTerms(
        H264,
        "h264_amf",
        {"usage": "ultralowlatency", "quality": "balanced", "rc": "vbr_latency", "forced_idr": "1"}
        | {"profile": "constrained_baseline", "async_depth": "1"},
        pixel_format="nv12",
        is_hardware=True,
    ),
    CodecTerms(
        H264,
        "h264_videotoolbox",
        {"realtime": "1", "prio_speed": "1", "allow_sw": "0", "profile": "constrained_baseline"},
        pixel_format="nv12",
        is_hardware=True,
    ),
    CodecTerms(
        H264,
        "h264_mf",
        {"hw_encoding": "1", "rate_control": "ld_vbr", "scenario": "display_remoting"},
        pixel_format="nv12",
        is_hardware=True,
    ),
)
_SOFTWARE = (
    CodecTerms(
        H264,
        "libx264",
        {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "crf": "21"},
        # the deblocking filter: 1 dB for less than a tenth of the time, and fewer bits
        levels=({"x264-params": "deblock=1"}, {}),
        has_bit_rate=False,
    ),
    CodecTerms(
        VP8,
        "libvpx",
        {"deadline": "realtime", "lag-in-frames": "0", "undershoot-pct": "95"}
        | {"qmin": "16", "qmax": "56", "max-intra-rate": "600"},
        levels=({"cpu-used": "12"}, {"cpu-used": "14"}),
        # 42 bytes a pixel: 82 MiB for 1920x1080, where x264 takes 28. Room for 1280x720 that is not aligned
        area_limit_pixels=1312 * 752,
    ),
    CodecTerms(
        VP9,
        "libvpx-vp9",
        {"deadline": "realtime", "lag-in-frames": "0", "row-mt": "0", "cpu-used": "8"}
        | {"qmin": "26", "qmax": "56"},
        # 90 bytes a pixel
        area_limit_pixels=640 * 480,
    ),
)
_PICTURES = (CodecTerms(JPEG, "mjpeg", {}, pixel_format="yuvj420p"),)
KNOWN_CODECS = (*_HARDWARE, *_SOFTWARE, *_PICTURES)
