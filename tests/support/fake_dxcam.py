"""dxcam as its documentation has it (0.3): create, output_info, and cameras with grab, size and release."""

from types import SimpleNamespace

import numpy as np

from agent.platform.interfaces import Area
from agent.platform.windows.screen import DxcamBindings


class FakeComError(Exception):
    """Where comtypes.COMError would be."""


class FakeCamera:
    """One output. `grab` gives a picture of its own if there is a new one, as dxcam does by default."""

    def __init__(self, area: Area) -> None:
        self.is_released = self.is_lost = False
        self.grabs = 0
        self.move_to(area)

    def move_to(self, area: Area) -> None:
        """Another place or mode."""
        self.width, self.height = area.width, area.height
        corners = SimpleNamespace(left=area.x, top=area.y, right=area.right, bottom=area.bottom)
        self._output = SimpleNamespace(desc=SimpleNamespace(DesktopCoordinates=corners))
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
        had_news, self.has_news = self.has_news, False
        return self.pixels.copy() if had_news else None

    def release(self) -> None:
        """See dxcam."""
        self.is_released = True


class FakeDxcam:
    """The module. The outputs are of one device; `primary` is the number of the first one to show."""

    def __init__(self, *areas: Area, primary: int = 0) -> None:
        self.primary = primary
        self.cameras = [FakeCamera(area) for area in areas]

    @property
    def bindings(self) -> DxcamBindings:
        """For `open_dxcam_screen`."""
        return DxcamBindings(self, (FakeComError, OSError, RuntimeError))

    def output_info(self) -> str:
        """See dxcam.output_info."""
        return "".join(
            f"Device[0] Output[{number}]: Res:({one.width}, {one.height}) Rot:0"
            f" Primary:{number == self.primary}\n"
            for number, one in enumerate(self.cameras)
        )

    def create(
        self, *, device_idx: int, output_idx: int, output_color: str, processor_backend: str
    ) -> FakeCamera:
        """See dxcam.create."""
        assert (device_idx, output_color, processor_backend) == (0, "BGRA", "numpy")
        return self.cameras[output_idx]
