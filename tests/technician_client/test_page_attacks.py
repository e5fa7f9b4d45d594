"""A hostile agent against the page in a real browser: nothing fills its memory (THREATS.md P16, MSG-14)."""

import asyncio
import hashlib

import numpy as np
import psutil
import pytest

from protocol.messages import screen
from tests.support.console_desk import CHROMIUM, HASH_OF_CANVAS, Desk, rgba_hash, seen
from tests.support.fake_screen import colour_card

pytestmark = [
    pytest.mark.real,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
MIB = 1 << 20
LARGE = [(8192, 4096), (4096, 8192)]


def browser_mib() -> float:
    """All that this test's browser has in memory for itself."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        if "chrom" in process.name():
            total += process.memory_info().rss - process.memory_info().shared
    return total / MIB


async def test_msg_14_proofs_that_come_faster_than_they_are_hashed_fill_no_memory(desk: Desk) -> None:
    desk.app.script.picture = colour_card(400, 300)
    session = await desk.open_kiosk()
    shown = session.screen
    assert shown is not None
    width, height = LARGE[0]
    before_mib = browser_mib()
    shown.reset()
    black = np.broadcast_to(np.uint8(0), (height, width, 3))
    sha256 = hashlib.sha256(bytes(width * height * 3)).digest()
    for _ in range(12):
        number = shown.show(black, tiles=[screen.Rectangle(0, 0, 1, 1)])
        shown.say(screen.BandProof(number, 0, height, sha256))
        shown.say(screen.BandProof(number, 0, height, sha256))
    used = []
    for _ in range(25):
        await desk.page.wait_for_timeout(100)
        used.append(browser_mib())
    # the picture, the canvas, and the rows of a proof, for us and for the hash; and a little more
    needed_mib = width * height * (4 + 4 + 3 + 3) / MIB
    assert max(used) < before_mib + 1.2 * needed_mib, used
    shown.reset()
    picture = colour_card(640, 480, 3)
    await seen(session, shown.show(picture))
    assert await desk.page.evaluate(HASH_OF_CANVAS) == rgba_hash(picture)


async def test_msg_14_when_too_many_proofs_wait_for_their_hash_everything_is_asked_for_anew(
    desk: Desk,
) -> None:
    picture = desk.app.script.picture = colour_card(1920, 1080)
    session = await desk.open_kiosk()
    shown = session.screen
    assert shown is not None
    await desk.page.evaluate("() => { SubtleCrypto.prototype.digest = () => new Promise(() => {}); }")
    for _ in range(5):
        number = shown.show(picture, tiles=[screen.Rectangle(0, 0, 1, 1)])
        shown.prove(number, picture, 0, 1080)
        shown.prove(number, picture, 0, 1080)
    async with asyncio.timeout(10):
        while not shown.wishes:
            await desk.page.wait_for_timeout(20)
    assert shown.wishes == [screen.Refresh()]


async def test_a_whole_screen_that_is_proved_at_once_in_rows_of_tiles_is_not_too_much(desk: Desk) -> None:
    picture = desk.app.script.picture = colour_card(2560, 1440)
    session = await desk.open_kiosk()
    shown = session.screen
    assert shown is not None
    number = shown.show(picture, tiles=[screen.Rectangle(0, 0, 64, 64)])
    for _ in range(2):
        for y in range(0, 1440, 64):
            shown.prove(number, picture, y, min(64, 1440 - y))
    await seen(session, number)
    await desk.page.wait_for_timeout(500)
    assert shown.wishes == []


async def test_p16_displays_of_ever_another_size_leave_no_memory_behind(desk: Desk) -> None:
    """Each is as large as one may be, and costs the agent three bytes."""
    desk.app.script.picture = colour_card(400, 300)
    session = await desk.open_kiosk()
    shown = session.screen
    assert shown is not None
    used = []
    for number in range(16):
        width, height = LARGE[number % 2]
        shown.reset()
        black = np.broadcast_to(np.uint8(0), (height, width, 3))
        await seen(session, shown.show(black, tiles=[screen.Rectangle(0, 0, 1, 1)]))
        used.append(browser_mib())
    pixels_mib = width * height * 4 / MIB
    # what is not used any more may lie about for a while: of four pictures, and not of sixteen
    assert max(used) < used[0] + 8 * pixels_mib, used
    shown.reset()
    picture = colour_card(640, 480, 3)
    await seen(session, shown.show(picture))
    assert await desk.page.evaluate(HASH_OF_CANVAS) == rgba_hash(picture)
