"""What a technician does in the browser, and waiting for facts of the outside world."""

import time
from collections.abc import Callable

from playwright.async_api import Page, expect

from tests.support.system import WholeSystem
from tests.support.x_screen import screen_sha256

EQUAL_TRIES = 60
CANVAS_SHA256 = """async () => {
  const canvas = document.getElementById("screen");
  if (canvas.width < 2) return "";
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const digest = await crypto.subtle.digest("SHA-256", pixels);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}"""


async def connect(page: Page, system: WholeSystem, *, reason: str = "A test looks at the screen") -> None:
    """From the console's address to the ask, as a technician would click it."""
    await page.goto(system.console_url())
    await (
        page.get_by_role("link", name="Connect").or_(page.get_by_role("button", name="Connect")).first.click()
    )
    await expect(page.locator("#panel-screen")).to_be_visible()
    await page.locator("#screen-gate input[name=reason]").fill(reason)
    await page.get_by_role("button", name="Ask the person").click()


async def ask_to_control(page: Page) -> None:
    """What a technician who watches does to use mouse and keyboard."""
    await page.get_by_role("button", name="Ask to control").click()


async def until_allowed(page: Page, grantable: str) -> None:
    """Until the console says that the person allowed it, and, of control, that it has begun."""
    shown = page.locator(f"#permissions [data-grantable='{grantable}']")
    await expect(shown).to_have_attribute("data-state", "allowed", timeout=20_000)


async def until_live(page: Page) -> None:
    """Until the first picture is painted."""
    await expect(page.locator("html[data-state=live]")).to_be_attached(timeout=20_000)


async def until_equal(page: Page, system: WholeSystem) -> int:
    """Until canvas and source have the same hash; returns the looks that it took.

    The indicator's clock changes the source every second.
    """
    for tried in range(1, EQUAL_TRIES + 1):
        source = screen_sha256(system.screen)
        canvas = await page.evaluate(CANVAS_SHA256)
        if canvas == source == screen_sha256(system.screen):
            return tried
        await page.wait_for_timeout(50)
    raise AssertionError("the canvas never equalled the source")


async def on_canvas(page: Page, x: int, y: int) -> dict[str, float]:
    """Where a pixel of the device is on the page's canvas, which may be scaled to fit."""
    scale = await page.evaluate(
        "(() => { const c = document.getElementById('screen'); return c.clientWidth / c.width; })()"
    )
    return {"x": x * scale, "y": y * scale}


def until(is_true: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait for a fact of the outside world."""
    deadline_s = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline_s, "it did not become true in time"
        time.sleep(0.001)
