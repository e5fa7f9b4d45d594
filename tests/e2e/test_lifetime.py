"""The screen worker in a real session: killed and started again once; and killed by a revoke when stuck."""

import os
import signal
import time

import psutil
import pytest
from playwright.async_api import Page, expect

from tests.e2e.steps import connect, until, until_equal, until_live
from tests.support.person import Person
from tests.support.system import WholeSystem
from tests.support.x_screen import pattern_window

pytestmark = pytest.mark.real
REVOKE_LIMIT_S = 0.25


def kill_the_worker(system: WholeSystem, how: int) -> int:
    """Somebody kills the session's worker; returns its pid when it is gone."""
    until(lambda: len(system.screen_workers()) == 1)
    [pid] = system.screen_workers()
    os.kill(pid, how)
    until(lambda: not psutil.pid_exists(pid))
    return pid


def screen_kinds(system: WholeSystem, start: int) -> list[str]:
    """What the agent recorded about the screen since then."""
    return [kind for kind in system.audit_kinds()[start:] if kind.startswith("screen")]


async def open_screen(system: WholeSystem, page: Page) -> Person:
    """A session in which the screen is shown."""
    person = Person(system.screen)
    await connect(page, system)
    person.wait_for_prompt()
    person.allow()
    await until_live(page)
    return person


async def test_a_killed_worker_is_started_again_once_and_the_technician_is_told(system, page, stages):
    before = len(system.audit_kinds())
    person = await open_screen(system, page)
    first = kill_the_worker(system, signal.SIGKILL)
    stages.done("screen shown, worker killed")
    await expect(page.get_by_text("was started again")).to_be_visible()
    with pattern_window(system.screen):
        await until_equal(page, system)
    stages.done("told, and the canvas equals the source again, without a click")
    assert first not in system.screen_workers()
    assert screen_kinds(system, before) == ["screen.started", "screen.restarted"]

    kill_the_worker(system, signal.SIGSEGV)
    await expect(page.get_by_text("Showing the screen failed on the device.").first).to_be_visible()
    await expect(page.get_by_text("E_SCREEN_FAILED").first).to_be_visible()
    stages.done("killed again: the channel has ended with the code")
    until(lambda: screen_kinds(system, before)[-1] == "screen.ended")
    assert screen_kinds(system, before) == ["screen.started", "screen.restarted", "screen.ended"]
    assert system.screen_workers() == []
    assert person.sees("alongside-indicator"), "the session itself goes on"
    assert '"event": "screen.restarted"' in (system.folder / "log" / "agent.log").read_text(errors="replace")


async def test_stop_while_the_worker_is_being_started_again_leaves_no_worker(system, page):
    before = len(system.audit_kinds())
    person = await open_screen(system, page)
    kill_the_worker(system, signal.SIGKILL)
    person.press("stop")
    await expect(page.get_by_text("The person at the device stopped the session.").first).to_be_visible()
    until(lambda: screen_kinds(system, before)[-1] == "screen.ended")
    until(lambda: system.screen_workers() == [])
    until(lambda: not person.sees("alongside-indicator"))


@pytest.mark.parametrize("by", ["the person", "the technician"])
async def test_a_worker_that_is_stuck_is_killed_when_the_session_is_ended(system, page, stages, by):
    person = await open_screen(system, page)
    until(lambda: len(system.screen_workers()) == 1)
    [pid] = system.screen_workers()
    os.kill(pid, signal.SIGSTOP)  # as an encoder that never comes back, and no thread of it runs either
    until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    if by == "the person":
        ended_s = person.press("stop")
    else:
        await page.get_by_role("button", name="End session").click()
        ended_s = time.monotonic()
    until(lambda: not psutil.pid_exists(pid))
    took_s = time.monotonic() - ended_s
    stages.note(f"ended by {by}, worker gone after {took_s * 1000:.0f} ms")
    assert took_s < REVOKE_LIMIT_S
    assert system.screen_workers() == []
    until(lambda: not person.sees("alongside-indicator"))
