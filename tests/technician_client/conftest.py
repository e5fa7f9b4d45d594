"""A browser and a console for the tests of the pages."""

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from technician_client.console.server import ConsoleOptions, ConsoleServer
from tests.support.console_desk import ARGUMENTS, CHROMIUM, Desk
from tests.support.console_fakes import FakeConsoleApp, Script
from tests.support.fake_screen import colour_card

NOTE_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def desk(browser: Browser) -> AsyncIterator[Desk]:
    app = FakeConsoleApp(Script(picture=colour_card(400, 300)))
    server = ConsoleServer(app, ConsoleOptions())
    await server.start()
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    await context.add_init_script(NOTE_VIOLATIONS)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    yield Desk(app, server, page, complaints)
    assert await page.evaluate("window.violations ?? []") == []
    assert complaints == []
    await context.close()
    await server.stop()
