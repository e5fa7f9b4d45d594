"""The page's own decoder in a real browser: zstd.js over WebAssembly, frame buffer, proofs, corrections."""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zstandard
from playwright.async_api import Page, expect

from protocol.limits import ZSTD_WINDOW_LOG
from protocol.messages import screen
from tests.support.console_desk import CHROMIUM, HASH_OF_CANVAS, Desk, rgba_hash, seen
from tests.support.console_fakes import DESK, FakeSession
from tests.support.fake_screen import FakeScreen, Pixels, colour_card
from tests.support.picture_decoder import residues_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
WIDTH, HEIGHT = 1920, 1080
RAW = bytes(range(256)) * 96
# inflates the parts of one stream; says what came of each, and how much memory there is at the end
INFLATE = """async (parts) => {
  const { loadInflater, DamagedStream } = await import("/static/screen/zstd.js");
  const inflater = await loadInflater();
  const said = parts.map(([text, size, isNew]) => {
    const compressed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    try {
      return btoa(String.fromCharCode(...inflater.inflate(compressed, size, isNew)));
    } catch (error) {
      if (!(error instanceof DamagedStream)) throw error;
      return `damaged: ${error.message}`;
    }
  });
  return { said, memoryBytes: inflater.memoryBytes };
}"""
MEMORY_LIMIT_BYTES = 40 << 20


class Compressor:
    """One stream as an agent makes it, with any window."""

    def __init__(self, window_log: int = ZSTD_WINDOW_LOG) -> None:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            1, window_log=window_log, write_content_size=False
        )
        self._stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()

    def block(self, raw: bytes) -> bytes:
        """Up to a block flush."""
        return self._stream.compress(raw) + self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def end(self, raw: bytes) -> bytes:
        """Up to the end of the frame."""
        return self._stream.compress(raw) + self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


async def inflated(page: Page, *parts: tuple[bytes, int, bool]) -> list[str | bytes]:
    """What the page's decoder makes of these parts."""
    coded = [(base64.b64encode(content).decode(), size, is_new) for content, size, is_new in parts]
    answer: dict[str, Any] = await page.evaluate(INFLATE, coded)
    assert answer["memoryBytes"] <= MEMORY_LIMIT_BYTES
    return [text if text.startswith("damaged") else base64.b64decode(text) for text in answer["said"]]


async def test_a_stream_goes_on_over_many_parts_and_starts_anew(desk: Desk) -> None:
    await desk.enter()
    one, two = Compressor(), Compressor(20)
    raws = [bytes([number]) * (1000 + number) + RAW for number in range(30)]
    parts = [(one.block(raw), len(raw), number == 0) for number, raw in enumerate(raws)]
    parts += [(two.block(raw), len(raw), number == 0) for number, raw in enumerate(raws)]
    assert await inflated(desk.page, *parts) == raws + raws


def bomb() -> bytes:
    """200 MB of zeros in a few kilobytes."""
    return Compressor().block(bytes(200 << 20))


DAMAGED: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "less than a head": lambda: b"\x28\xb5\x2f\xfd\x00",
    "noise": lambda: b"not zstd at all",
    "noise after a head": lambda: Compressor().block(b"")[:6] + b"\xff" * 400,
    "a bomb": bomb,
    "one byte too many": lambda: Compressor().block(RAW + b"\0"),
    "one byte too few": lambda: Compressor().block(RAW[:-1]),
    "a cut block": lambda: Compressor().block(RAW)[:-1],
    "a stream that ends": lambda: Compressor().end(RAW),
    "a second frame": lambda: Compressor().end(RAW[:10]) + Compressor().block(RAW[10:]),
    "a window larger than ours": lambda: Compressor(ZSTD_WINDOW_LOG + 1).block(RAW),
    "the largest window there is": lambda: Compressor(31).block(RAW),
    "a single segment": lambda: zstandard.ZstdCompressor().compress(RAW),
    "a frame that may be skipped": lambda: b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + Compressor().block(RAW),
}


@pytest.mark.parametrize("what", DAMAGED)
async def test_damage_is_refused_with_its_stream_and_the_next_stream_is_exact(desk: Desk, what: str) -> None:
    await desk.enter()
    good = Compressor()
    said = await inflated(
        desk.page,
        (DAMAGED[what](), len(RAW), True),
        (good.block(RAW), len(RAW), False),  # goes on where nothing is any more
        (Compressor().block(RAW), len(RAW), True),
    )
    assert str(said[0]).startswith("damaged")
    assert said[1] == "damaged: no stream"
    assert said[2] == RAW


@pytest.mark.parametrize("seed", range(4))
async def test_flipped_bits_give_pixels_of_the_right_size_or_damage(desk: Desk, seed: int) -> None:
    await desk.enter()
    random = np.random.default_rng(seed)
    parts: list[tuple[bytes, int, bool]] = []
    for _ in range(120):
        stream = Compressor(int(random.integers(17, ZSTD_WINDOW_LOG + 1)))
        contents = random.integers(0, int(random.integers(2, 256)), (3, 6000), np.uint8)
        for number, raw in enumerate(contents):
            damaged = bytearray(stream.block(raw.tobytes() + RAW[:3000]))
            for place in random.integers(0, len(damaged), int(random.integers(0, 4))):
                damaged[place] ^= 1 << int(random.integers(0, 8))
            parts.append((bytes(damaged), 9000, number == 0))
    said = await inflated(desk.page, *parts, (Compressor().block(RAW), len(RAW), True))
    pixels = [one for one in said if isinstance(one, bytes)]
    assert {len(one) for one in pixels[:-1]} == {9000}
    assert 0 < len(pixels) < len(parts)
    assert said[-1] == RAW


async def test_hundreds_of_streams_leave_no_memory_behind(desk: Desk) -> None:
    await desk.enter()
    parts = [(Compressor().block(RAW), len(RAW), True) for _ in range(300)]
    assert await inflated(desk.page, *parts) == [RAW] * 300


FRAME = """async ([width, height, rectangles, residues, copies]) => {
  const { FrameBuffer } = await import("/static/screen/frame_buffer.js");
  const frame = new FrameBuffer(width, height);
  frame.put(rectangles, Uint8Array.from(atob(residues), (character) => character.charCodeAt(0)));
  copies.forEach((copy) => frame.copy(copy));
  return btoa(String.fromCharCode(...frame.rows(0, height)));
}"""


@pytest.mark.parametrize("seed", range(12))
async def test_rectangles_and_copies_of_any_size_are_exact(desk: Desk, seed: int) -> None:
    await desk.enter()
    random = np.random.default_rng(seed)
    width, height = (int(side) for side in random.integers(1, 90, 2))
    frame = np.zeros((height, width, 3), np.uint8)
    rectangles, sent = [], b""
    for _ in range(6):
        x, y, across, down = place(random, width, height)
        pixels = random.integers(0, 256, (down, across, 3), np.uint8)
        frame[y : y + down, x : x + across] = pixels
        rectangles.append({"x": x, "y": y, "width": across, "height": down})
        sent += residues_of(pixels)
    copies = []
    for _ in range(6):
        x, y, across, down = place(random, width, height)
        to_x, to_y = int(random.integers(0, width - across + 1)), int(random.integers(0, height - down + 1))
        frame[to_y : to_y + down, to_x : to_x + across] = frame[y : y + down, x : x + across].copy()
        copies.append({"x": x, "y": y, "width": across, "height": down, "toX": to_x, "toY": to_y})
    arguments = [width, height, rectangles, base64.b64encode(sent).decode(), copies]
    assert base64.b64decode(await desk.page.evaluate(FRAME, arguments)) == frame.tobytes()


def place(random: np.random.Generator, width: int, height: int) -> tuple[int, int, int, int]:
    """A rectangle inside of the display."""
    x, y = int(random.integers(0, width)), int(random.integers(0, height))
    return x, y, int(random.integers(1, width - x + 1)), int(random.integers(1, height - y + 1))


async def opened(desk: Desk, width: int = WIDTH, height: int = HEIGHT) -> tuple[FakeSession, FakeScreen]:
    """The kiosk with its first picture."""
    desk.app.script.picture = colour_card(width, height)
    session = await desk.open_kiosk()
    assert session.screen is not None
    return session, session.screen


async def is_shown(desk: Desk, picture: Pixels) -> bool:
    """Whether the canvas is this picture, by its hash."""
    return bool(await desk.page.evaluate(HASH_OF_CANVAS) == rgba_hash(picture))


async def corrections(desk: Desk) -> str:
    """As the canvas says."""
    return str(await desk.page.evaluate("document.querySelector('#screen').dataset.corrections"))


async def wishes(desk: Desk, shown: FakeScreen, count: int) -> list[screen.FromTechnician]:
    """What the page asked the agent for, as soon as it is so much."""
    for _ in range(500):
        if len(shown.wishes) >= count:
            break
        await desk.page.wait_for_timeout(10)
    return shown.wishes


SCROLLS = {
    "up": [screen.Copy(0, 16, WIDTH, HEIGHT - 16, 0, 0)],
    "down": [screen.Copy(0, 0, WIDTH, HEIGHT - 57, 0, 57)],
    "left": [screen.Copy(3, 0, WIDTH - 3, HEIGHT, 0, 0)],
    "right": [screen.Copy(0, 0, WIDTH - 100, HEIGHT, 100, 0)],
    "both ways": [screen.Copy(7, 9, 800, 600, 1, 20)],
    "one after another": [screen.Copy(0, 0, 640, 480, 640, 0), screen.Copy(640, 100, 640, 300, 0, 101)],
}


@pytest.mark.parametrize("way", SCROLLS)
async def test_a_full_hd_picture_scrolled_is_exact_by_hash(desk: Desk, way: str) -> None:
    session, shown = await opened(desk)
    picture = session.script.picture.copy()
    for one in SCROLLS[way]:
        moved = picture[one.y : one.y + one.height, one.x : one.x + one.width].copy()
        picture[one.to_y : one.to_y + one.height, one.to_x : one.to_x + one.width] = moved
    number = shown.scroll(picture, SCROLLS[way])
    shown.prove(number, picture, 0, HEIGHT)
    await seen(session, number)
    assert await is_shown(desk, picture)
    picture[500:564, 64:192] = colour_card(128, 64, 99)
    number = shown.scroll(picture, [screen.Copy(0, 0, 1, 1, 0, 0)], [screen.Rectangle(64, 500, 128, 64)])
    shown.prove(number, picture, 440, 200)
    await seen(session, number)
    assert await is_shown(desk, picture)
    assert await corrections(desk) == "0"
    assert shown.wishes == []


async def test_a_proof_that_fails_is_told_once_counted_and_healed(desk: Desk) -> None:
    session, shown = await opened(desk)
    lied, truth = colour_card(WIDTH, HEIGHT), colour_card(WIDTH, HEIGHT, 5)
    number = shown.show(lied)
    shown.prove(number, lied, 0, 64)
    shown.prove(number, truth, 128, 64)
    shown.prove(number, truth, 256, 64)
    assert await wishes(desk, shown, 1) == [screen.ProofFailed(number, 128)]
    assert await corrections(desk) == "1"
    shown.reset()
    number = shown.show(truth)
    shown.prove(number, truth, 0, HEIGHT)
    await seen(session, number)
    assert await is_shown(desk, truth)
    await desk.page.wait_for_timeout(50)
    assert len(shown.wishes) == 1
    assert await corrections(desk) == "1"


@pytest.mark.parametrize("damage", [b"", b"\xff" * 50, b"\x28\xb5\x2f\xfd" + b"\xff" * 40])
async def test_damage_keeps_the_last_whole_picture_until_everything_has_come_anew(
    desk: Desk, damage: bytes
) -> None:
    session, shown = await opened(desk)
    before = session.script.picture
    shown.spoil(before, damage)
    shown.show(colour_card(WIDTH, HEIGHT, 3))  # under way already, of no use
    assert await wishes(desk, shown, 1) == [screen.Refresh()]
    assert await is_shown(desk, before)
    assert await corrections(desk) == "1"
    shown.reset()
    after = colour_card(WIDTH, HEIGHT, 9)
    await seen(session, shown.show(after))
    assert await is_shown(desk, after)
    assert len(shown.wishes) == 1


async def test_another_size_comes_with_a_reset_and_is_exact(desk: Desk) -> None:
    session, shown = await opened(desk)
    for number, (width, height) in enumerate([(1279, 1023), (1, 1), (2560, 1440), (WIDTH, HEIGHT)]):
        shown.reset()
        picture = colour_card(width, height, number)
        sent = shown.show(picture)
        shown.prove(sent, picture, 0, height)
        await seen(session, sent)
        assert await is_shown(desk, picture)
    assert shown.wishes == []


async def test_half_a_picture_is_not_painted(desk: Desk) -> None:
    session, shown = await opened(desk, 400, 300)
    tile = [screen.Rectangle(0, 0, 64, 64)]
    stream = Compressor()
    first = screen.PicturePart(2, 0, 400, 300, True, False, tile, stream.block(bytes(64 * 64 * 3)))
    shown.say(first)
    shown.describe(400, 300)
    await desk.page.wait_for_timeout(100)
    assert await is_shown(desk, session.script.picture)
    last = screen.PicturePart(2, 0, 400, 300, False, True, tile, stream.block(bytes(64 * 64 * 3)))
    shown.say(last)
    await seen(session, 2)
    assert not await is_shown(desk, session.script.picture)


async def test_the_session_page_shows_how_often_a_picture_was_corrected(desk: Desk) -> None:
    await desk.enter(f"/session?device={DESK}")
    await desk.page.click("#screen-gate button.primary")
    await desk.page.wait_for_selector("html[data-state=live]")
    await expect(desk.page.locator(".figures")).to_contain_text("0 corrections")
    shown = desk.app.sessions[-1].screen
    assert shown is not None
    shown.spoil(desk.app.script.picture, b"damage")
    await expect(desk.page.locator(".figures")).to_contain_text("1 corrections")


async def test_on_a_screen_with_small_pixels_a_pixel_is_a_pixel(desk: Desk) -> None:
    browser = desk.page.context.browser
    assert browser is not None
    context = await browser.new_context(device_scale_factor=2)
    desk.page = await context.new_page()
    await opened(desk, 400, 300)
    area = await desk.page.evaluate(
        "(({width, height}) => [width, height])(document.querySelector('#screen').getBoundingClientRect())"
    )
    assert area == [200, 150]
    await context.close()
