"""Every screen source on a stage: the source, and a way to draw on what it shows."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

from agent.capabilities.screen.privacy import MaskedSource
from agent.capabilities.screen.worker import open_masked
from agent.platform.interfaces import Area, CursorImage, ScreenSource
from agent.platform.macos.screen import open_mac_screen
from agent.platform.windows.screen import open_dxcam_screen
from protocol.private_windows import PrivateWindow
from tests.support.fake_dxcam import FakeCamera, FakeDxcam
from tests.support.fake_mac import FakeDisplay, FakeMac
from tests.support.screen_source import FakeScreen
from tests.support.window_watch import FakeWatch
from tests.support.x_painter import painter_on
from tests.support.xorg import start_xorg
from tests.support.xvfb import Xvfb, start_xvfb

SIZE = (640, 480)
MASK = "masked "
"""Before the name of a source: a list of private windows is put around it."""
PRIVATE = [PrivateWindow(window_class="a window that is not here")]


@dataclass
class Stage:
    """A source, and a way to draw on what it shows.

    `has_no_cursor`: the cursor is in the picture, or nowhere. `tells_news`: though it
    cannot wake us, it names nothing when nothing changed.
    """

    source: ScreenSource
    painter: Any
    has_no_cursor: bool = False
    tells_news: bool = False


class FakePainter:
    """The painter's words for the fake screen."""

    def __init__(self, screen: FakeScreen) -> None:
        self._screen = screen

    def put(self, x: int, y: int, bgrx: np.ndarray) -> None:
        """Show these pixels."""
        height, width, _ = bgrx.shape
        self._screen.pixels[y : y + height, x : x + width] = bgrx
        self._screen.damage(Area(x, y, width, height))

    def set_cursor(self, glyph: int) -> None:
        """Another shape."""
        self._screen.point(1, 1, CursorImage(1, 1, 0, 0, bytes([glyph, 0, 0, 255])))

    def move_pointer(self, x: int, y: int) -> None:
        """Another place."""
        self._screen.point(x, y)

    move_pointer_by_device = move_pointer

    def resize_screen(self, width: int, height: int) -> str:
        """Another size; never refused."""
        self._screen.resize(width, height)
        return ""


@contextmanager
def fake_stage(name: str) -> Iterator[Stage]:
    """The screen in memory."""
    fake = FakeScreen(*SIZE)
    source = MaskedSource(fake, FakeWatch(), PRIVATE, print) if name.startswith(MASK) else fake
    yield Stage(source, FakePainter(fake))
    source.close()


class WindowsPainter:
    """The painter's words for the only output of a fake of dxcam."""

    def __init__(self, camera: FakeCamera) -> None:
        self.put = camera.put
        self._camera = camera

    def resize_screen(self, width: int, height: int) -> str:
        """Another mode; never refused."""
        self._camera.move_to(Area(0, 0, width, height))
        return ""


@contextmanager
def dxcam_stage(_: str) -> Iterator[Stage]:
    """Our source of Windows on a fake of dxcam."""
    fake = FakeDxcam(Area(0, 0, *SIZE))
    source = open_dxcam_screen(fake.bindings)
    yield Stage(source, WindowsPainter(fake.cameras[0]), has_no_cursor=True, tells_news=True)
    source.close()
    assert fake.cameras[0].is_released


class MacPainter:
    """The painter's words for the only display of a fake of macOS."""

    def __init__(self, mac: FakeMac) -> None:
        self._mac = mac

    def put(self, x: int, y: int, bgrx: np.ndarray) -> None:
        """Show these pixels."""
        self._mac.put(1, x, y, bgrx)

    def resize_screen(self, width: int, height: int) -> str:
        """Another mode; never refused."""
        self._mac.shown[0].move_to(Area(0, 0, width, height))
        return ""


@contextmanager
def mac_stage(_: str) -> Iterator[Stage]:
    """Our source of macOS on a fake of its frameworks."""
    mac = FakeMac(FakeDisplay(1, Area(0, 0, *SIZE)))
    # the clock stands: what follows a second of rest has a test of its own
    source = open_mac_screen(mac.bindings, lambda: 0.0)
    yield Stage(source, MacPainter(mac), has_no_cursor=True)
    source.close()
    assert not mac.streams[0].is_running


@contextmanager
def x_stage(name: str) -> Iterator[Stage]:
    """A source that reads the display that DISPLAY names, by the name that `--source` takes."""
    with painter_on(os.environ["DISPLAY"]) as painter:
        source = open_masked(name.removeprefix(MASK), PRIVATE if name.startswith(MASK) else [])
        try:
            yield Stage(source, painter, has_no_cursor=name.endswith("mss"))
        finally:
            source.close()


@dataclass(frozen=True, slots=True)
class Setting:
    """What a source of the contract suite needs around it. `server` starts the X server that it reads."""

    stage: Callable[[str], AbstractContextManager[Stage]]
    name: str
    server: Callable[[tuple[int, int]], AbstractContextManager[Xvfb | None]] = start_xvfb


def no_server(_: tuple[int, int]) -> AbstractContextManager[None]:
    """For sources that are a fake all the way down."""
    return nullcontext()


SETTINGS = {
    "fake": Setting(fake_stage, "fake", no_server),
    "xcffib": Setting(x_stage, "xcffib"),
    "xcffib on Xorg": Setting(x_stage, "xcffib", start_xorg),
    "xcffib with ten-bit colours": Setting(x_stage, "xcffib", partial(start_xvfb, depth=30)),
    "dxcam on a fake": Setting(dxcam_stage, "dxcam", no_server),
    "ScreenCaptureKit on a fake": Setting(mac_stage, "screencapturekit", no_server),
    "mss": Setting(x_stage, "mss"),
    "masked fake": Setting(fake_stage, "masked fake", no_server),
    "masked xcffib": Setting(x_stage, "masked xcffib"),
    "masked mss": Setting(x_stage, "masked mss"),
}


@contextmanager
def served(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The X server that the setting needs, named by DISPLAY."""
    with setting.server(SIZE) as server:
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        if server is not None:
            monkeypatch.setenv("DISPLAY", server.display)
        yield
