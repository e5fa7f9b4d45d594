"""The way of a key: from the page through console, relay and agent to a real program, and its echo back."""

import ctypes
import os
import socket
import statistics
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.e2e.steps import ask_to_control, connect, on_canvas, until, until_allowed, until_live
from tests.support.person import Person

pytestmark = pytest.mark.real

PIDFD_GETFD = 438  # pidfd_getfd(2), the same number on every architecture of Linux
KEYS = "the quick brown fox"
# a terminal's echo is painted within it; the indicator, whose clock changes every second, is not
ECHO_AT = {"x": 310, "y": 310, "width": 500, "height": 150}
WATCH_ECHO = """([x, y, width, height]) => {
  const canvas = document.getElementById("screen");
  const context = canvas.getContext("2d");
  const look = () => {
    let sum = 0;
    for (const one of context.getImageData(x, y, width, height).data) sum = (sum * 31 + one) >>> 0;
    return sum;
  };
  window.echoes = [];
  document.getElementById("key-sink").addEventListener("keydown", () => {
    const pressed = performance.now();
    const before = look();
    const turn = new MessageChannel();
    turn.port1.onmessage = () => {
      if (look() !== before) window.echoes.push(performance.now() - pressed);
      else if (performance.now() - pressed < 5000) turn.port2.postMessage(0);
      else window.echoes.push(-1);
    };
    turn.port2.postMessage(0);
  }, { capture: true });
}"""
FIRST_MOVE = """([x, y]) => {
  const canvas = document.getElementById("screen");
  const at = { clientX: x, clientY: y, cancelable: true };
  const say = (type) => canvas.dispatchEvent(new PointerEvent(type, at));
  window.states = [];
  new MutationObserver(() => {
    const { state } = document.querySelector("#permissions [data-grantable='input.control']").dataset;
    if (state === window.states.at(-1)) return;
    window.states.push(state);
    if (state === "starting") {
      say("pointerdown");
      window.hint = document.getElementById("hint").textContent;
    } else if (state === "allowed") say("pointerrawupdate");
  }).observe(document.getElementById("permissions"), { childList: true });
}"""
UNTIL_ECHO = """async (count) => {
  while (window.echoes.length < count) await new Promise((resolve) => setTimeout(resolve, 5));
}"""


@contextmanager
def socket_of(pid: int, fd: int) -> Iterator[socket.socket]:
    """A duplicate of another process's socket (Linux 5.6; the right to trace it is needed)."""
    handle = os.pidfd_open(pid)
    try:
        duplicate = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, handle, fd, 0)
        if duplicate < 0:
            pytest.skip(f"needs the right to trace our processes ({os.strerror(ctypes.get_errno())})")
        with socket.socket(fileno=duplicate) as one:
            yield one
    finally:
        os.close(handle)


def tcp_without_delay(pid: int) -> list[bool]:
    """For each connected TCP socket of this process: whether it sends small pieces at once."""
    found = []
    for one in psutil.Process(pid).net_connections("tcp"):
        if one.status == psutil.CONN_ESTABLISHED:
            with socket_of(pid, one.fd) as opened:
                found.append(bool(opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
    return found


async def test_the_first_thing_that_is_done_once_the_console_says_control_acts(system, page):
    person = Person(system.screen)
    await connect(page, system)
    person.wait_for_prompt()
    person.allow()
    await until_live(page)
    at = await on_canvas(page, 40, 600)
    area = await page.locator("#screen").bounding_box()
    await page.evaluate(FIRST_MOVE, [area["x"] + at["x"], area["y"] + at["y"]])
    await ask_to_control(page)
    person.wait_for_prompt()
    person.allow()
    await until_allowed(page, "input.control")
    until(lambda: abs(person.pointer()[0] - 40) <= 2 and abs(person.pointer()[1] - 600) <= 2)
    assert await page.evaluate("window.states") == ["asked", "starting", "allowed"]
    assert "Control starts in a moment" in await page.evaluate("window.hint")
    await page.get_by_role("button", name="End session").click()
    until(lambda: not person.sees("alongside-indicator"))


async def test_a_real_key_is_painted_again_and_no_hop_waits_to_fill_a_packet(
    system, page, stages, record_property
):
    person = Person(system.screen)
    await connect(page, system)
    person.wait_for_prompt()
    person.allow()
    await until_live(page)
    await ask_to_control(page)
    person.wait_for_prompt()
    person.allow()
    await until_allowed(page, "input.control")
    system.start_on_screen("echo", ["xterm", "-geometry", "60x10+300+300", "-e", "cat"])
    try:
        person.wait_for_window("xterm")
        await page.locator("#screen").click(position=await on_canvas(page, 500, 400))
        await page.wait_for_timeout(500)  # the terminal's cursor has got its focus by then
        await page.evaluate(WATCH_ECHO, list(ECHO_AT.values()))
        for count, key in enumerate(KEYS, 1):
            await page.keyboard.press("Space" if key == " " else key)
            await page.evaluate(UNTIL_ECHO, count)
        echoes = await page.evaluate("window.echoes")
        stages.done(f"{len(KEYS)} keys, each painted before the next")
        assert min(echoes) > 0, "every key was seen on the canvas"
        ordered = sorted(echoes)
        middle, late = statistics.median(ordered), ordered[int(0.95 * len(ordered))]
        stages.note(f"key to painted canvas: median {middle:.1f} ms, 95 % within {late:.1f} ms")
        record_property("key_to_paint_median_ms", round(middle, 1))
        record_property("key_to_paint_p95_ms", round(late, 1))
        hops = {name: system.pids[name] for name in ("agent", "relay", "console")}
        hops |= {f"relay {one.pid}": one.pid for one in psutil.Process(hops["relay"]).children()}
        delays = {name: tcp_without_delay(pid) for name, pid in hops.items()}
        assert sum(map(len, delays.values())) >= 6, delays
        assert all(all(found) for found in delays.values()), delays
        await page.get_by_role("button", name="End session").click()
        until(lambda: not person.sees("alongside-indicator"))
    finally:
        system.stop_on_screen("echo")
