"""The encoders of this machine, opened by their wire name; and a hardware encoder that is none."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from fractions import Fraction

from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from agent.capabilities.screen.tiles import Words
from agent.capabilities.screen.video.encoder import (
    EncodedFrame,
    EncoderChoice,
    EncoderTerms,
    RegionEncoder,
)


def open_encoder(
    codec: str, width: int, height: int, rate_bytes_per_s: float, level: int = 0, *, is_halved: bool = False
) -> RegionEncoder:
    """The best one for this codec."""
    terms = EncoderTerms(width, height, rate_bytes_per_s, level, is_halved=is_halved)
    return EncoderChoice()([codec], terms)


@dataclass
class FakePacket:
    """As FFmpeg's: bytes, and whether it is a keyframe."""

    content: bytes
    is_keyframe: bool

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self.content)

    def __bytes__(self) -> bytes:
        return self.content


@dataclass
class FakeHardware:
    """What PyAV hands out for a hardware encoder: settings, `open`, `encode`; x264 does the work, from NV12.

    `delay`: so many frames are kept back at first. `ignores_keys`: keyframes come only at the start.
    `has_sets`: whether keyframes carry their parameter sets.
    """

    delay: int = 0
    ignores_keys: bool = False
    has_sets: bool = True
    options: dict[str, str] = field(default_factory=dict)
    width: int = 0
    height: int = 0
    pix_fmt: str = ""
    time_base: Fraction = Fraction(1, 1)
    framerate: Fraction = Fraction(1, 1)
    thread_count: int = 0
    gop_size: int = 0
    max_b_frames: int = 0
    bit_rate: int = 0
    formats: list[str] = field(default_factory=list)
    _waiting: list[FakePacket] = field(default_factory=list)

    def open(self) -> None:
        """Ready for frames."""
        self._real = VideoCodecContext.create("libx264", "w")
        self._real.width, self._real.height, self._real.pix_fmt = self.width, self.height, self.pix_fmt
        self._real.time_base, self._real.gop_size = self.time_base, self.gop_size
        self._real.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}
        self._real.open()

    def encode(self, frame: VideoFrame) -> list[FakePacket]:
        """Its packets, late if it is told so."""
        self.formats.append(frame.format.name)
        if self.ignores_keys:
            frame.pict_type = PictureType.NONE
        for packet in self._real.encode(frame):
            content = bytes(packet) if self.has_sets else bytes(packet).replace(b"\0\0\1\x67", b"\0\0\1\x6c")
            self._waiting.append(FakePacket(content, packet.is_keyframe))
        if self.delay:
            self.delay -= 1
            return []
        return [self._waiting.pop(0)]


class TimedEncoder:
    """The real frames of an encoder, which take as long as a test says."""

    def __init__(self, real: RegionEncoder, took_s: float) -> None:
        self.codec, self.levels = real.codec, real.levels
        self.is_open = True
        self._real, self._took_s = real, took_s

    def encode(self, words: Words, at_ms: int, *, is_key: bool) -> EncodedFrame | None:
        """See `RegionEncoder`."""
        made = self._real.encode(words, at_ms, is_key=is_key)
        return None if made is None else replace(made, took_s=self._took_s)

    def close(self) -> None:
        """See `RegionEncoder`."""
        self.is_open = False
        self._real.close()


class TimedChoice:
    """Opens real encoders; `took_s` is what a frame of a level takes, 0 if it is not said.

    `most_pixels`: what was encoded at the same time at most, all areas added up.
    """

    def __init__(self, took_s: Callable[[int], float] = lambda level: 0.0) -> None:
        self.took_s = took_s
        self.opened: list[EncoderTerms] = []
        self.most_pixels = 0
        self._made: list[TimedEncoder] = []
        self._choice = EncoderChoice()

    def __call__(self, codecs: Collection[str], terms: EncoderTerms) -> RegionEncoder:
        """See `EncoderChoice`."""
        self.opened.append(terms)
        made = TimedEncoder(self._choice(codecs, terms), self.took_s(terms.level))
        self._made.append(made)
        pairs = zip(self._made, self.opened, strict=True)
        self.most_pixels = max(
            self.most_pixels, sum(one.width * one.height for encoder, one in pairs if encoder.is_open)
        )
        return made
