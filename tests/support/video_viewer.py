"""A viewer in memory that decodes video, too: the exact picture, and the canvas that a person sees."""

from dataclasses import dataclass, field

import av
import numpy as np

from protocol.messages.screen import FromAgent, PicturePart, Rectangle, ScrollCopies, VideoEnded, VideoFrame
from tests.support.viewer import Viewer

DECODERS = {"avc1": "h264", "vp8": "vp8", "vp09": "vp9", "jpeg": "mjpeg"}
ALL_CODECS = ["avc1.42E033", "vp8", "vp09.00.51.08"]


class FrameDecoder:
    """One stream of one region."""

    def __init__(self, codec: str) -> None:
        self._context = av.CodecContext.create(DECODERS[codec.partition(".")[0]], "r")
        self._context.thread_count = 1
        # a JPEG file is of BT.601 colours (JFIF 1.02)
        self._colours = "ITU601" if codec == "jpeg" else "ITU709"
        if codec.startswith("avc1"):
            self._context.flags |= av.codec.context.Flags.low_delay

    def decode(self, encoded: bytes, size: tuple[int, int] | None = None) -> np.ndarray:
        """Its pixels, RGBA, stretched to width and height if those are given."""
        frames = self._context.decode(av.Packet(encoded))
        assert len(frames) == 1, "each frame is there at once"
        coded = frames[0].width, frames[0].height
        width, height = size or coded
        halved = max(2, width // 4 * 2), max(2, height // 4 * 2)
        assert self._colours == "ITU601" or coded in ((width, height), halved)
        colours = {"src_colorspace": self._colours, "dst_colorspace": self._colours}
        return frames[0].reformat(width=width, height=height, format="rgba", **colours).to_ndarray()


@dataclass
class Shown:
    """A region as it is now."""

    rectangle: Rectangle
    decoder: FrameDecoder


@dataclass
class Frames:
    """What came."""

    frames: list[VideoFrame] = field(default_factory=list)
    ended: list[VideoEnded] = field(default_factory=list)


class VideoViewer(Viewer):
    """`canvas` is RGBA, as a browser's; `regions` those that are active; `video` what came."""

    def __init__(self, codecs: list[str]) -> None:
        super().__init__()
        self._order.decodes(codecs)
        self.canvas = np.zeros((0, 0, 4), np.uint8)
        self.regions: dict[int, Shown] = {}
        self.video = Frames()
        self._over: list[Rectangle] = []

    def show(self, message: FromAgent) -> int:
        """As `Viewer.show`."""
        match message:
            case VideoFrame():
                self._draw(message)
            case VideoEnded():
                self._order.video_ended(message)
                self._over.append(self.regions.pop(message.region_no).rectangle)
                self.video.ended.append(message)
            case PicturePart():
                self._part(message)
                return message.picture_no if message.is_last else 0
            case ScrollCopies():
                super().show(message)
                for one in message.copies:
                    self._paint(Rectangle(one.to_x, one.to_y, one.width, one.height), is_below=True)
            case _:
                return super().show(message)
        return 0

    def _part(self, part: PicturePart) -> None:
        self.paint(part)
        if part.is_reset:
            self.regions.clear()
            self.canvas = self.frame.copy()
        for one in part.rectangles:
            self._paint(one)
        if part.is_last:
            for one in self._over:
                self._paint(one, is_below=True)
            self._over.clear()

    def _draw(self, frame: VideoFrame) -> None:
        self._order.video(frame)
        self.video.frames.append(frame)
        region = self.regions.get(frame.region_no)
        if region is None or region.rectangle != frame.rectangle or frame.is_key:
            region = Shown(frame.rectangle, FrameDecoder(frame.codec))
            self.regions[frame.region_no] = region
        self.canvas[_place(frame.rectangle)] = region.decoder.decode(
            frame.encoded, (frame.rectangle.width, frame.rectangle.height)
        )

    def _paint(self, one: Rectangle, *, is_below: bool = False) -> None:
        """From the exact picture; what a copy moves below a region, or another one leaves, does not show."""
        video = [(_place(region.rectangle)) for region in self.regions.values()] if is_below else []
        kept = [self.canvas[place].copy() for place in video]
        self.canvas[_place(one)] = self.frame[_place(one)]
        for place, pixels in zip(video, kept, strict=True):
            self.canvas[place] = pixels


def _place(one: Rectangle) -> tuple[slice, slice]:
    return slice(one.y, one.y + one.height), slice(one.x, one.x + one.width)
