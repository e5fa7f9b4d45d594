"""Regions of video in a real browser: decoded, shown in their place, and at the end every pixel is exact."""

import asyncio
import base64

import numpy as np
import pytest
from playwright.async_api import Page

from agent.capabilities.screen.video.codecs import H264, JPEG, VP8, VP9
from agent.capabilities.screen.video.encoder import EncodedFrame, RegionEncoder
from protocol.messages import screen
from tests.support.console_desk import CHROMIUM, HASH_OF_CANVAS, Desk, rgba_hash, seen
from tests.support.console_fakes import FakeSession
from tests.support.encoders import open_encoder
from tests.support.fake_screen import FakeScreen, Pixels, colour_card
from tests.support.moving_pictures import video_frame

pytestmark = [
    pytest.mark.real,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
WIDTH, HEIGHT = 1280, 720
PLACE = screen.Rectangle(96, 64, 640, 352)
BELOW = screen.Rectangle(0, 416, WIDTH, HEIGHT - 416)
TILES = [screen.Rectangle(96, y, 640, min(64, 416 - y)) for y in range(64, 416, 64)]
PIXELS_OF = """([x, y, width, height]) => {
  const context = document.querySelector("#screen").getContext("2d");
  const pixels = context.getImageData(x, y, width, height).data;
  let text = "";
  for (let at = 0; at < pixels.length; at += 8192) {
    text += String.fromCharCode(...pixels.subarray(at, at + 8192));
  }
  return btoa(text);
}"""


class Film:
    """One region, as an agent sends it."""

    def __init__(self, codec: str, place: screen.Rectangle = PLACE, *, is_halved: bool = False) -> None:
        self.place = place
        self._encoder: RegionEncoder = open_encoder(
            codec, place.width, place.height, 600_000, is_halved=is_halved
        )
        self._number = 0

    def frame(self, *, is_key: bool = False) -> EncodedFrame:
        """The next one."""
        self.pixels = video_frame(self.place.width, self.place.height, self._number)
        words = self.pixels.view(np.uint32)[..., 0]
        made = self._encoder.encode(words, self._number * 33, is_key=is_key or not self._number)
        assert made is not None
        self._number += 1
        return made


async def opened(desk: Desk) -> tuple[FakeSession, FakeScreen, Pixels]:
    """The kiosk with its first picture, and what it decodes."""
    picture = colour_card(WIDTH, HEIGHT)
    desk.app.script.picture = picture
    session = await desk.open_kiosk()
    shown = session.screen
    assert shown is not None
    async with asyncio.timeout(5):
        while not shown.decodes:  # noqa: ASYNC110  the browser has no event for us
            await asyncio.sleep(0.02)
    return session, shown, picture


async def region_on(page: Page, place: screen.Rectangle) -> Pixels:
    """What the canvas shows there, BGR."""
    text = await page.evaluate(PIXELS_OF, [place.x, place.y, place.width, place.height])
    rgba = np.frombuffer(base64.b64decode(text), np.uint8)
    return rgba.reshape(place.height, place.width, 4)[..., 2::-1]


def psnr(one: Pixels, other: Pixels) -> float:
    """How alike two pictures are, in dB."""
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / max(float(error), 1e-9)))


def halved(picture: Pixels) -> Pixels:
    """The mean of each four pixels."""
    height, width = picture.shape[:2]
    return picture.reshape(height // 2, 2, width // 2, 2, 3).mean(axis=(1, 3))


async def test_the_page_says_that_it_decodes_all_of_our_codecs(desk: Desk) -> None:
    _, shown, _ = await opened(desk)
    assert shown.decodes == [H264, VP8, VP9, JPEG]


async def test_without_webcodecs_the_page_says_so_and_shows_jpeg(desk: Desk) -> None:
    await desk.page.add_init_script("delete globalThis.VideoDecoder; delete globalThis.Worker")
    session, shown, picture = await opened(desk)
    assert shown.decodes == [JPEG]
    film = Film(JPEG)
    await seen(session, shown.film(picture, [(1, PLACE, film.frame())]))
    assert psnr(await region_on(desk.page, PLACE), film.pixels[..., :3]) > 27


@pytest.mark.parametrize("codec", [H264, JPEG])
async def test_without_workers_the_page_decodes_by_itself(desk: Desk, codec: str) -> None:
    await desk.page.add_init_script("delete globalThis.Worker")
    session, shown, picture = await opened(desk)
    film = Film(codec)
    for _ in range(3):
        await seen(session, shown.film(picture, [(1, PLACE, film.frame())]))
    assert psnr(await region_on(desk.page, PLACE), film.pixels[..., :3]) > 27


async def test_video_is_decoded_in_one_worker_for_all_regions(desk: Desk) -> None:
    session, shown, picture = await opened(desk)
    assert [worker.url.rpartition("/")[2] for worker in desk.page.workers] == ["video_worker.js"]
    other = screen.Rectangle(800, 400, 320, 240)
    frames = [(1, PLACE, Film(VP8).frame()), (2, other, Film(H264, other).frame())]
    await seen(session, shown.film(picture, frames))
    assert len(desk.page.workers) == 1


async def test_a_worker_that_does_not_start_is_done_without(desk: Desk) -> None:
    await desk.page.route("**/video_worker.js", lambda route: route.abort())
    session, shown, picture = await opened(desk)
    film = Film(VP8)
    await seen(session, shown.film(picture, [(1, PLACE, film.frame())]))
    assert psnr(await region_on(desk.page, PLACE), film.pixels[..., :3]) > 27


@pytest.mark.parametrize("codec", [H264, VP8, VP9, JPEG])
async def test_frames_are_shown_in_their_place_with_their_colours_and_the_rest_is_exact(
    desk: Desk, codec: str
) -> None:
    session, shown, picture = await opened(desk)
    film = Film(codec)
    for _ in range(10):
        number = shown.film(picture, [(1, PLACE, film.frame())])
        await seen(session, number)
    assert psnr(await region_on(desk.page, PLACE), film.pixels[..., :3]) > 27
    assert np.array_equal(await region_on(desk.page, BELOW), picture[416:])
    after = picture.copy()
    after[64:416, 96:736] = film.pixels[..., :3]
    await seen(session, shown.end_film(after, 1, TILES))
    assert await desk.page.evaluate(HASH_OF_CANVAS) == rgba_hash(after)
    assert shown.wishes == []


async def test_the_end_of_a_region_shows_what_the_exact_picture_had_below(desk: Desk) -> None:
    session, shown, picture = await opened(desk)
    await seen(session, shown.film(picture, [(1, PLACE, Film(VP8).frame())]))
    assert await desk.page.evaluate(HASH_OF_CANVAS) != rgba_hash(picture)
    await seen(session, shown.end_film(picture, 1, [screen.Rectangle(0, 0, 64, 64)]))
    assert await desk.page.evaluate(HASH_OF_CANVAS) == rgba_hash(picture)


async def test_copies_move_what_is_below_and_not_the_video(desk: Desk) -> None:
    session, shown, picture = await opened(desk)
    film = Film(VP8)
    await seen(session, shown.film(picture, [(1, PLACE, film.frame())]))
    video = await region_on(desk.page, PLACE)
    moved = picture.copy()
    moved[:-40] = picture[40:]
    copy = screen.Copy(0, 40, WIDTH, HEIGHT - 40, 0, 0)
    await seen(session, shown.scroll(moved, [copy]))
    assert np.array_equal(await region_on(desk.page, PLACE), video)
    await seen(session, shown.end_film(moved, 1, [screen.Rectangle(0, 0, 64, 64)]))
    assert await desk.page.evaluate(HASH_OF_CANVAS) == rgba_hash(moved)


async def test_exact_parts_replace_the_video_where_they_are(desk: Desk) -> None:
    session, shown, picture = await opened(desk)
    await seen(session, shown.film(picture, [(1, PLACE, Film(VP8).frame())]))
    tile = screen.Rectangle(128, 128, 64, 64)
    await seen(session, shown.show(picture, tiles=[tile]))
    assert np.array_equal(await region_on(desk.page, tile), picture[128:192, 128:192])


async def test_two_regions_play_and_one_grows(desk: Desk) -> None:
    session, shown, picture = await opened(desk)
    small, other = (
        Film(VP8, screen.Rectangle(0, 0, 320, 240)),
        Film(H264, screen.Rectangle(800, 400, 320, 240)),
    )
    for _ in range(4):
        frames = [(1, small.place, small.frame()), (2, other.place, other.frame())]
        await seen(session, shown.film(picture, frames))
    grown = Film(VP8, screen.Rectangle(0, 0, 480, 240))
    for _ in range(4):
        await seen(session, shown.film(picture, [(1, grown.place, grown.frame())]))
    assert psnr(await region_on(desk.page, grown.place), grown.pixels[..., :3]) > 27
    assert psnr(await region_on(desk.page, other.place), other.pixels[..., :3]) > 27


@pytest.mark.parametrize("codec", [H264, VP8])
async def test_damage_is_acknowledged_asks_for_a_keyframe_and_heals_with_it(desk: Desk, codec: str) -> None:
    session, shown, picture = await opened(desk)
    film = Film(codec)
    await seen(session, shown.film(picture, [(1, PLACE, film.frame())]))
    broken = EncodedFrame(codec, True, b"\xff" * 50)
    await seen(session, shown.film(picture, [(1, PLACE, broken)]))
    assert shown.wishes == [screen.KeyframeWanted(1)]
    film.frame()
    await seen(session, shown.film(picture, [(1, PLACE, film.frame())]))  # of no use without a keyframe
    await seen(session, shown.film(picture, [(1, PLACE, film.frame(is_key=True))]))
    assert psnr(await region_on(desk.page, PLACE), film.pixels[..., :3]) > 27
    assert shown.wishes == [screen.KeyframeWanted(1)]


async def test_a_frame_of_another_size_than_said_is_not_shown(desk: Desk) -> None:
    session, shown, picture = await opened(desk)
    lie = screen.Rectangle(96, 64, 320, 240)
    await seen(session, shown.film(picture, [(1, lie, Film(VP8).frame())]))
    assert await desk.page.evaluate(HASH_OF_CANVAS) == rgba_hash(picture)
    assert shown.wishes == [screen.KeyframeWanted(1)]


@pytest.mark.parametrize("codec", [H264, VP8, VP9])
async def test_frames_of_half_the_size_are_stretched_over_their_place(desk: Desk, codec: str) -> None:
    session, shown, picture = await opened(desk)
    film = Film(codec, is_halved=True)
    for _ in range(5):
        await seen(session, shown.film(picture, [(1, PLACE, film.frame())]))
    there = await region_on(desk.page, PLACE)
    assert psnr(halved(there), halved(film.pixels[..., :3])) > 27
    assert np.array_equal(await region_on(desk.page, BELOW), picture[416:])
    assert shown.wishes == []


async def test_a_reset_ends_every_region(desk: Desk) -> None:
    session, shown, picture = await opened(desk)
    await seen(session, shown.film(picture, [(1, PLACE, Film(VP8).frame())]))
    shown.reset()
    await seen(session, shown.show(picture))
    assert await desk.page.evaluate(HASH_OF_CANVAS) == rgba_hash(picture)
