"""One whole system for all end-to-end tests of a module, and a browser for each test."""

import shutil
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.support.system import WholeSystem, whole_system

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Stages:
    """How long each stage of a test took, printed at its end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last_s = time.monotonic()
        self._lines: list[str] = []

    def done(self, stage: str) -> float:
        """The stage is over; seconds since the one before."""
        now_s = time.monotonic()
        took_s, self._last_s = now_s - self._last_s, now_s
        self._lines.append(f"  {took_s * 1000:8.1f} ms  {stage}")
        return took_s

    def note(self, line: str) -> None:
        """A figure that is not a stage."""
        self._lines.append(f"               {line}")

    def show(self) -> None:
        """Print them."""
        print("\n".join([f"\n{self._name}", *self._lines]))


@pytest.fixture
def stages(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[Stages]:
    """Stage times of this test, printed also when the test passes."""
    made = Stages(request.node.name)
    yield made
    with capsys.disabled():
        made.show()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSystem]:
    """Relay, organisation and agent as real processes, on a virtual desktop."""
    with whole_system(tmp_path_factory.mktemp("system")) as running:
        yield running


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """The system's Chromium, headless."""
    path = shutil.which("chromium")
    assert path, "install it with: apt-get install chromium"
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield started
        await started.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page as large as the device's desktop."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    opened = await context.new_page()
    yield opened
    await context.close()
