"""The main job, with every part real: console in a browser, relay, agent, prompt, screen, keys, Stop."""

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from playwright.async_api import expect

from tests.e2e.steps import (
    ask_to_control,
    connect,
    on_canvas,
    until,
    until_allowed,
    until_equal,
    until_live,
)
from tests.support.person import Person
from tests.support.x_screen import pattern_window

pytestmark = pytest.mark.real

STOP_LIMIT_S = 0.25
BLOCKED_S = 5.0


def ended_at_s(pid: int) -> float:
    """When this process was seen to be gone, on the monotonic clock; looks every millisecond."""
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 2)
    return time.monotonic()


async def test_a_technician_sees_controls_and_is_stopped(system, page, stages):
    person = Person(system.screen)
    await connect(page, system)
    stages.done("console opened, session asked for")
    person.wait_for_prompt()
    stages.done("prompt on the person's screen")
    assert system.screen_workers() == []
    person.allow()
    stages.done("allowed by a real click (it arms after 1.5 s)")
    await until_live(page)
    stages.done("first picture on the canvas")

    with pattern_window(system.screen):
        tried = await until_equal(page, system)
        stages.done(f"canvas equals the source pixel for pixel (look {tried})")
        assert await page.evaluate("document.getElementById('screen').width") == 1280

    await ask_to_control(page)
    person.wait_for_prompt()
    person.allow()
    await until_allowed(page, "input.control")
    stages.done("asked for control in the session, and allowed by itself")

    typed = system.folder / "typed"
    typed.unlink(missing_ok=True)
    system.start_on_screen("editor", ["xterm", "-geometry", "60x10+300+300", "-e", f"cat > {typed}"])
    person.wait_for_window("xterm")
    await page.locator("#screen").click(position=await on_canvas(page, 500, 400))
    await page.keyboard.type("Hello, 100 % wörld\n")
    await page.keyboard.press("Control+d")
    stages.done("keys sent to a real program")
    until(lambda: typed.exists() and typed.read_text().endswith("\n"))
    assert typed.read_text() == "Hello, 100 % wörld\n"
    stages.done("keys arrived on the desktop")
    for name in ("age", "rate", "bits"):
        stages.note(f"{name}: {await page.locator(f'#{name}').inner_text()}")

    [worker] = system.screen_workers()
    pressed_s = person.press("stop")
    took_s = ended_at_s(worker) - pressed_s
    stages.note(f"Stop to capture ended: {took_s * 1000:.0f} ms")
    assert took_s < STOP_LIMIT_S
    await expect(page.get_by_text("The person at the device stopped the session.").first).to_be_visible()
    stages.done("the console says that the person stopped it")
    until(lambda: not person.sees("alongside-indicator"))
    system.stop_on_screen("editor")


async def test_con_05_stop_ends_the_picture_while_the_service_is_blocked_for_five_seconds(system, page):
    person = Person(system.screen)
    await connect(page, system)
    person.wait_for_prompt()
    person.allow()
    await until_live(page)
    [worker] = system.screen_workers()
    os.kill(system.pids["agent"], signal.SIGSTOP)  # nothing runs on its event loop any more
    blocked_s = time.monotonic()
    try:
        person.press("stop")
        ended_at_s(worker)
        assert time.monotonic() - blocked_s < BLOCKED_S, "the service still stood when the capture ended"
        await page.wait_for_timeout(1000 * (blocked_s + BLOCKED_S - time.monotonic()))
        assert psutil.Process(system.pids["agent"]).status() == psutil.STATUS_STOPPED
    finally:
        os.kill(system.pids["agent"], signal.SIGCONT)
    await expect(page.get_by_text("The person at the device stopped the session.").first).to_be_visible()
    until(lambda: not person.sees("alongside-indicator"))
    assert system.screen_workers() == []


async def test_a_refused_prompt_shows_nothing(system, page, stages):
    person = Person(system.screen)
    before = len(system.audit_kinds())
    await connect(page, system)
    person.wait_for_prompt()
    person.refuse()
    await expect(page.get_by_text("The person at the device said no.").first).to_be_visible()
    stages.done("asked, refused and told")
    assert await page.evaluate("document.getElementById('screen').width") <= 1
    assert system.screen_workers() == []
    until(lambda: not person.sees("alongside-indicator"))
    kinds = system.audit_kinds()[before:]
    assert "consent.denied" in kinds
    assert not {"grant.given", "screen.started", "input.started"} & set(kinds)


async def test_control_that_is_refused_in_mid_session_leaves_the_picture(system, page):
    person = Person(system.screen)
    await connect(page, system)
    person.wait_for_prompt()
    person.allow()
    await until_live(page)
    bar = page.locator("#permissions")
    await expect(bar.locator("[data-grantable='input.control']")).to_have_attribute("data-state", "none")
    await ask_to_control(page)
    person.wait_for_prompt()
    assert not person.sees_part("asked:screen.view")
    assert person.sees_part("asked:input.control")
    person.refuse()
    await expect(bar.locator("[data-grantable='input.control']")).to_have_attribute("data-state", "refused")
    await expect(bar.locator("[data-grantable='screen.view']")).to_have_attribute("data-state", "allowed")
    assert len(system.screen_workers()) == 1
    await page.get_by_role("button", name="End session").click()
    until(lambda: not person.sees("alongside-indicator"))
    assert system.screen_workers() == []


async def test_diagnostics_and_commands_from_the_command_line(system, stages):
    person = Person(system.screen)
    reading = system.start_alongside("diagnose", system.device_id, "--json")
    person.wait_for_prompt()
    person.allow()
    output, said = reading.communicate(timeout=30)
    assert reading.returncode == 0, said
    snapshot = json.loads(output)
    assert snapshot["memory"]["total_bytes"] == psutil.virtual_memory().total
    assert snapshot["displays"][0]["width"] == 1280
    stages.done("diagnostics read, prompt included")

    running = system.start_alongside("run", system.device_id, "dns-lookup", "name=localhost")
    person.wait_for_prompt()
    person.allow()
    output, said = running.communicate(timeout=30)
    assert running.returncode == 0, said
    assert "127.0.0.1" in output or "::1" in output
    stages.done("an approved command run, prompt included")


async def test_p10_a_command_that_takes_two_people_runs_after_the_second_one_approved_it(system):
    folder, ran = system.technician_folder, system.folder / "ran"
    policy = folder / "org" / "policy.json"
    document = json.loads(policy.read_text())
    size = {"type": "integer", "description": "Bytes", "minimum": 0, "maximum": 9}
    document["catalogue"]["commands"].append(
        {
            "command_id": "drastic",
            "title": "Something drastic",
            "person_text": "Does something drastic.",
            "argv": ["/usr/bin/truncate", "-s", "{size}", str(ran)],
            "parameters": {"size": size},
            "platforms": ["linux"],
            "timeout_s": 30,
            "output_limit_bytes": 1000,
            "risk": "high",
        }
    )
    policy.write_text(json.dumps(document))
    passphrase = ["--passphrase-file", str(system.folder / "organisation-passphrase")]
    system.alongside("policy", "sign", "--yes", *passphrase)
    system.alongside("policy", "publish")

    alone = system.alongside("run", system.device_id, "drastic", "size=1", "--json", status=3)
    assert "E_APPROVAL_MISSING" in alone.stdout
    asked = folder / "drastic.request"
    system.alongside("run", system.device_id, "drastic", "size=1", "--ask-approval", str(asked))
    own = system.alongside("approve", str(asked), "--yes", "--json", status=3)
    assert "E_APPROVAL_PERSON" in own.stdout
    shown = system.alongside("approve", str(asked), "--as-admin", "--yes")
    assert "Something drastic" in shown.stderr
    approval = ("--approval", str(asked.with_suffix(".approval")))
    other = system.alongside("run", system.device_id, "drastic", "size=2", *approval, "--json", status=None)
    assert "E_APPROVAL_REQUEST" in other.stdout

    person = Person(system.screen)
    running = system.start_alongside("run", system.device_id, *approval)
    person.wait_for_prompt()
    person.allow()
    _, said = running.communicate(timeout=30)
    assert running.returncode == 0, said
    assert ran.stat().st_size == 1
    [started] = [
        record["facts"]
        for record in map(json.loads, (system.agent_folder / "audit.jsonl").read_bytes().splitlines())
        if record["kind"] == "command.started" and record["facts"]["program"] == "/usr/bin/truncate"
    ]
    assert started["approved_by"]


async def test_the_audit_logs_of_both_ends_hold(system):
    logs = [str(system.agent_folder / "audit.jsonl"), str(system.technician_folder / "audit.jsonl")]
    system.alongside("audit", "verify", *logs)
    forged = Path(system.folder / "forged.jsonl")
    lines = Path(logs[0]).read_bytes().splitlines(keepends=True)
    forged.write_bytes(b"".join([lines[0].replace(b'"seq":1', b'"seq":2', 1), *lines[1:]]))
    ended = system.alongside("audit", "verify", str(forged), status=5)
    assert "E_AUDIT_CHAIN" in ended.stdout + ended.stderr
