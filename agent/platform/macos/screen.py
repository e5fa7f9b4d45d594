"""The macOS screen source: a ScreenCaptureKit stream for each display, with a picture when it changed.

Pictures come on a thread of the system and are copied there; everything else happens on the caller's. The
cursor is drawn into the picture. macOS gives places in points; here they are in the display's own pixels.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agent.platform.interfaces import Area, Cursor, DisplayArea, Noticed
from agent.platform.macos.bindings import MacBindings
from agent.platform.macos.samples import RECTANGLES_LIMIT, copied, dirty_areas
from protocol.errors import BackendUnavailable
from protocol.limits import DISPLAY_LIMIT

if TYPE_CHECKING:
    from agent.platform.interfaces import Pixels

NAME = "screencapturekit"
ANSWER_TIMEOUT_S = 10.0
PICTURES_PER_S = 60
RESTED_S = 1.0
"""After so long without news a whole display is named once: no lost rectangle may stay wrong on a viewer."""
QUEUE_DEPTH = 3
BGRA = 0x42475241
"""kCVPixelFormatType_32BGRA."""
REMEDY = (
    "allow the agent in System Settings, Privacy & Security, Screen & System Audio Recording, and start it "
    "in the person's session"
)


def open_mac_screen(bindings: MacBindings, now_s: Callable[[], float] = time.monotonic) -> MacScreen:
    """Opens every display.

    Raises:
        BackendUnavailable: macOS does not permit it, or shows no display.
    """
    return MacScreen(bindings, now_s)


class _View:
    """One display and its stream. `picture` is replaced whole, never written to.

    `_changed`: what changed since the last `take_damage`, within the display. A thread of the system adds
    to it.
    """

    def __init__(self, bindings: MacBindings, display: Any, wake: _Wake) -> None:
        self.number = int(display.displayID())
        self.name = f"display {self.number}"
        self.picture: Pixels | None = None
        self.lost = ""
        self._lock = threading.Lock()
        self._changed: list[Area] = []
        self._unsure_since_s: float | None = None
        self.place, self.scale = place_of(bindings, display)
        self._bindings = bindings
        self._wake = wake
        self._receiver = bindings.new_receiver(self._sample, self._stopped)
        self._queue = bindings.new_queue()
        capture = bindings.capture
        chosen = capture.SCContentFilter.alloc().initWithDisplay_excludingWindows_(display, [])
        self._stream = capture.SCStream.alloc().initWithFilter_configuration_delegate_(
            chosen, self._configuration(), self._receiver
        )
        is_added, error = self._stream.addStreamOutput_type_sampleHandlerQueue_error_(
            self._receiver, capture.SCStreamOutputTypeScreen, self._queue, None
        )
        if not is_added:
            raise BackendUnavailable(f"ScreenCaptureKit refused ({error}); {REMEDY}")
        _await(self._stream.startCaptureWithCompletionHandler_)

    def take_damage(self, now_s: float) -> list[Area]:
        """On the desktop. Once the display has rested, all of it: samples may have been left out."""
        with self._lock:
            changed, self._changed = self._changed, []
        if changed:
            self._unsure_since_s = now_s
        elif self._unsure_since_s is not None and now_s - self._unsure_since_s >= RESTED_S:
            self._unsure_since_s = None
            changed = [Area(0, 0, self.place.width, self.place.height)]
        return [area.moved(self.place.x, self.place.y) for area in changed]

    def stop(self) -> None:
        with suppress(BackendUnavailable):
            _await(self._stream.stopCaptureWithCompletionHandler_)

    def resize(self, display: Any) -> None:
        """Follow another mode."""
        self.place, self.scale = place_of(self._bindings, display)
        configuration = self._configuration()
        _await(lambda done: self._stream.updateConfiguration_completionHandler_(configuration, done))

    def _configuration(self) -> Any:
        made = self._bindings.capture.SCStreamConfiguration.alloc().init()
        made.setWidth_(self.place.width)
        made.setHeight_(self.place.height)
        made.setPixelFormat_(BGRA)
        made.setShowsCursor_(True)
        made.setQueueDepth_(QUEUE_DEPTH)
        made.setMinimumFrameInterval_(self._bindings.media.CMTimeMake(1, PICTURES_PER_S))
        return made

    def _sample(self, buffer: Any, kind: int) -> None:
        try:
            if kind == self._bindings.capture.SCStreamOutputTypeScreen:
                self._take(buffer)
        except Exception as exc:  # noqa: BLE001 - the root of a system's thread: raised out of here it ends us
            self._stopped(f"a picture could not be read: {exc!r}")

    def _take(self, buffer: Any) -> None:
        capture, media, quartz = self._bindings.capture, self._bindings.media, self._bindings.quartz
        attachments = media.CMSampleBufferGetSampleAttachmentsArray(buffer, False)
        if not attachments or attachments[0].get(capture.SCStreamFrameInfoStatus) != (
            capture.SCFrameStatusComplete
        ):
            # idle: nothing changed
            return
        before, picture = self.picture, copied(quartz, media.CMSampleBufferGetImageBuffer(buffer))
        whole = Area(0, 0, picture.shape[1], picture.shape[0])
        is_same_size = before is not None and before.shape == picture.shape
        said = attachments[0].get(capture.SCStreamFrameInfoDirtyRects) if is_same_size else None
        self.picture = picture
        with self._lock:
            self._changed += dirty_areas(quartz, said, whole, self.scale)
            if len(self._changed) > RECTANGLES_LIMIT:
                self._changed = [whole]
        self._wake.set()

    def _stopped(self, error: str) -> None:
        self.lost = error
        self._wake.set()


class _Wake:
    """A pipe: set from any thread, waited for on the caller's."""

    def __init__(self) -> None:
        self.fd, self._write_fd = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write_fd, False)

    def set(self) -> None:
        # a full pipe wakes as well as one byte more; a closed one has nobody to wake
        with suppress(OSError):
            os.write(self._write_fd, b"\0")

    def clear(self) -> None:
        with suppress(BlockingIOError):
            os.read(self.fd, 1 << 16)

    def close(self) -> None:
        os.close(self.fd)
        os.close(self._write_fd)


class MacScreen:
    """A `ScreenSource`; see there. Displays that are plugged in later are seen by the next session."""

    name = NAME
    detail = "macOS, ScreenCaptureKit"

    def __init__(self, bindings: MacBindings, now_s: Callable[[], float]) -> None:
        self._bindings = bindings
        self._now_s = now_s
        self._wake = _Wake()
        self.wake_fd: int | None = self._wake.fd
        self._views: list[_View] = []
        self._is_open = True
        try:
            for display in shareable_displays(bindings)[:DISPLAY_LIMIT]:
                self._views.append(_View(bindings, display, self._wake))
            if not self._views:
                raise BackendUnavailable(f"macOS shows no display; {REMEDY}")
        except BaseException:
            self.close()
            raise

    def displays(self) -> Sequence[DisplayArea]:
        """See `ScreenSource`."""
        found = {int(one.displayID()): one for one in shareable_displays(self._bindings)}
        for view in self._views:
            display = found.get(view.number)
            if display is not None and place_of(self._bindings, display)[0] != view.place:
                view.resize(display)
        return tuple(DisplayArea(view.name, view.place, view.scale) for view in self._views)

    def look(self) -> Noticed:
        """See `ScreenSource`."""
        self._wake.clear()
        damage: list[Area] = []
        for view in self._views:
            if view.lost:
                raise BackendUnavailable(f"macOS ended the capture ({view.lost})")
            damage += view.take_damage(self._now_s())
        are_new = any(pixels_of(self._bindings, view.number) != _size(view.place) for view in self._views)
        return Noticed(tuple(damage), are_new)

    def grab(self, area: Area) -> Pixels | None:
        """See `ScreenSource`. An area lies within one display."""
        for view in self._views:
            picture, place = view.picture, view.place
            if picture is None or place.common_with(area) != area:
                continue
            if picture.shape[:2] == (place.height, place.width):
                x, y = area.x - place.x, area.y - place.y
                return picture[y : y + area.height, x : x + area.width]
        return None

    def cursor(self) -> Cursor | None:
        """None: the picture has it."""
        return None

    def close(self) -> None:
        """See `ScreenSource`."""
        if self._is_open:
            self._is_open = False
            for view in self._views:
                view.stop()
            self._wake.close()


def shareable_displays(bindings: MacBindings) -> list[Any]:
    """Every SCDisplay, the main one first.

    Raises:
        BackendUnavailable: macOS does not permit it.
    """
    content = _await(bindings.capture.SCShareableContent.getShareableContentWithCompletionHandler_)
    is_main = bindings.quartz.CGDisplayIsMain
    return sorted(content.displays(), key=lambda display: not is_main(display.displayID()))


def place_of(bindings: MacBindings, display: Any) -> tuple[Area, float]:
    """Where a display is, in its own pixels, and its pixels for each point."""
    width, height = pixels_of(bindings, int(display.displayID()))
    frame = display.frame()
    scale = width / frame.size.width if frame.size.width else 1.0
    return Area(round(frame.origin.x * scale), round(frame.origin.y * scale), width, height), scale


def pixels_of(bindings: MacBindings, number: int) -> tuple[int, int]:
    """Of the mode that the display has now."""
    mode = bindings.quartz.CGDisplayCopyDisplayMode(number)
    if mode is None:
        raise BackendUnavailable("a display was unplugged")
    quartz = bindings.quartz
    return int(quartz.CGDisplayModeGetPixelWidth(mode)), int(quartz.CGDisplayModeGetPixelHeight(mode))


def _size(area: Area) -> tuple[int, int]:
    return area.width, area.height


def _await(start: Any) -> Any:
    """Calls what takes a completion handler, and waits for it: handler(error), or handler(result, error)."""
    answers: list[tuple[Any, ...]] = []
    is_done = threading.Event()

    def done(*answer: Any) -> None:
        answers.append(answer)
        is_done.set()

    start(done)
    if not is_done.wait(ANSWER_TIMEOUT_S):
        raise BackendUnavailable(f"ScreenCaptureKit does not answer; {REMEDY}")
    *result, error = answers[0]
    if error is not None:
        raise BackendUnavailable(f"ScreenCaptureKit refused ({error}); {REMEDY}")
    return result[0] if result else None
