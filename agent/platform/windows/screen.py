"""The Windows screen source: Desktop Duplication (DXGI) through dxcam.

dxcam says whether a display has a new picture, not where in it something changed, and cannot wake us: it is
asked, and a display without news costs no pixels. The cursor is not in the picture. While Windows shows its
secure desktop there is nothing new (`camera.py`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from agent.platform.interfaces import Area, Cursor, DisplayArea, Noticed
from agent.platform.windows.camera import CameraThread, scale_of
from protocol.errors import BackendUnavailable
from protocol.limits import DISPLAY_LIMIT

if TYPE_CHECKING:
    from agent.platform.interfaces import Pixels

NAME = "dxcam"
FIRST_PICTURE_TIMEOUT_S, FIRST_PICTURE_INTERVAL_S = 2.0, 0.02
DEVICE_PREFIX = "\\\\.\\"
"""Before the name of each of Windows' devices."""
OUTPUT_LINE = re.compile(r"Device\[(\d+)\] Output\[(\d+)\]:.*Primary:(True|False)")
"""A line of `dxcam.output_info()`, which is the list of outputs that it publishes."""


@dataclass(frozen=True, slots=True)
class DxcamBindings:
    """The module, what it raises when Windows takes the screen away, and GetDpiForMonitor of shcore."""

    dxcam: Any
    lost: tuple[type[Exception], ...]
    get_dpi_for_monitor: Any


def load_dxcam() -> DxcamBindings:
    """Imports it; that already asks Windows for its displays.

    Raises:
        BackendUnavailable: it is not installed, or there is no display.
    """
    try:
        com_error = _com_error()
    except (ImportError, OSError, AttributeError) as exc:
        raise _not_loaded(exc) from exc
    try:
        # ctypes has Windows' libraries on Windows only
        get_dpi = import_module("ctypes").windll.shcore.GetDpiForMonitor
        return DxcamBindings(import_module("dxcam"), (com_error, OSError, RuntimeError), get_dpi)
    except (ImportError, OSError, AttributeError, com_error) as exc:
        raise _not_loaded(exc) from exc


def _com_error() -> type[Exception]:
    found: type[Exception] = import_module("comtypes").COMError
    return found


def open_dxcam_screen(bindings: DxcamBindings, now_s: Callable[[], float] = time.monotonic) -> DxcamScreen:
    """Opens every display of this process's session.

    Raises:
        BackendUnavailable: Windows refuses, or shows none.
    """
    # AttributeError: another dxcam, which does not keep the place of an output where this one does
    unusable: tuple[type[Exception], ...] = (*bindings.lost, AttributeError)
    try:
        return DxcamScreen(bindings, now_s)
    except unusable as exc:
        raise BackendUnavailable(
            f"dxcam cannot read the screen ({exc}); start the agent inside the person's graphical session"
        ) from exc


class _View:
    """One display; `picture` is ours, BGRA.

    dxcam publishes the size of an output, and keeps the rest in its `Output`, by Windows' DXGI_OUTPUT_DESC.
    """

    def __init__(self, thread: CameraThread) -> None:
        self.thread = thread
        self.picture: Pixels | None = None
        self.is_new = False
        self._device_name = self._output.devicename
        self.name = str(self._device_name).removeprefix(DEVICE_PREFIX)

    @property
    def monitor(self) -> Any:
        return self._output.hmonitor

    @property
    def is_gone(self) -> bool:
        # dxcam goes on with another output where it does not find the one that it had
        return not self._output.attached_to_desktop or self._output.devicename != self._device_name

    def place(self) -> Area:
        corners, camera = self._output.desc.DesktopCoordinates, self.thread.camera
        return Area(int(corners.left), int(corners.top), int(camera.width), int(camera.height))

    def refresh(self) -> None:
        picture = self.thread.picture()
        if picture is not None:
            # it is cut again until there is news: whoever paints over private windows does so in a copy
            picture.setflags(write=False)
            self.picture, self.is_new = picture, True

    @property
    def _output(self) -> Any:
        return self.thread.camera._output


class DxcamScreen:
    """A `ScreenSource`; see there. Outputs that are plugged in later are seen by the next session."""

    name = NAME
    detail = "Windows, Desktop Duplication by dxcam, asked several times a second"
    wake_fd: int | None = None

    def __init__(self, bindings: DxcamBindings, now_s: Callable[[], float]) -> None:
        self._bindings, self._now_s = bindings, now_s
        self._views: list[_View] = []
        self._is_open = True
        try:
            for device, output in outputs_of(bindings.dxcam.output_info())[:DISPLAY_LIMIT]:
                self._views.append(self._opened(device, output))
            if not self._views:
                raise BackendUnavailable("Windows shows no display to this session")
            self._await_first_pictures()
        except BaseException:
            self.close()
            raise
        self._told = self._shown()

    def displays(self) -> Sequence[DisplayArea]:
        """See `ScreenSource`."""
        self._drop_what_is_gone()
        self._told = self._shown()
        return self._told

    def look(self) -> Noticed:
        """See `ScreenSource`. Only displays with a new picture are named."""
        self._refresh(self._views)
        self._drop_what_is_gone()
        damage = tuple(view.place() for view in self._views if view.is_new)
        for view in self._views:
            view.is_new = False
        return Noticed(damage, self._shown() != self._told)

    def grab(self, area: Area) -> Pixels | None:
        """See `ScreenSource`. What lies between displays is black."""
        touched = [view for view in self._views if view.place().common_with(area) is not None]
        self._refresh(touched)
        if not self._is_on_desktop(area):
            return None
        for view in touched:
            if view.place().common_with(area) == area:
                return _cut(view, area)
        return self._composed(area, touched)

    def cursor(self) -> Cursor | None:
        """None: dxcam does not tell of the cursor."""
        return None

    def close(self) -> None:
        """See `ScreenSource`."""
        if self._is_open:
            self._is_open = False
            for view in self._views:
                view.thread.close()

    def _opened(self, device: int, output: int) -> _View:
        dxcam = self._bindings.dxcam
        thread = CameraThread(
            lambda: dxcam.create(
                device_idx=device,
                output_idx=output,
                output_color="BGRA",
                backend="dxgi",
                processor_backend="numpy",
            ),
            self._bindings.lost,
            self._now_s,
        )
        try:
            return _View(thread)
        except BaseException:
            thread.close()
            raise

    def _shown(self) -> tuple[DisplayArea, ...]:
        get_dpi = self._bindings.get_dpi_for_monitor
        return tuple(
            DisplayArea(view.name, view.place(), scale_of(get_dpi, view.monitor)) for view in self._views
        )

    def _drop_what_is_gone(self) -> None:
        gone = [view for view in self._views if view.is_gone]
        self._views = [view for view in self._views if view not in gone]
        for view in gone:
            view.thread.close()
        if not self._views:
            raise BackendUnavailable(
                "every display that was there at the start was unplugged or switched off; "
                "start again to see others"
            )

    def _await_first_pictures(self) -> None:
        # Windows hands the whole desktop to whoever asks first; later only what is new
        deadline_s = time.monotonic() + FIRST_PICTURE_TIMEOUT_S
        while any(view.picture is None for view in self._views):
            self._refresh([view for view in self._views if view.picture is None])
            if time.monotonic() > deadline_s:
                raise BackendUnavailable("dxcam gets no picture from Windows; is the screen switched off?")
            time.sleep(FIRST_PICTURE_INTERVAL_S)

    def _refresh(self, views: Sequence[_View]) -> None:
        try:
            for view in views:
                view.refresh()
        except self._bindings.lost as exc:
            raise BackendUnavailable(f"dxcam cannot read the screen any more ({exc})") from exc

    def _is_on_desktop(self, area: Area) -> bool:
        places = [view.place() for view in self._views]
        left, top = min(one.x for one in places), min(one.y for one in places)
        right, bottom = max(one.right for one in places), max(one.bottom for one in places)
        return left <= area.x and top <= area.y and area.right <= right and area.bottom <= bottom

    def _composed(self, area: Area, touched: Sequence[_View]) -> Pixels | None:
        import numpy as np

        made = np.zeros((area.height, area.width, 4), np.uint8)
        for view in touched:
            part = view.place().common_with(area)
            if part is None:
                continue
            cut = _cut(view, part)
            if cut is None:
                return None
            x, y = part.x - area.x, part.y - area.y
            made[y : y + part.height, x : x + part.width] = cut
        return made


def outputs_of(output_info: str) -> list[tuple[int, int]]:
    """Device and output numbers from what `dxcam.output_info()` says, the primary one first."""
    found = [OUTPUT_LINE.search(line) for line in output_info.splitlines()]
    listed = [(one[3] != "True", int(one[1]), int(one[2])) for one in found if one is not None]
    return [(device, output) for _, device, output in sorted(listed)]


def _cut(view: _View, area: Area) -> Pixels | None:
    place, picture = view.place(), view.picture
    if picture is None or picture.shape[:2] != (place.height, place.width):
        # between two modes: the place is new already, the picture not yet
        return None
    x, y = area.x - place.x, area.y - place.y
    return picture[y : y + area.height, x : x + area.width]


def _not_loaded(exc: BaseException) -> BackendUnavailable:
    return BackendUnavailable(
        f"dxcam cannot be loaded ({exc}); install it with: pip install 'alongside[agent]'"
    )
