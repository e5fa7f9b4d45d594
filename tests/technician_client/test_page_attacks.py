"""A hostile agent against the page in a real browser: nothing fills its memory (THREATS.md P16, MSG-14)."""

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
