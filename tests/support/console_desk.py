"""One browser page at one console with a scripted device behind it."""

import asyncio
import hashlib
import shutil
from dataclasses import dataclass

import numpy as np
from playwright.async_api import Page

from protocol.messages.input import Event
from technician_client.console.server import ConsoleServer
from tests.support.console_fakes import DESK, FakeConsoleApp, FakeSession
from tests.support.fake_screen import Pixels

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
ARGUMENTS += ["--disable-background-networking", "--disable-component-update"]
# a name that somebody else owns and lets point here
STRANGER = "stranger.example"
ARGUMENTS += [f"--host-resolver-rules=MAP {STRANGER} 127.0.0.1"]
HASH_OF_CANVAS = """async () => {
  const canvas = document.querySelector("#screen");
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const digest = await crypto.subtle.digest("SHA-256", pixels);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}"""


@dataclass
class Desk:
    """The page, the console's server, and what the browser complained of."""

    app: FakeConsoleApp
    server: ConsoleServer
    page: Page
    complaints: list[str]

    async def enter(self, path: str = "") -> None:
        """Redeem a key, and go to a page of the console."""
        address = self.server.new_address()
        await self.page.goto(address)
        if path:
            await self.page.goto(address.partition("/enter")[0] + path)

    async def open_kiosk(self) -> FakeSession:
        """The desk's screen alone, with its first picture and with control, unless that is refused."""
        await self.enter(f"/session?device={DESK}&kiosk=1")
        # asked for after the screen
        await self.page.wait_for_selector(
            "html[data-state=live]:is([data-control=allowed], [data-control=none])"
        )
        return self.app.sessions[-1]

    async def ask(self, grantable: str) -> None:
        """Press the button that asks for it, and wait for the answer."""
        one = f"#permissions [data-grantable='{grantable}']"
        await self.page.click(f"{one} button")
        await self.page.wait_for_selector(f"{one}:is([data-state=allowed], [data-state=refused])")

    async def events(self, session: FakeSession, count: int) -> list[Event]:
        """The input that has arrived, as soon as it is so many."""
        async with asyncio.timeout(5):
            while len(session.events()) < count:  # noqa: ASYNC110  the browser has no event for us
                await asyncio.sleep(0.02)
        return session.events()


def rgba_hash(picture: Pixels) -> str:
    """The hash that a canvas with exactly this picture (BGR) has."""
    opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
    return hashlib.sha256(np.concatenate([picture[:, :, ::-1], opaque], axis=-1).tobytes()).hexdigest()


async def seen(session: FakeSession, number: int) -> None:
    """Wait until this picture is acknowledged."""
    async with asyncio.timeout(10):
        while session.screen is None or number not in session.screen.seen:  # noqa: ASYNC110  as above
            await asyncio.sleep(0.02)
