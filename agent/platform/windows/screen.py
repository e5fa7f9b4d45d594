"""The Windows screen source: Desktop Duplication (DXGI) through dxcam.

dxcam says whether a display has a new picture, not where in it something changed, and cannot wake us: it is
asked, and a display without news costs no pixels. The cursor is not in the picture. While Windows shows its
secure desktop dxcam waits inside `look`; the worker can be ended all the same.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from agent.platform.interfaces import Area, Cursor, DisplayArea, Noticed
from protocol.errors import BackendUnavailable
from protocol.limits import DISPLAY_LIMIT

if TYPE_CHECKING:
    from agent.platform.interfaces import Pixels

NAME = "dxcam"
FIRST_PICTURE_TIMEOUT_S, FIRST_PICTURE_INTERVAL_S = 2.0, 0.02
OUTPUT_LINE = re.compile(r"Device\[(\d+)\] Output\[(\d+)\]:.*Primary:(True|False)")
"""A line of `dxcam.output_info()`, which is the list of outputs that it publishes."""


@dataclass(frozen=True, slots=True)
class DxcamBindings:
    """The module, and what it raises when Windows takes the screen away."""

    dxcam: Any
    lost: tuple[type[Exception], ...]


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
        return DxcamBindings(import_module("dxcam"), (com_error, OSError, RuntimeError))
    except (ImportError, OSError, AttributeError, com_error) as exc:
        raise _not_loaded(exc) from exc


def _com_error() -> type[Exception]:
    found: type[Exception] = import_module("comtypes").COMError
    return found


def open_dxcam_screen(bindings: DxcamBindings) -> DxcamScreen:
    """Opens every display of this process's session.

    Raises:
        BackendUnavailable: Windows refuses, or shows none.
    """
    # AttributeError: another dxcam, which does not keep the place of an output where this one does
    unusable: tuple[type[Exception], ...] = (*bindings.lost, AttributeError)
    try:
        return DxcamScreen(bindings)
    except unusable as exc:
        raise BackendUnavailable(
            f"dxcam cannot read the screen ({exc}); start the agent inside the person's graphical session"
        ) from exc


@dataclass(slots=True)
class _View:
    """One display; `picture` is ours, BGRA. `area` is where it was when the displays were read last."""

    camera: Any
    name: str
    area: Area = field(init=False)
    picture: Pixels | None = None
    is_new: bool = False

    def __post_init__(self) -> None:
        self.area = self.place()

    def place(self) -> Area:
        # dxcam publishes the size of an output, and keeps the place in Windows' own DXGI_OUTPUT_DESC
        corners = self.camera._output.desc.DesktopCoordinates
        width, height = self.camera.width, self.camera.height
        return Area(int(corners.left), int(corners.top), int(width), int(height))

    def refresh(self) -> None:
        picture = self.camera.grab(new_frame_only=True)
        if picture is not None:
            # it is cut again until there is news: whoever paints over private windows does so in a copy
            picture.setflags(write=False)
            self.picture, self.is_new = picture, True


class DxcamScreen:
    """A `ScreenSource`; see there. Outputs that are plugged in later are seen by the next session."""

    name = NAME
    detail = "Windows, Desktop Duplication by dxcam, asked several times a second"
    wake_fd: int | None = None

    def __init__(self, bindings: DxcamBindings) -> None:
        self._bindings = bindings
        self._views: list[_View] = []
        self._is_open = True
        try:
            for device, output in outputs_of(bindings.dxcam.output_info())[:DISPLAY_LIMIT]:
                camera = bindings.dxcam.create(
                    device_idx=device, output_idx=output, output_color="BGRA", processor_backend="numpy"
                )
                self._views.append(_View(camera, f"display {len(self._views) + 1}"))
            if not self._views:
                raise BackendUnavailable("Windows shows no display to this session")
            self._await_first_pictures()
        except BaseException:
            self.close()
            raise

    def displays(self) -> Sequence[DisplayArea]:
        """See `ScreenSource`."""
        for view in self._views:
            view.area = view.place()
        return tuple(DisplayArea(view.name, view.area, 1.0) for view in self._views)

    def look(self) -> Noticed:
        """See `ScreenSource`. Only displays with a new picture are named."""
        self._refresh(self._views)
        are_new = any(view.place() != view.area for view in self._views)
        damage = tuple(view.place() for view in self._views if view.is_new)
        for view in self._views:
            view.is_new = False
        return Noticed(damage, are_new)

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
                view.camera.release()

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
