"""WEB-06: what the console's content policy permits, in a real browser, and what happens without it.

Markup and code of every kind that a policy can refuse stand in the console's own page, as if a fault of
ours had let them in. The control is the same page with the same markup and without the headers.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from playwright.async_api import Page

from technician_client.console.headers import FIXED_HEADERS
from tests.support.console_desk import CHROMIUM, STRANGER, Desk
from tests.support.foreign_site import ForeignSite

pytestmark = [
    pytest.mark.real,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]

STRICT_HEADERS = {"content-security-policy", *(name.lower() for name in FIXED_HEADERS)}
WAIT_S = 20.0

# each says its name in `got`, or asks the foreign site for it
MARKUP = """
<script>got.push("script")</script>
<img src="/static/none.png" alt="" onerror="got.push('handler')">
<svg onload="got.push('handler of a drawing')"></svg>
<iframe srcdoc="<script>parent.got.push('frame of markup')</script>"></iframe>
<a id="link" href="javascript:got.push('javascript address')">link</a>
<style>#link { position: fixed; top: 0; left: 0; z-index: 99999; border-top: 7px solid }</style>
<p id="styled" style="border-top: 7px solid">text</p>
<script src="//FOREIGN/script"></script>
<script type="module" src="//FOREIGN/module"></script>
<link rel="stylesheet" href="//FOREIGN/style">
<link rel="preload" as="font" href="//FOREIGN/font" crossorigin>
<img src="//FOREIGN/img" alt="">
<iframe src="//FOREIGN/frame"></iframe>
<object data="//FOREIGN/object"></object>
<embed src="//FOREIGN/embed">
<video src="//FOREIGN/media"></video>
<form id="form" method="get" action="//FOREIGN/form" target="elsewhere"></form>
<iframe name="elsewhere"></iframe>
"""
SAID = {"script", "handler", "handler of a drawing", "frame of markup", "javascript address"}
SEND = """() => {
  fetch("//FOREIGN/fetch", {mode: "no-cors"}).catch(() => 0);
  navigator.sendBeacon("//FOREIGN/beacon");
  new EventSource("//FOREIGN/events");
  new WebSocket("ws://FOREIGN/socket");
  document.getElementById("form").submit();
}"""
ASKED = {"script", "module", "style", "font", "img", "frame", "object", "embed", "media", "form",
         "fetch", "beacon", "events", "socket"}  # fmt: skip

DIRECTIVES = {"script-src-elem", "style-src-elem", "font-src", "img-src", "media-src", "object-src",
              "frame-src", "connect-src", "form-action", "base-uri"}  # fmt: skip

# each is true when the browser let it be
CODE: dict[str, str] = {
    "eval": "() => eval('1') === 1",
    "function of a text": "() => new Function('return 1')() === 1",
    "timer of a text": """() => new Promise((told) => {
      window.ran = () => told(true);
      setTimeout("ran()", 0);
      setTimeout(() => told(false), 300);
    })""",
    "module of a text": 'async () => (await import("data:text/javascript,export default 1")).default === 1',
    "module of a blob": """async () => {
      const made = new Blob(["export default 1"], {type: "text/javascript"});
      return (await import(URL.createObjectURL(made))).default === 1;
    }""",
    "worker of a blob": """() => new Promise((told) => {
      const made = new Blob(["postMessage(1)"], {type: "text/javascript"});
      const worker = new Worker(URL.createObjectURL(made));
      worker.onmessage = () => told(true);
      worker.onerror = () => told(false);
    })""",
    "another base of addresses": """() => {
      const base = document.createElement("base");
      base.href = "//FOREIGN/";
      document.head.append(base);
      const is_moved = document.baseURI.includes("FOREIGN");
      base.remove();
      return is_moved;
    }""",
    "markup by a script": """() => {
      document.body.insertAdjacentHTML("beforeend", "<b id=made></b>");
      return document.getElementById("made") !== null;
    }""",
    "document of a text": '() => new DOMParser().parseFromString("<b></b>", "text/html") !== null',
    "another policy for texts": '() => trustedTypes.createPolicy("mine", {createHTML: (it) => it}) !== null',
    "a style of the markup": "() => getComputedStyle(link).borderTopWidth === '7px'",
    "a style of an element": "() => getComputedStyle(styled).borderTopWidth === '7px'",
}
# in a turn of the page's own: what an inspector evaluates itself may always use eval
TRY = """(code) => new Promise((told) => setTimeout(async () => {
  try { told(Boolean(await code())); } catch { told(false); }
}))"""


@dataclass
class Attacked:
    """The console's page with the markup in it, and the foreign site that it names."""

    page: Page
    site: ForeignSite

    @property
    def foreign(self) -> str:
        """Where the foreign site is, for the browser."""
        return f"{STRANGER}:{self.site.port}"

    async def act(self) -> set[str]:
        """Click and submit as a person or a script would; the names of `CODE` that the browser let be."""
        await self.page.locator("#link").dispatch_event("click")
        await self.page.evaluate(SEND.replace("FOREIGN", self.foreign))
        let_be = set()
        for name, code in CODE.items():
            call = f"() => ({TRY})({code.replace('FOREIGN', self.foreign)})"
            if await self.page.evaluate(call):
                let_be.add(name)
        return let_be

    async def asked(self) -> set[str]:
        """What the foreign site was asked for."""
        return {one["path"].removeprefix("/") for one in self.site.asked} & ASKED

    async def said(self) -> set[str]:
        """What ran in the page."""
        return set(await self.page.evaluate("window.got"))

    async def refused(self) -> set[str]:
        """The directives by which the browser says that it kept from the foreign site."""
        reported = await self.page.evaluate("window.violations")
        return {line.partition(" ")[0] for line in reported if self.foreign in line}


@asynccontextmanager
async def attacked(desk: Desk, *, with_headers: bool) -> AsyncIterator[Attacked]:
    """The console's list of devices with the markup in it, served with the console's headers or without."""
    await desk.enter()
    ours = await desk.page.goto(desk.page.url)
    assert ours is not None
    headers = {name: value for name, value in (await ours.all_headers()).items() if name in STRICT_HEADERS}
    assert set(headers) == STRICT_HEADERS
    foreign = ForeignSite()
    await foreign.start()
    body = await ours.text()
    assert "</body>" in body
    html = body.replace("</body>", MARKUP.replace("FOREIGN", f"{STRANGER}:{foreign.port}") + "</body>")
    served = ForeignSite(html, headers if with_headers else {})
    await served.start()
    await desk.page.add_init_script("window.got = []")
    try:
        await desk.page.goto(f"http://127.0.0.1:{served.port}/")
        yield Attacked(desk.page, foreign)
    finally:
        await desk.page.goto("about:blank")
        await served.stop()
        await foreign.stop()


async def until(look: Callable[[], Awaitable[set[str]]], wanted: set[str]) -> None:
    """Wait for what the browser does in its own time."""
    deadline_s = time.monotonic() + WAIT_S
    while (seen := await look()) != wanted and time.monotonic() < deadline_s:  # noqa: ASYNC110  it has no event for us
        await asyncio.sleep(0.05)
    assert seen == wanted


async def test_web_06_the_policy_refuses_every_kind_of_markup_and_code_that_is_not_ours(desk: Desk) -> None:
    async with attacked(desk, with_headers=True) as page:
        assert await page.act() == set()
        await until(page.refused, DIRECTIVES)
        assert await page.said() == set()
        assert await page.asked() == set()


async def test_web_06_control_without_the_policy_all_of_it_happens(desk: Desk) -> None:
    async with attacked(desk, with_headers=False) as page:
        assert await page.act() == set(CODE)
        await until(page.said, SAID)
        await until(page.asked, ASKED)
        assert await page.refused() == set()
