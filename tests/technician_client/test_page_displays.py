"""The choice of a display in a real browser: its words, the keyboard, and which display input is for."""

import asyncio

import pytest
from playwright.async_api import Page, expect

from protocol.errors import ErrorCode
from protocol.limits import ALL_DISPLAYS_INDEX
from protocol.messages import input as input_messages
from protocol.messages import screen
from protocol.messages.input import PointerMove
from tests.support.console_desk import CHROMIUM, HASH_OF_CANVAS, Desk, rgba_hash, seen
from tests.support.console_fakes import DESK, FakeSession
from tests.support.fake_screen import FakeScreen, colour_card

pytestmark = [
    pytest.mark.real,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
SIZES = [(400, 300), (320, 200)]
TIMES = "\N{MULTIPLICATION SIGN}"
WORDS = [f"Display {number} ({width} {TIMES} {height})" for number, (width, height) in enumerate(SIZES, 1)]
WORDS += ["All displays", "Follow the pointer"]


async def opened(desk: Desk) -> tuple[FakeSession, FakeScreen]:
    """The session page with two displays, control allowed."""
    await desk.enter(f"/session?device={DESK}")
    await desk.page.click("#screen-gate button.primary")
    await desk.page.wait_for_selector("html[data-state=live]")
    session = desk.app.sessions[-1]
    assert session.screen is not None
    session.screen.describe_displays(SIZES, 0, "one")
    return session, session.screen


async def wished(shown: FakeScreen, count: int) -> list[screen.FromTechnician]:
    """What the technician wished for, once it is so much."""
    async with asyncio.timeout(5):
        while len(shown.wishes) < count:  # noqa: ASYNC110  the browser has no event for us
            await asyncio.sleep(0.02)
    return shown.wishes


async def chosen(page: Page) -> str:
    """The words of what the chooser shows."""
    text: str = await page.evaluate("document.querySelector('#display').selectedOptions[0].textContent")
    return text


async def test_the_keyboard_chooses_each_display_all_of_them_and_the_followed_one(desk: Desk) -> None:
    _, shown = await opened(desk)
    chooser = desk.page.get_by_label("Which display is shown")
    await expect(chooser.locator("option")).to_have_text(WORDS)
    assert await chosen(desk.page) == WORDS[0]
    await chooser.focus()
    for _ in range(3):
        await desk.page.keyboard.press("ArrowDown")
    assert await wished(shown, 3) == [screen.ShowDisplay(1), screen.ShowAll(), screen.Follow()]


async def test_the_choice_says_what_is_shown(desk: Desk) -> None:
    _, shown = await opened(desk)
    chooser = desk.page.locator("#display")
    shown.describe_displays(SIZES, ALL_DISPLAYS_INDEX, "all")
    await expect(chooser).to_have_value("all")
    shown.describe_displays(SIZES, 1, "follow")
    await expect(chooser).to_have_value("follow")
    assert await chosen(desk.page) == "Follow the pointer (now on display 2)"
    shown.describe_displays(SIZES, 1, "one")
    await expect(chooser).to_have_value("1")
    shown.describe_displays(SIZES[:1], 0, "one")
    await expect(chooser).to_be_hidden()


async def test_the_technician_is_told_when_the_chosen_display_is_gone(desk: Desk) -> None:
    _, shown = await opened(desk)
    shown.say(screen.ScreenRefused(ErrorCode.E_SCREEN_DISPLAY))
    shown.describe_displays(SIZES[:1], 0, "one")
    words = "The display that you chose is not there any more. Another one is shown."
    await expect(desk.page.get_by_role("status").and_(desk.page.locator("#hint"))).to_contain_text(words)


def pointed(session: FakeSession) -> list[tuple[int, PointerMove]]:
    """Where the pointer was sent to: which display, and where on it."""
    sent = session.channels["input.control"].sent  # type: ignore[index]  # a StrEnum is its text
    decoded = [input_messages.FROM_TECHNICIAN_CODEC.decode(message) for message in sent]
    return [
        (one.display_index, event)
        for one in decoded
        if isinstance(one, input_messages.InputEvents)
        for event in one.events
        if isinstance(event, PointerMove)
    ]


async def pointed_after(desk: Desk, session: FakeSession, x: int, y: int) -> tuple[int, PointerMove]:
    """Point there; what arrived."""
    before = len(pointed(session))
    await desk.page.mouse.move(x, y)
    async with asyncio.timeout(5):
        while len(pointed(session)) == before:  # noqa: ASYNC110  as above
            await asyncio.sleep(0.02)
    return pointed(session)[-1]


async def test_the_pointer_is_of_the_display_that_is_painted_not_of_one_that_is_still_to_come(
    desk: Desk,
) -> None:
    session = await desk.open_kiosk()
    shown = session.screen
    assert shown is not None
    assert await pointed_after(desk, session, 10, 20) == (0, PointerMove(10, 20))
    shown.describe_displays(SIZES, 1, "follow")
    shown.describe_displays(SIZES, 1, "follow")
    await seen(session, shown.show(colour_card(*SIZES[0], 3)))  # on its way before the change
    assert await pointed_after(desk, session, 11, 20) == (0, PointerMove(11, 20))
    shown.reset()
    await seen(session, shown.show(colour_card(*SIZES[1], 4)))
    assert await desk.page.evaluate(HASH_OF_CANVAS) == rgba_hash(colour_card(*SIZES[1], 4))
    assert await pointed_after(desk, session, 12, 20) == (1, PointerMove(12, 20))
    shown.describe_displays(SIZES, ALL_DISPLAYS_INDEX, "all")
    shown.reset()
    await seen(session, shown.show(colour_card(720, 300, 5)))
    assert await pointed_after(desk, session, 500, 30) == (ALL_DISPLAYS_INDEX, PointerMove(500, 30))
