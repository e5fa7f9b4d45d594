"""An agent's end of the screen channel, for the console: pictures, copies and proofs on order."""

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import zstandard
from numpy.typing import NDArray

from agent.capabilities.screen.video.encoder import EncodedFrame
from protocol.errors import ErrorCode, SupportError, Unreachable
from protocol.limits import PICTURE_PART_TILES_LIMIT, TILE_PIXELS, ZSTD_WINDOW_LOG
from protocol.messages import screen
from tests.support.picture_decoder import residues_of

Pixels = NDArray[np.uint8]


def colour_card(width: int, height: int, shift: int = 0) -> Pixels:
    """A picture (BGR) in which every pixel tells its place, so that a misplaced tile shows."""
    y, x = np.mgrid[0:height, 0:width]
    channels = (x + shift, y * 3, (x * 7 + y * 13) ^ (x >> 3))
    return np.stack([(channel & 255).astype(np.uint8) for channel in channels], axis=-1)


@dataclass
class FakeChannel:
    """One end of a channel; the device script at the other end uses `to_page` and `on_message`."""

    on_message: Callable[[bytes], None] = lambda message: None
    arrived: asyncio.Queue[bytes | SupportError] = field(default_factory=asyncio.Queue)
    sent: list[bytes] = field(default_factory=list)
    is_closed: bool = False

    async def send(self, message: bytes) -> None:
        """Keep it and hand it to the script."""
        self.sent.append(message)
        self.on_message(message)

    async def until_sent(self) -> None:
        """The script has it already."""

    async def receive(self) -> bytes:
        """What the script said next."""
        item = await self.arrived.get()
        if isinstance(item, SupportError):
            self.arrived.put_nowait(item)
            raise item
        return item

    def to_page(self, message: bytes) -> None:
        """The script says something."""
        self.arrived.put_nowait(message)

    def finish(self, code: ErrorCode) -> None:
        """The channel is over."""
        self.arrived.put_nowait(Unreachable("fake", code=code))

    def close(self) -> None:
        """Done with it."""
        self.is_closed = True


class FakeScreen:
    """Shows pictures on a screen channel as an agent does: copies, tiles, parts, proofs, one zstd stream."""

    def __init__(self, channel: FakeChannel) -> None:
        self._channel = channel
        self._picture_nos = itertools.count(1)
        self.reset()
        self.seen: list[int] = []
        self.wishes: list[screen.FromTechnician] = []  # all but acknowledgements and codecs
        self.decodes: list[str] = []
        self.was_seen = asyncio.Event()
        channel.on_message = self._hear

    def reset(self) -> None:
        """The next picture starts a new stream; it must be shown whole."""
        parameters = zstandard.ZstdCompressionParameters.from_level(
            1, window_log=ZSTD_WINDOW_LOG, enable_ldm=True, write_content_size=False
        )
        self._compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        self._is_first = True

    def restart(self) -> None:
        """Another worker goes on: numbers from 1, a new stream."""
        self._picture_nos = itertools.count(1)
        self.reset()
        self.say(screen.ScreenRestarted())

    def show(
        self, picture: Pixels, captured_at_ms: int | None = None, *, tiles: Sequence[screen.Rectangle] = ()
    ) -> int:
        """Send these tiles of the picture, or all; returns its number."""
        return self._send(next(self._picture_nos), picture, captured_at_ms, list(tiles))

    def scroll(
        self, picture: Pixels, copies: Sequence[screen.Copy], tiles: Sequence[screen.Rectangle] = ()
    ) -> int:
        """Send copies, then these tiles, or none."""
        number = next(self._picture_nos)
        self.say(screen.ScrollCopies(number, list(copies)))
        if tiles:
            return self._send(number, picture, None, list(tiles))
        height, width = picture.shape[:2]
        self.say(screen.PicturePart(number, _now_ms(), width, height, False, True, [], b""))
        return number

    def prove(self, number: int, picture: Pixels, y: int, height: int) -> None:
        """Say what these rows must be."""
        rows = np.ascontiguousarray(picture[y : y + height]).tobytes()
        self.say(screen.BandProof(number, y, height, hashlib.sha256(rows).digest()))

    def film(self, picture: Pixels, frames: Sequence[tuple[int, screen.Rectangle, EncodedFrame]]) -> int:
        """Send frames of regions, and nothing exact."""
        number = next(self._picture_nos)
        for region_no, place, frame in frames:
            encoded = screen.VideoFrame(region_no, number, place, frame.codec, frame.is_key, frame.encoded)
            self.say(encoded)
        height, width = picture.shape[:2]
        self.say(screen.PicturePart(number, _now_ms(), width, height, False, True, [], b""))
        return number

    def end_film(self, picture: Pixels, region_no: int, tiles: Sequence[screen.Rectangle]) -> int:
        """End a region with a picture that has these tiles."""
        number = next(self._picture_nos)
        self.say(screen.VideoEnded(region_no, number))
        return self._send(number, picture, None, list(tiles))

    def spoil(self, picture: Pixels, compressed: bytes) -> int:
        """Send a tile whose bytes are damaged."""
        height, width = picture.shape[:2]
        number = next(self._picture_nos)
        tile = screen.Rectangle(0, 0, 4, 4)
        self.say(
            screen.PicturePart(number, _now_ms(), width, height, self._is_first, True, [tile], compressed)
        )
        return number

    def describe_displays(self, sizes: Sequence[tuple[int, int]], shown_index: int, mode: str) -> None:
        """Displays of these sizes beside one another, one of them or all shown."""
        lefts = itertools.accumulate((width for width, _ in sizes), initial=0)
        displays = [
            screen.DisplayFacts(index, left, 0, width, height, 1.0)
            for index, (left, (width, height)) in enumerate(zip(lefts, sizes, strict=False))
        ]
        self.say(screen.Displays(displays, shown_index, screen.DisplayMode(mode), "fake"))

    def describe(self, width: int, height: int) -> None:
        """Two displays and an arrow as the cursor."""
        self.describe_displays([(width, height), (1280, 1024)], 0, "one")
        arrow = np.zeros((24, 16, 4), np.uint8)
        for row in range(20):
            arrow[row, : min(row // 2 + 2, 14)] = (0, 0, 0, 255)
            arrow[row, 1 : min(row // 2 + 1, 13)] = (255, 255, 255, 255)
        self.say(screen.CursorShape(16, 24, 0, 0, arrow.tobytes()))
        self.say(screen.CursorMoved(width // 2, height // 2))

    def say(self, message: screen.FromAgent) -> None:
        """Send any message."""
        self._channel.to_page(screen.FROM_AGENT_CODEC.encode(message))

    def _send(
        self, number: int, picture: Pixels, captured_at_ms: int | None, tiles: list[screen.Rectangle]
    ) -> int:
        height, width = picture.shape[:2]
        shown = tiles or all_tiles(width, height)
        batches = [
            shown[at : at + PICTURE_PART_TILES_LIMIT] for at in range(0, len(shown), PICTURE_PART_TILES_LIMIT)
        ]
        for index, batch in enumerate(batches):
            raw = b"".join(
                residues_of(picture[one.y : one.y + one.height, one.x : one.x + one.width]) for one in batch
            )
            packed = self._compressor.compress(raw)
            packed += self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
            self.say(
                screen.PicturePart(
                    picture_no=number,
                    captured_at_ms=_now_ms() if captured_at_ms is None else captured_at_ms,
                    width=width,
                    height=height,
                    is_reset=self._is_first,
                    is_last=index == len(batches) - 1,
                    rectangles=batch,
                    compressed=packed,
                )
            )
            self._is_first = False
        return number

    def _hear(self, message: bytes) -> None:
        decoded = screen.FROM_TECHNICIAN_CODEC.decode(message)
        if isinstance(decoded, screen.PictureSeen):
            self.seen.append(decoded.picture_no)
            self.was_seen.set()
        elif isinstance(decoded, screen.Decodes):
            self.decodes = decoded.codecs
        else:
            self.wishes.append(decoded)


def all_tiles(width: int, height: int) -> list[screen.Rectangle]:
    """The whole display in tiles."""
    return [
        screen.Rectangle(x, y, min(TILE_PIXELS, width - x), min(TILE_PIXELS, height - y))
        for y in range(0, height, TILE_PIXELS)
        for x in range(0, width, TILE_PIXELS)
    ]


def _now_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000)
