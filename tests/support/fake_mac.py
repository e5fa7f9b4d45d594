"""macOS' capture as Apple documents it and pyobjc spells it: displays with modes, streams, sample buffers."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from agent.platform.interfaces import Area
from agent.platform.macos.bindings import MacBindings

COMPLETE, IDLE, SCREEN, AUDIO = 0, 1, 0, 1
ROW_PADDING_BYTES = 48


class FakeDisplay:
    """An SCDisplay, in points; `scale` is pixels for each point."""

    def __init__(self, number: int, area: Area, scale: int = 1) -> None:
        self.number, self.scale = number, scale
        self.move_to(area)

    def move_to(self, area: Area) -> None:
        """Another place or mode, in points."""
        self.area = area
        self.pixels = np.zeros((area.height * self.scale, area.width * self.scale, 4), np.uint8)

    def displayID(self) -> int:
        """See SCDisplay."""
        return self.number

    def frame(self) -> Any:
        """See SCDisplay."""
        origin = SimpleNamespace(x=float(self.area.x), y=float(self.area.y))
        size = SimpleNamespace(width=float(self.area.width), height=float(self.area.height))
        return SimpleNamespace(origin=origin, size=size)


class FakeStream:
    """An SCStream."""

    def __init__(self, mac: "FakeMac") -> None:
        self._mac = mac
        self.is_running = False

    def initWithFilter_configuration_delegate_(self, chosen: Any, configuration: Any, delegate: Any) -> Any:
        """See SCStream."""
        self.display, self.configuration, self.receiver = chosen.display, configuration, delegate
        self._mac.streams.append(self)
        return self

    def addStreamOutput_type_sampleHandlerQueue_error_(self, output, kind, queue, error) -> Any:
        """See SCStream."""
        assert (kind, error) == (SCREEN, None)
        return (True, None) if self._mac.takes_outputs else (False, "no output taken")

    def startCaptureWithCompletionHandler_(self, handler) -> None:
        """See SCStream; the first picture comes at once."""
        self.is_running = True
        handler(None)
        self.emit()

    def stopCaptureWithCompletionHandler_(self, handler) -> None:
        """See SCStream."""
        self.is_running = False
        handler(None)

    def updateConfiguration_completionHandler_(self, configuration, handler) -> None:
        """See SCStream."""
        self.configuration = configuration
        handler(None)
        self.emit()

    def emit(self, status: int = COMPLETE, kind: int = SCREEN, dirty: Any = None) -> None:
        """Hand out what the display shows now, if it has the size that was asked for."""
        wanted = self.configuration.values
        shown = self.display.pixels
        if not self.is_running or shown.shape[:2] != (wanted["setHeight_"], wanted["setWidth_"]):
            return
        attachment = {"status": status} | ({} if dirty is None else {"dirty": dirty})
        buffer = SimpleNamespace(pixels=shown.copy(), attachments=[attachment])
        self.receiver.on_sample(buffer, kind)


SETTERS = {
    "setWidth_": int,
    "setHeight_": int,
    "setPixelFormat_": int,
    "setShowsCursor_": bool,
    "setQueueDepth_": int,
    "setMinimumFrameInterval_": tuple,
}
"""The setters of SCStreamConfiguration that we know, and what each takes."""


class FakeConfiguration:
    """An SCStreamConfiguration: keeps what is set, and refuses what it does not know."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name not in SETTERS:
            raise AttributeError(name)

        def keep(value: Any) -> None:
            if type(value) is not SETTERS[name]:
                raise TypeError(f"{name} does not take {value!r}")
            self.values[name] = value

        return keep


class FakeRect:
    """A CGRect; with `as_value` the NSValue around one."""

    def __init__(self, area: Area) -> None:
        self.origin = SimpleNamespace(x=float(area.x), y=float(area.y))
        self.size = SimpleNamespace(width=float(area.width), height=float(area.height))

    @property
    def as_value(self) -> Any:
        """See NSValue."""
        return SimpleNamespace(rectValue=lambda: self)

    @property
    def as_dictionary(self) -> dict[str, float]:
        """See CGRectCreateDictionaryRepresentation."""
        return {"X": self.origin.x, "Y": self.origin.y} | {
            "Width": self.size.width,
            "Height": self.size.height,
        }


def rect_of(dictionary: Any, out: None) -> tuple[bool, FakeRect | None]:
    """See CGRectMakeWithDictionaryRepresentation; the second argument is only handed back."""
    assert out is None
    if not isinstance(dictionary, dict) or dictionary.keys() != {"X", "Y", "Width", "Height"}:
        return False, None
    sides = (dictionary[key] for key in ("X", "Y", "Width", "Height"))
    return True, FakeRect(Area(*(int(side) for side in sides)))


class FakeMac:
    """The frameworks. `refusal` is the error of the question for displays."""

    def __init__(self, *displays: FakeDisplay, main: int = 1, refusal: str | None = None) -> None:
        self.shown = list(displays)
        self.main, self.refusal, self.takes_outputs = main, refusal, True
        self.streams: list[FakeStream] = []
        self.locked = 0
        self.refuses_locks = False

    @property
    def bindings(self) -> MacBindings:
        """For `open_mac_screen`."""
        return MacBindings(
            self._capture(),
            self._media(),
            self._quartz(),
            lambda: "queue",
            lambda on_sample, on_stop: SimpleNamespace(on_sample=on_sample, on_stop=on_stop),
        )

    def put(self, number: int, x: int, y: int, bgrx: np.ndarray) -> None:
        """Draw on a display, in its pixels."""
        display = next(one for one in self.shown if one.number == number)
        height, width, _ = bgrx.shape
        display.pixels[y : y + height, x : x + width] = bgrx
        dirty = FakeRect(Area(x, y, width, height)).as_dictionary
        for stream in self.streams:
            if stream.display is display:
                stream.emit(dirty=[dirty])

    def _capture(self) -> Any:
        def ask(handler) -> None:
            if self.refusal is None:
                handler(SimpleNamespace(displays=lambda: list(self.shown)), None)
            else:
                handler(None, self.refusal)

        def chosen(display, windows) -> Any:
            assert windows == []
            return SimpleNamespace(display=display)

        made = SimpleNamespace(initWithDisplay_excludingWindows_=chosen)
        configuration = SimpleNamespace(alloc=lambda: SimpleNamespace(init=FakeConfiguration))
        return SimpleNamespace(
            SCShareableContent=SimpleNamespace(getShareableContentWithCompletionHandler_=ask),
            SCContentFilter=SimpleNamespace(alloc=lambda: made),
            SCStreamConfiguration=configuration,
            SCStream=SimpleNamespace(alloc=lambda: FakeStream(self)),
            SCStreamOutputTypeScreen=SCREEN,
            SCStreamFrameInfoStatus="status",
            SCStreamFrameInfoDirtyRects="dirty",
            SCFrameStatusComplete=COMPLETE,
        )

    def _media(self) -> Any:
        return SimpleNamespace(
            CMTimeMake=lambda value, timescale: (value, timescale),
            CMSampleBufferGetSampleAttachmentsArray=lambda buffer, create: buffer.attachments,
            CMSampleBufferGetImageBuffer=lambda buffer: buffer.pixels,
        )

    def _quartz(self) -> Any:
        def lock(change: int) -> Any:
            def do(image, flags) -> int:
                assert flags == 1
                if self.refuses_locks:
                    return -6660
                self.locked += change
                return 0

            return do

        def base(image) -> Any:
            assert self.locked == 1
            height, width, _ = image.shape
            padded = np.full((height, width * 4 + ROW_PADDING_BYTES), 0xEE, np.uint8)
            padded[:, : width * 4] = image.reshape(height, width * 4)
            return SimpleNamespace(as_buffer=lambda size: memoryview(padded.tobytes())[:size])

        def mode(number: int) -> Any:
            return next((one.pixels for one in self.shown if one.number == number), None)

        return SimpleNamespace(
            CGRectMakeWithDictionaryRepresentation=rect_of,
            CGDisplayIsMain=lambda number: number == self.main,
            CGDisplayCopyDisplayMode=mode,
            CGDisplayModeGetPixelWidth=lambda found: found.shape[1],
            CGDisplayModeGetPixelHeight=lambda found: found.shape[0],
            CVPixelBufferLockBaseAddress=lock(1),
            CVPixelBufferUnlockBaseAddress=lock(-1),
            CVPixelBufferGetWidth=lambda image: image.shape[1],
            CVPixelBufferGetHeight=lambda image: image.shape[0],
            CVPixelBufferGetBytesPerRow=lambda image: image.shape[1] * 4 + ROW_PADDING_BYTES,
            CVPixelBufferGetBaseAddress=base,
        )
