"""The console on a telephone: all in reach of a finger, nothing beside the screen, a finger that points."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from protocol.errors import ErrorCode
from protocol.messages.input import Event, PointerButton, PointerMove
from protocol.messages.session import OfferRating
from technician_client.console.server import ConsoleOptions, ConsoleServer
from tests.support.console_desk import CHROMIUM, Desk
from tests.support.console_fakes import DESK, FakeConsoleApp, Script, device_row
from tests.support.fake_screen import colour_card

pytestmark = [
    pytest.mark.real,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
WIDTH, HEIGHT = 390, 844
FINGER_PX = 44
CLONED, LONG = "d-" + "c" * 20, "d-" + "e" * 20
# what can be pressed or written in, and its size; what is scrolled out of a strip counts as well
TOO_SMALL = """(least) => [...document.querySelectorAll("a, button, input, select, textarea")]
  .map((one) => [one, one.getBoundingClientRect(), getComputedStyle(one)])
  .filter(([one, at, style]) => at.width && style.visibility === "visible" && style.pointerEvents !== "none"
    && !one.classList.contains("skip") && (at.width < least || at.height < least))
  .map(([one, at]) => `${one.tagName} ${one.id} ${one.textContent.slice(0, 20)} ${at.width}x${at.height}`)"""
WIDER_THAN_THE_SCREEN = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest_asyncio.fixture(loop_scope="module")
async def phone(browser: Browser) -> AsyncIterator[Desk]:
    app = FakeConsoleApp(Script(picture=colour_card(780, 600)))
    app.rows[CLONED] = device_row(CLONED, "Front desk of the regional office", status="quarantined")
    app.rows[LONG] = device_row(LONG, "A device whose owner gave it a name of several words")
    server = ConsoleServer(app, ConsoleOptions())
    await server.start()
    context = await browser.new_context(
        viewport={"width": WIDTH, "height": HEIGHT}, has_touch=True, is_mobile=True
    )
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield Desk(app, server, page, complaints)
    assert complaints == []
    await context.close()
    await server.stop()


async def check(page: Page, where: str) -> None:
    """What holds for every page."""
    assert await page.evaluate(TOO_SMALL, FINGER_PX) == [], where
    assert await page.evaluate(WIDER_THAN_THE_SCREEN) == 0, where


async def is_on_screen(page: Page, selector: str) -> bool:
    """Whether all of it is."""
    at: Any = await page.locator(selector).bounding_box()
    return bool(
        at["x"] >= 0 and at["x"] + at["width"] <= WIDTH and at["y"] >= 0 and at["y"] + at["height"] <= HEIGHT
    )


async def test_the_list_shows_names_states_and_connect_without_scrolling_sideways(phone: Desk) -> None:
    await phone.enter()
    await expect(phone.page.locator(f"tr[data-device={DESK}]")).to_be_visible()
    await check(phone.page, "list")
    for device in (DESK, LONG):
        assert await is_on_screen(phone.page, f"[data-connect={device}]")
    name: Any = await phone.page.locator(f"tr[data-device={LONG}] .device-name").bounding_box()
    assert name["height"] <= 3 * 24, "a name is not broken into letters"
    cloned = phone.page.locator(f"tr[data-device={CLONED}]")
    await expect(cloned).to_contain_text("Quarantined")
    await expect(cloned).to_contain_text("Its key is on two computers")
    assert await phone.page.get_by_role("row").count() == 1 + len(phone.app.rows), (
        "it is a table all the same"
    )
    await phone.page.fill("#search", "nothing is called so")
    await check(phone.page, "nothing found")


async def test_every_page_of_a_session_is_in_reach_of_a_finger(phone: Desk) -> None:
    page = phone.page
    await phone.enter(f"/device?device={DESK}")
    await expect(page.locator("#facts dt").first).to_be_visible()
    await check(page, "overview")
    await page.tap("#connect")
    await page.wait_for_selector("#screen-gate form")
    await check(page, "asking form")
    assert await is_on_screen(page, "#screen-gate button.primary")
    await page.tap("#screen-gate button.primary")
    await page.wait_for_selector("html[data-state=live]")
    await phone.ask("input.control")
    await check(page, "screen")
    stage: Any = await page.locator("#stage").bounding_box()
    assert stage["height"] > HEIGHT * 0.7, "the picture has most of the screen"
    await page.tap("#keys")
    assert await is_on_screen(page, "#keys-list")
    await check(page, "keys")
    await page.tap("#type-text")
    await check(page, "text")
    await page.get_by_role("button", name="Cancel").tap()
    await page.tap("#tab-diagnostics")
    await page.tap("#diagnostics-gate button.primary")
    await expect(page.locator("#diagnostics")).to_be_visible()
    await check(page, "diagnostics")
    await page.tap("#tab-commands")
    await page.tap("#commands-gate button.primary")
    await check(page, "commands")
    await page.locator("[data-command]").last.tap()
    await expect(page.locator("#commands .command h2")).to_be_in_viewport()
    await page.tap("#tab-screen")
    phone.app.sessions[-1].stop(ErrorCode.E_SESSION_STOPPED)
    await page.wait_for_selector("html[data-state=ended]")
    await check(page, "ended")


async def test_what_the_person_wrote_and_long_tables_are_not_broken_into_letters(phone: Desk) -> None:
    page = phone.page
    await phone.enter(f"/session?device={DESK}")
    await page.tap("#screen-gate button.primary")
    await page.wait_for_selector("html[data-state=live]")
    comment = "It was slow, and the printer still does not print, but thank you for your patience."
    phone.app.sessions[-1].notices.put_nowait(OfferRating("5f" * 16, False, comment))
    await expect(page.locator("#rating")).to_contain_text("patience")
    for part in ("strong", "span"):
        area: Any = await page.locator(f"#rating > {part}").bounding_box()
        assert area["width"] > WIDTH * 0.8, part
    await check(page, "rating")
    await phone.ask("diagnostics.read")
    await page.tap("#tab-diagnostics")
    word = page.locator("#diagnostics td bdi", has_text="maria").first
    await expect(word).to_be_visible()
    assert await word.evaluate("(one) => one.getClientRects().length") == 1, "one word, one line"


async def test_a_finger_that_controls_drags_on_the_device_and_does_not_move_the_page(phone: Desk) -> None:
    page = phone.page
    await phone.enter(f"/session?device={DESK}")
    await page.tap("#screen-gate button.primary")
    await page.wait_for_selector("html[data-state=live]")
    await phone.ask("input.control")
    session = phone.app.sessions[-1]
    area: Any = await page.locator("#screen").bounding_box()
    finger = await page.context.new_cdp_session(page)
    for kind, x, y in (("Start", 50, 40), ("Move", 90, 90), ("Move", 200, 180), ("End", 0, 0)):
        points = [] if kind == "End" else [{"x": area["x"] + x, "y": area["y"] + y}]
        await finger.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
        await asyncio.sleep(0.05)
    events = await phone.events(session, 4)
    async with asyncio.timeout(5):
        while buttons(events) != [True, False]:
            await asyncio.sleep(0.02)
            events = session.events()
    moves = [event for event in events if isinstance(event, PointerMove)]
    scale = 780 / area["width"]
    assert abs(moves[-1].x - 200 * scale) <= 2 * scale, "the last move came before the finger was lifted"
    assert abs(moves[-1].y - 180 * scale) <= 2 * scale


def buttons(events: list[Event]) -> list[bool]:
    """What happened to the first button."""
    return [event.is_pressed for event in events if isinstance(event, PointerButton)]
