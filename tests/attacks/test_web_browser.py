"""WEB: foreign pages against the console, in the real browser that holds the technician's cookie."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from protocol.errors import ErrorCode
from protocol.messages.presence import DeviceRow
from tests.support.console_desk import CHROMIUM, STRANGER, Desk
from tests.support.console_fakes import DESK, sample_snapshot
from tests.support.foreign_site import ForeignSite

pytestmark = [
    pytest.mark.real,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]

# what happens to a socket: "open", or "closed" when it was refused
SOCKET = """(url) => new Promise((told) => {
  const socket = new WebSocket(url);
  socket.onopen = () => told("open");
  socket.onclose = () => told("closed");
})"""
# the same from a frame without an origin of its own
NULL_SOCKET = """(url) => new Promise((told) => {
  const frame = document.createElement("iframe");
  frame.sandbox = "allow-scripts";
  onmessage = (event) => told(event.data);
  frame.srcdoc = `<script>
    const socket = new WebSocket(${JSON.stringify(url)});
    socket.onopen = () => parent.postMessage("open", "*");
    socket.onclose = () => parent.postMessage("closed", "*");
  </script>`;
  document.body.append(frame);
})"""
READ = """async ([url, mode]) => {
  try {
    const answer = await fetch(url, {mode, credentials: "include"});
    return answer.type === "opaque" ? "" : await answer.text();
  } catch { return ""; }
}"""
INCLUDE = """([tag, url]) => new Promise((told) => {
  const made = document.createElement(tag);
  made.onload = () => told("loaded");
  made.onerror = () => told("refused");
  made[tag === "link" ? "href" : "src"] = url;
  if (tag === "link") made.rel = "stylesheet";
  document.body.append(made);
})"""
SUBMIT = """([url, kind]) => new Promise((told) => {
  const frame = document.createElement("iframe");
  frame.name = "hidden";
  const form = document.createElement("form");
  Object.assign(form, {method: "post", action: url, enctype: kind, target: "hidden"});
  const field = document.createElement("input");
  Object.assign(field, {name: '{"a":"', value: '"}'});
  form.append(field);
  document.body.replaceChildren(frame, form);
  frame.onload = () => told("answered");
  setTimeout(() => form.submit());
})"""
POST = """async ([url, more]) => {
  try { return (await fetch(url, {method: "POST", body: "{}", ...more})).status; } catch { return 0; }
}"""


@dataclass
class Visit:
    """The technician's browser at the console, and a foreign page in the same browser."""

    desk: Desk
    site: ForeignSite
    foreign: Page
    console: str

    @property
    def host(self) -> str:
        return self.console.removeprefix("http://")

    async def is_signed_in(self) -> bool:
        """Whether the technician's cookie still opens the console."""
        status: int = await self.desk.page.evaluate("async () => (await fetch('/api/me')).status")
        return status == 200


@pytest_asyncio.fixture(params=[STRANGER, "127.0.0.1"], loop_scope="module")
async def visit(desk: Desk, request: pytest.FixtureRequest) -> AsyncIterator[Visit]:
    """A page of a stranger, or of another port of this machine: there the cookie comes along."""
    async with Visited(desk, request.param) as one:
        yield one


class Visited:
    def __init__(self, desk: Desk, host: str) -> None:
        self._desk, self._host, self._site = desk, host, ForeignSite()

    async def __aenter__(self) -> Visit:
        await self._desk.enter()
        await expect(self._desk.page.locator(f"tr[data-device={DESK}]")).to_be_visible()
        await self._site.start()
        self._page = await self._desk.page.context.new_page()
        await self._page.goto(f"http://{self._host}:{self._site.port}/")
        return Visit(self._desk, self._site, self._page, self._desk.page.url.rstrip("/"))

    async def __aexit__(self, *_: object) -> None:
        await self._page.close()
        await self._site.stop()


@pytest.mark.parametrize("script", [SOCKET, NULL_SOCKET], ids=["own-origin", "null-origin"])
async def test_web_01_a_foreign_page_gets_no_socket_with_the_technicians_cookie(
    visit: Visit, script: str
) -> None:
    path = f"/api/session?device={DESK}"
    assert await visit.foreign.evaluate(script, f"ws://{visit.host}{path}") == "closed"
    assert await visit.foreign.evaluate(script, f"ws://{visit.host}/api/live") == "closed"
    assert visit.desk.app.sessions == []
    assert await visit.desk.page.evaluate(SOCKET, f"ws://{visit.host}{path}") == "open", "the control"


async def test_web_02_a_foreign_form_changes_nothing(visit: Visit) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        for path in ("/api/sign-out", "/api/me?_method=POST"):
            await visit.foreign.evaluate(SUBMIT, [visit.console + path, kind])
            assert await visit.is_signed_in()


async def test_web_02_a_foreign_script_changes_nothing(visit: Visit) -> None:
    for more in (
        {"mode": "no-cors", "credentials": "include", "headers": {"Content-Type": "text/plain"}},
        {"mode": "cors", "credentials": "include", "headers": {"Content-Type": "application/json"}},
        {"mode": "cors", "credentials": "include", "headers": {"X-HTTP-Method-Override": "POST"}},
    ):
        assert await visit.foreign.evaluate(POST, [visit.console + "/api/sign-out", more]) in (0, 403)
        assert await visit.is_signed_in()
    assert await visit.desk.page.evaluate(POST, ["/api/sign-out", {}]) == 204, "the control"
    assert not await visit.is_signed_in()


async def test_web_03_a_name_that_is_made_to_point_here_reaches_nothing(desk: Desk) -> None:
    await desk.enter()
    port = desk.page.url.rstrip("/").rpartition(":")[2]
    rebound = await desk.page.context.new_page()
    try:
        for path in ("/", "/api/me", "/enter?key=x", "/static/style.css"):
            answer = await rebound.goto(f"http://{STRANGER}:{port}{path}")
            assert answer is not None
            assert answer.status == 421
            assert "Ada" not in await rebound.content()
        assert await rebound.evaluate(SOCKET, f"ws://{STRANGER}:{port}/api/live") == "closed"
        answer = await rebound.goto(f"http://127.0.0.1:{port}/api/me")
        assert answer is not None
        assert answer.status == 200, "the control"
    finally:
        await rebound.close()


async def test_web_04_a_foreign_page_that_finds_the_port_reads_and_includes_nothing(visit: Visit) -> None:
    for path in ("/", "/api/me", "/api/devices", "/static/api.js"):
        for mode in ("cors", "no-cors"):
            assert await visit.foreign.evaluate(READ, [visit.console + path, mode]) == ""
    for tag, path in (("script", "/static/api.js"), ("script", "/api/me"), ("link", "/static/style.css"),
                      ("img", "/static/logo.svg")):  # fmt: skip
        assert await visit.foreign.evaluate(INCLUDE, [tag, visit.console + path]) == "refused"
    assert "Ada" in await visit.desk.page.evaluate(READ, ["/api/me", "cors"]), "the control"


async def test_web_07_no_foreign_page_frames_the_console(visit: Visit) -> None:
    for path in ("/", f"/session?device={DESK}", f"/session?device={DESK}&kiosk=1", "/enter?key=x"):
        await visit.foreign.evaluate(
            """(url) => new Promise((told) => {
              const frame = document.createElement("iframe");
              frame.onload = told;
              frame.src = url;
              document.body.replaceChildren(frame);
            })""",
            visit.console + path,
        )
        [_, framed] = visit.foreign.frames
        assert "console" not in (await framed.title()).lower()
        assert await framed.locator("canvas, table, header, main").count() == 0
    assert visit.desk.app.sessions == []


async def test_web_07_a_foreign_page_that_opens_the_console_holds_no_handle_on_it(visit: Visit) -> None:
    async with visit.foreign.context.expect_page() as opened:
        await visit.foreign.evaluate("(url) => { window.held = open(url); }", visit.console + "/")
    console = await opened.value
    # first it is an empty page of the opener's own; the console's policy takes it away with its answer
    await console.wait_for_url(visit.console + "/")
    await visit.foreign.wait_for_function("held.closed || held === null", timeout=20_000)
    assert await console.evaluate("opener === null")
    await console.close()


async def test_web_08_the_key_is_in_no_history_no_referrer_and_no_second_visit(desk: Desk) -> None:
    async with Visited(desk, STRANGER) as visit:
        inspector = await desk.page.context.new_cdp_session(desk.page)
        history: dict[str, Any] = await inspector.send("Page.getNavigationHistory")
        assert history["entries"]
        assert not [entry for entry in history["entries"] if "key=" in entry["url"]]
        target = f"http://{STRANGER}:{visit.site.port}/left"
        await desk.page.evaluate("(url) => { location.href = url; }", target)
        await desk.page.wait_for_url(target)
        [left] = [one for one in visit.site.asked if one["path"] == "/left"]
        assert "referer" not in left
        assert "key=" not in str(visit.site.asked)
        assert await desk.page.evaluate("document.referrer") == ""


async def test_web_09_the_address_leads_to_the_console_whatever_was_added_to_it(desk: Desk) -> None:
    for more in (f"&next=//{STRANGER}/", f"&redirect=http://{STRANGER}/", f"&device=//{STRANGER}"):
        address = desk.server.new_address()
        await desk.page.context.clear_cookies()
        await desk.page.goto(address + more)
        assert desk.page.url == address.partition("/enter")[0] + "/"


# whether the browser refused
SCRIPT_TEXT = """() => {
  try { document.createElement("script").text = "1"; return false; } catch { return true; }
}"""
SCRIPT_ADDRESS = """() => {
  try { document.createElement("script").src = "/x.js"; return false; } catch { return true; }
}"""
PAYLOADS = [
    "<img src=x onerror=pwned()><svg onload=pwned()>",
    "'\"><iframe srcdoc='<script>parent.pwned()</script>'>",
    "{{constructor.constructor('pwned()')()}} ${pwned()} <%=pwned()%>",
    "[x](javascript:pwned()) javascript:pwned()",
]


def hostile_tree(value: Any, payload: str) -> Any:
    """The same tree with the payload in every text of it but the message's type."""
    if isinstance(value, str):
        return payload
    if isinstance(value, list):
        return [hostile_tree(item, payload) for item in value]
    if isinstance(value, dict):
        return {key: item if key == "type" else hostile_tree(item, payload) for key, item in value.items()}
    return value


async def assert_nothing_came_of_it(desk: Desk) -> None:
    """Nothing of a device's texts became an element or ran."""
    not_ours = ":not([src^='/static/'])"
    for made in (f"img{not_ours}", f"script{not_ours}", "iframe", "[onerror]", "[onload]"):
        assert await desk.page.locator(f"body {made}").count() == 0, made
    assert await desk.page.locator("a[href^='javascript:']").count() == 0
    assert await desk.page.evaluate("window.violations") == []
    assert await desk.page.evaluate("window.pwnedTimes ?? 0") == 0


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_web_05_no_text_of_a_device_becomes_more_than_text(desk: Desk, payload: str) -> None:
    """Every text that a device can say: its row, its names, a snapshot, a command's output and codes."""
    await desk.page.context.add_init_script(
        "window.pwned = () => { window.pwnedTimes = (window.pwnedTimes ?? 0) + 1; }"
    )
    row: DeviceRow = msgspec.convert(
        hostile_tree(msgspec.to_builtins(desk.app.rows[DESK]), payload)
        | {"device_id": DESK, "status": "approved"},
        DeviceRow,
    )
    desk.app.rows[DESK] = row
    desk.app.script.name = payload
    snapshot = hostile_tree(msgspec.to_builtins(sample_snapshot()), payload)
    desk.app.script.snapshot = msgspec.convert(snapshot, type(sample_snapshot()))
    desk.app.script.output = payload.encode() + b"\n"
    desk.app.script.refused = {"input.control": payload}
    await desk.enter()
    await expect(desk.page.locator(f"tr[data-device={DESK}]")).to_contain_text(payload)
    await assert_nothing_came_of_it(desk)
    await desk.page.goto(desk.page.url.rstrip("/") + f"/device?device={DESK}")
    await expect(desk.page.locator("#device-name")).to_contain_text(payload[:40])
    await desk.page.click("#tab-diagnostics")
    await desk.page.click("#diagnostics-gate button.primary")
    await expect(desk.page.locator("#diagnostics")).to_contain_text(payload)
    await desk.page.click("#tab-commands")
    await desk.page.click("#commands-gate button.primary")
    await desk.page.click("#commands .command button[type=submit]")
    await expect(desk.page.locator(".output")).to_contain_text(payload)
    await assert_nothing_came_of_it(desk)
    desk.app.sessions[-1].stop(ErrorCode.E_LINK_LOST)
    await desk.page.wait_for_selector("html[data-state=ended]")
    await assert_nothing_came_of_it(desk)


async def test_web_05_even_a_script_that_got_in_finds_no_way_to_markup_or_out(desk: Desk) -> None:
    """The control: with a fault of ours the browser itself refuses (CSP, Trusted Types), and reports it."""
    async with Visited(desk, STRANGER) as visit:
        assert await desk.page.evaluate(
            "() => { try { document.body.innerHTML = '<b>x</b>'; return false; } catch { return true; } }"
        )
        for assignment in (SCRIPT_TEXT, SCRIPT_ADDRESS):
            assert await desk.page.evaluate(assignment)
        assert await desk.page.evaluate(READ, [f"http://{STRANGER}:{visit.site.port}/out", "no-cors"]) == ""
        assert not [one for one in visit.site.asked if one["path"] == "/out"]
        assert len(await desk.page.evaluate("window.violations")) >= 4
        await desk.page.reload()
