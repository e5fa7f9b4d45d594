"""dxcam as its documentation has it (0.3): create, output_info, and cameras with grab, size and release."""

import ctypes
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np

from agent.platform.interfaces import Area
from agent.platform.windows.screen import DxcamBindings


class FakeComError(Exception):
    """Where comtypes.COMError would be."""


class FakeOutput:
    """dxcam.core.Output."""

    def __init__(self, devicename: str, hmonitor: int) -> None:
        self.devicename, self.hmonitor = devicename, hmonitor
        self.attached_to_desktop = True
        self.desc: Any = None


class FakeCamera:
    """One output. `grab` gives a picture of its own if there is a new one, as dxcam does by default."""

    def __init__(self, area: Area, number: int) -> None:
        self.is_released = self.is_lost = False
        self.grabs = 0
        self.scale = 1.0
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self._output = FakeOutput(f"\\\\.\\DISPLAY{number + 1}", number)
        self.move_to(area)

    def unplug(self) -> None:
        """Then dxcam tries to recover until the output is back."""
        self._output.attached_to_desktop = False
        self.may_go_on.clear()

    def move_to(self, area: Area) -> None:
        """Another place or mode."""
        self.width, self.height = area.width, area.height
        corners = SimpleNamespace(left=area.x, top=area.y, right=area.right, bottom=area.bottom)
        self._output.desc = SimpleNamespace(DesktopCoordinates=corners)
        self.pixels = np.zeros((area.height, area.width, 4), np.uint8)
        self.has_news = True

    def put(self, x: int, y: int, bgrx: np.ndarray) -> None:
        """Draw, in the output's own coordinates."""
        height, width, _ = bgrx.shape
        self.pixels[y : y + height, x : x + width] = bgrx
        self.has_news = True

    def grab(self, region=None, copy: bool = True, new_frame_only: bool = True) -> np.ndarray | None:
        """See dxcam's DXCamera.grab."""
        if self.is_released:
            raise RuntimeError("DXCamera has been released")
        if self.is_lost:
            raise FakeComError("0x887A0022")
        assert (region, copy, new_frame_only) == (None, True, True)
        self.grabs += 1
        self.may_go_on.wait()
        had_news, self.has_news = self.has_news, False
        return self.pixels.copy() if had_news else None

    def release(self) -> None:
        """See dxcam."""
        self.is_released = True


class FakeDxcam:
    """The module. The outputs are of one device; `primary` is the number of the first one to show."""

    def __init__(self, *areas: Area, primary: int = 0) -> None:
        self.primary = primary
        self.cameras = [FakeCamera(area, number) for number, area in enumerate(areas)]
        self.threads: set[int] = set()

    @property
    def bindings(self) -> DxcamBindings:
        """For `open_dxcam_screen`."""
        return DxcamBindings(self, (FakeComError, OSError, RuntimeError), self._get_dpi_for_monitor)

    def output_info(self) -> str:
        """See dxcam.output_info."""
        return "".join(
            f"Device[0] Output[{number}]: Res:({one.width}, {one.height}) Rot:0"
            f" Primary:{number == self.primary}\n"
            for number, one in enumerate(self.cameras)
        )

    def create(
        self, *, device_idx: int, output_idx: int, output_color: str, backend: str, processor_backend: str
    ) -> FakeCamera:
        """See dxcam.create."""
        assert (device_idx, output_color, backend, processor_backend) == (0, "BGRA", "dxgi", "numpy")
        self.threads.add(threading.get_ident())
        return self.cameras[output_idx]

    def _get_dpi_for_monitor(self, monitor: Any, kind: int, across: Any, down: Any) -> int:
        """See GetDpiForMonitor."""
        assert isinstance(monitor, ctypes.c_void_p)
        assert kind == 0
        camera = self.cameras[monitor.value or 0]
        across._obj.value = down._obj.value = round(96 * camera.scale)
        return 0 if camera.scale else 1
