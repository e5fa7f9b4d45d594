"""Unattended by policy: a picture without a click, always with the indicator; and a relay that is killed."""

import psutil
import pytest
from playwright.async_api import expect

from tests.e2e.steps import until, until_equal, until_live
from tests.support.person import Person
from tests.support.x_screen import pattern_window

pytestmark = pytest.mark.real

IDLE_SECONDS = 5


@pytest.fixture(autouse=True)
def unattended(system):
    """Sign and publish the policy once."""
    if not (system.folder / "unattended").exists():
        system.set_consent("unattended")
        (system.folder / "unattended").touch()


async def test_the_kiosk_gets_a_picture_without_a_click_and_the_person_sees_the_indicator(
    system, page, stages
):
    person = Person(system.screen)
    await page.goto(system.console_url("--connect", system.device_id, "--kiosk"))
    await until_live(page)
    stages.done("console started, first picture without a click")
    assert person.sees("alongside-indicator")
    assert not person.sees("alongside-prompt")
    with pattern_window(system.screen):
        await until_equal(page, system)
    stages.done("canvas equals the source")
    agent = psutil.Process(system.pids["agent"])
    box = await page.locator("#screen").bounding_box()
    assert box == {"x": 0, "y": 0, "width": 1280, "height": 800}
    canvas = page.locator("#screen")
    stages.note(f"capture to canvas: {await canvas.get_attribute('data-age-ms')} ms (one look)")
    resident = {p.pid: p.memory_info().rss >> 20 for p in [agent, *agent.children(recursive=True)]}
    stages.note(f"agent's processes, MiB resident in a session: {sorted(resident.values())}")


async def test_a_killed_relay_is_survived(system, page, stages):
    person = Person(system.screen)
    await page.goto(system.console_url("--connect", system.device_id, "--kiosk"))
    await until_live(page)
    system.kill_relay()
    stages.done("relay killed")
    await expect(page.locator("html:not([data-state=live])")).to_be_attached(timeout=20_000)
    until(lambda: not person.sees("alongside-indicator"))
    assert system.screen_workers() == []
    stages.done("both ends have ended the session")
    system.start_relay()
    await until_live(page)
    await until_equal(page, system)
    stages.done("relay back, session again, canvas exact")


async def test_an_idle_agent_costs_next_to_nothing(system, page, stages):
    await page.goto("about:blank")
    until(lambda: system.screen_workers() == [], 20)
    agent = psutil.Process(system.pids["agent"])
    family = [agent, *agent.children(recursive=True)]
    before = sum(sum(p.cpu_times()[:2]) for p in family)
    await page.wait_for_timeout(IDLE_SECONDS * 1000)
    used_s = sum(sum(p.cpu_times()[:2]) for p in family) - before
    resident = sum(p.memory_info().rss for p in family) >> 20
    stages.note(f"idle: {used_s / IDLE_SECONDS:.2%} of a core, {resident} MiB in {len(family)} processes")
    assert len(family) == 2, "service and desktop process, nothing else"
