"""The console by keyboard alone: every control is reached, shows that it has the keyboard, and lets it go."""

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.support.console_desk import CHROMIUM, Desk
from tests.support.console_fakes import DESK

pytestmark = [
    pytest.mark.real,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
STEPS_LIMIT = 60
# what can be seen and used, but for the picture, which takes the keys, and for what arrows lead to
CONTROLS = """() => {
  const all = [...document.querySelectorAll("a, button, input, select, textarea")].filter((one) => {
    const style = getComputedStyle(one);
    return one.getBoundingClientRect().width && style.visibility === "visible" && !one.disabled
      && one.tabIndex >= 0 && style.pointerEvents !== "none";
  });
  all.forEach((one, number) => { one.dataset.number = number; });
  return all.length;
}"""
TO_THE_START = """() => {
  document.body.tabIndex = -1;
  document.body.focus();
  document.body.removeAttribute("tabindex");
}"""
FOCUSED = """() => {
  const at = document.activeElement;
  if (!at || at === document.body) return null;
  const style = getComputedStyle(at);
  const area = at.getBoundingClientRect();
  return {
    number: at.dataset.number === undefined ? -1 : Number(at.dataset.number),
    is_ringed: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    is_in_sight: area.bottom > 0 && area.top < innerHeight && area.right > 0 && area.left < innerWidth,
    id: at.id,
    name: `${at.tagName} ${at.id} ${at.textContent.slice(0, 30)}`,
  };
}"""


async def check(page: Page) -> None:
    """Go through this page by Tab, to its end or to the picture."""
    count = await page.evaluate(CONTROLS)
    await page.evaluate(TO_THE_START)
    reached: set[int] = set()
    for _ in range(STEPS_LIMIT):
        await page.keyboard.press("Tab")
        at: Any = await page.evaluate(FOCUSED)
        if at is None or at["id"] == "key-sink" or at["number"] in reached:
            break
        assert at["is_ringed"], at
        assert at["is_in_sight"], at
        if at["number"] >= 0:
            reached.add(at["number"])
    assert reached == set(range(count)), sorted(set(range(count)) - reached)


async def test_con_21_every_page_is_used_by_keyboard_and_shows_where_it_is(desk: Desk) -> None:
    page = desk.page
    await desk.enter()
    await expect(page.locator(f"tr[data-device={DESK}]")).to_be_visible()
    await check(page)
    await desk.enter(f"/device?device={DESK}")
    await expect(page.locator("#facts dt").first).to_be_visible()
    await check(page)
    await page.focus("#connect")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#screen-gate form")
    await check(page)
    await page.focus("#screen-gate button.primary")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("html[data-state=live]")
    await check(page)
    for tab in ("diagnostics", "commands"):
        await page.focus("[role=tab][aria-selected=true]")
        await page.keyboard.press("ArrowRight")
        await check(page)
        await page.focus(f"#{tab}-gate button.primary")
        await page.keyboard.press("Enter")
        await expect(page.locator(f"#{tab}")).to_be_visible()
        await check(page)


async def test_the_menu_of_keys_opens_is_walked_and_closes_by_keyboard(desk: Desk) -> None:
    page = desk.page
    await desk.enter(f"/session?device={DESK}")
    await page.click("#screen-gate button.primary")
    await page.wait_for_selector("html[data-state=live]")
    menu = page.locator("#keys-list")
    await page.focus("#keys")
    await page.keyboard.press("Enter")
    await expect(menu.get_by_role("menuitem").first).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await expect(menu.get_by_role("menuitem").last).to_be_focused()
    assert (await page.evaluate(FOCUSED))["is_ringed"]
    await page.keyboard.press("Escape")
    await expect(menu).to_be_hidden()
    await expect(page.locator("#keys")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")  # on, and it does not stay open behind
    await expect(menu).to_be_hidden()
    await page.keyboard.press("Shift+Tab")
    await expect(page.locator("#keys")).to_be_focused()


async def test_nothing_moves_for_a_technician_who_prefers_less_motion(desk: Desk) -> None:
    page = desk.page
    desk.app.script.answer_after_s = 1000.0
    moving = """() => document.getAnimations().length + [...document.querySelectorAll("*")].filter((one) =>
      getComputedStyle(one).transitionDuration.split(",").some((word) => parseFloat(word) > 0)).length"""
    for motion in ("no-preference", "reduce"):
        await page.emulate_media(reduced_motion=motion)  # type: ignore[arg-type]  # one of its two words
        await desk.enter(f"/session?device={DESK}")
        await page.click("#screen-gate button.primary")
        await expect(page.locator(".pulse").first).to_be_visible()
        assert (await page.evaluate(moving) > 0) is (motion == "no-preference")
