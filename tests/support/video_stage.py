"""A display that is drawn on in steps of time, its picture maker, and a viewer that sees every picture."""

import hashlib
import math

import numpy as np

from agent.capabilities.screen.link_estimate import PORTION_S
from agent.capabilities.screen.pictures import UNLIMITED_BYTES, PictureMaker
from agent.capabilities.screen.rate import WHOLE_S
from agent.capabilities.screen.video.encoder import OpenEncoder
from agent.capabilities.screen.video.layer import VideoLayer
from agent.platform.interfaces import Area
from protocol.messages.screen import PicturePart
from tests.support.encoders import TimedChoice
from tests.support.video_viewer import VideoViewer


class Stage:
    """Draw with `put`; `step` lets time pass and a picture be made, if there is one to make."""

    def __init__(self, width: int, height: int, codecs: list[str], opens: OpenEncoder | None = None) -> None:
        self.pixels = np.full((height, width, 4), 230, np.uint8)
        self.maker = PictureMaker(width, height)
        # the stage's time is not the machine's: no encoder is too slow for it
        self.maker.video = VideoLayer(opens or TimedChoice())
        self.maker.video.resize(width, height)
        self.maker.video.decodes(codecs)
        self.viewer = VideoViewer(codecs)
        self.now_s = 100.0
        self.budget_bytes: int = UNLIMITED_BYTES
        self.preview_over_bytes = math.inf
        self.exact_bytes = self.video_bytes = self.pictures = 0
        self.step(0.01)

    def put(self, x: int, y: int, bgrx: np.ndarray) -> None:
        """Draw, and say so."""
        height, width = bgrx.shape[:2]
        self.pixels[y : y + height, x : x + width] = bgrx
        self.maker.damage([Area(x, y, width, height)])

    def scroll_up(self, area: Area, lines: int) -> None:
        """Move what is in the area; its last lines stay."""
        part = self.pixels[area.y : area.bottom, area.x : area.right]
        part[:-lines] = part[lines:].copy()
        self.maker.damage([area])

    def step(self, passed_s: float) -> None:
        """Time passes; then a picture is made and seen."""
        self.now_s += passed_s
        self.maker.settle(self.now_s)
        wanted = self.maker.wanted()
        if wanted is None:
            return
        pixels = self.pixels[wanted.y : wanted.bottom, wanted.x : wanted.right].copy()
        limits = (self.budget_bytes, self.preview_over_bytes)
        whole_bytes = self.budget_bytes * WHOLE_S / PORTION_S
        made = self.maker.make(pixels, wanted, int(self.now_s * 1000), *limits, whole_bytes=whole_bytes)
        for message in made:
            size = len(getattr(message, "compressed", b""))
            self.exact_bytes += size
            self.video_bytes += len(getattr(message, "encoded", b""))
            seen = self.viewer.show(message)
            if isinstance(message, PicturePart) and seen:
                self.pictures += 1
                self.maker.seen(seen)

    def prove(self) -> None:
        """Send the proofs that are due."""
        for proof in self.maker.prove(self.now_s):
            self.viewer.show(proof)

    def is_exact(self) -> bool:
        """Whether a person sees exactly what is on the display, by the hash of both."""
        return _hash(self.viewer.canvas[..., 2::-1]) == _hash(self.pixels[..., :3])


def _hash(pixels: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).digest()
