"""The Wayland screen source: pixelflux captures and encodes, we pass its packets on.

A Wayland program cannot read the screen. pixelflux asks the compositor for it, by the capture protocols of
wlroots and KDE, or by the desktop portal, whose own dialog then asks the person (beside our prompt). What it
hands out is encoded. Which outputs there are is read by `outputs.py`: pixelflux would have the compositor
change a monitor's mode to the size that it is told, so it is always told the size that the monitor has.
"""

from __future__ import annotations

import os
import select
import shutil
import tempfile
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from agent.platform.interfaces import DisplayArea, EncodedNews, EncodedPicture, Steering
from agent.platform.wayland.keyframes import is_keyframe
from agent.platform.wayland.outputs import OutputWatch, socket_path
from protocol.errors import BackendUnavailable

NAME = "pixelflux"
CODEC_NAMES = {"avc1.42E033": "h264", "vp8": "vp8", "vp09.00.51.08": "vp9"}
PACKETS_LIMIT = 16
FELL_BACK = "capturing locally"
"""What pixelflux says when it shows a compositor of its own, since it did not reach the person's."""


@dataclass(frozen=True, slots=True)
class _Packet:
    stream_no: int
    height: int
    encoded: bytes


@dataclass(frozen=True, slots=True)
class _Stream:
    number: int
    index: int
    codec: str
    width: int
    height: int


def check_wayland_screen(display: str, runtime_folder: str) -> str:
    """What `open_wayland_screen` would work with, without asking the person for anything.

    Raises:
        BackendUnavailable: as there.
    """
    load_pixelflux()
    watch = OutputWatch(socket_path(display, runtime_folder))
    try:
        shown = ", ".join(f"{one.name} {one.area.width}x{one.area.height}" for one in watch.displays())
    finally:
        watch.close()
    return f"Wayland, encoded by pixelflux; {shown}"


def load_pixelflux() -> Any:
    """The module, without what the environment could make of it.

    PIXELFLUX_* variables open a remote control by HTTP and a recorder; nobody but us decides what is done.

    Raises:
        BackendUnavailable: it is not installed, or a library that it needs is missing.
    """
    for name in [name for name in os.environ if name.startswith("PIXELFLUX_")]:
        del os.environ[name]
    try:
        return import_module("pixelflux")
    except (ImportError, OSError) as exc:
        raise BackendUnavailable(
            f"pixelflux cannot be loaded ({exc}); install it with: pip install 'alongside[agent]', and the "
            "system's libgbm, libpixman and libxkbcommon"
        ) from exc


def open_wayland_screen(display: str, runtime_folder: str) -> WaylandScreen:
    """Opens the screen of the compositor that WAYLAND_DISPLAY and XDG_RUNTIME_DIR name.

    Raises:
        BackendUnavailable: with what is missing.
    """
    pixelflux = load_pixelflux()
    watch = OutputWatch(socket_path(display, runtime_folder))
    try:
        if not watch.displays():
            raise BackendUnavailable("the Wayland compositor has no output")
        return WaylandScreen(pixelflux, watch, display, runtime_folder)
    except BaseException:
        watch.close()
        raise


class WaylandScreen:
    """An `EncodedScreenSource`; see there."""

    name = NAME
    detail = "Wayland, encoded by pixelflux"
    codecs = tuple(CODEC_NAMES)

    def __init__(self, pixelflux: Any, watch: OutputWatch, display: str, runtime_folder: str) -> None:
        self._pixelflux = pixelflux
        self._watch = watch
        self._display = display
        self._displays = watch.displays()
        # the portal's permission is for this session: its token lies where nothing is kept
        self._state_folder = tempfile.mkdtemp(prefix="alongside-", dir=runtime_folder or None)
        os.environ["XDG_STATE_HOME"] = self._state_folder
        self._capture = pixelflux.ScreenCapture()
        self._stream: _Stream | None = None
        self._packets: deque[_Packet] = deque()
        self._is_waiting_for_key = True
        self._is_checked = False
        self._has_packets = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.epoll()
        self._poll.register(self._has_packets, select.EPOLLIN)
        self._poll.register(watch.fileno(), select.EPOLLIN)
        self.wake_fd = self._poll.fileno()
        self._is_open = True

    def displays(self) -> Sequence[DisplayArea]:
        """See `EncodedScreenSource`."""
        return self._displays

    def stream(self, index: int, codec: str, steering: Steering) -> None:
        """See `EncodedScreenSource`."""
        area = self._displays[index].area
        number = self._stream.number + 1 if self._stream else 1
        if self._stream is not None and self._stream.index != index:
            self._capture.stop_capture()
        stream = _Stream(number, index, codec, area.width, area.height)
        self._stream = stream
        self._is_waiting_for_key, self._is_checked = True, False
        settings = self._settings(stream, steering)

        def take(frame: Any) -> None:
            # on a thread of pixelflux: nothing but a copy and a wake
            self._packets.append(_Packet(number, int(frame.stripe_height), bytes(frame)))
            with suppress(OSError):
                os.eventfd_write(self._has_packets, 1)

        try:
            self._capture.start_capture(take, settings)
        except (RuntimeError, ValueError, OSError) as exc:
            raise BackendUnavailable(f"pixelflux cannot capture ({exc})") from exc

    def look(self) -> EncodedNews:
        """See `EncodedScreenSource`."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._has_packets)
        are_new = self._watch.changed() and self._watch.displays() != self._displays
        if are_new:
            self._displays = self._watch.displays()
            if not self._displays:
                raise BackendUnavailable("the Wayland compositor has no output any more")
        if self._stream is not None and not self._is_checked:
            self._check(self._stream)
        return EncodedNews(tuple(self._taken()), are_new)

    def steer(self, steering: Steering) -> None:
        """See `EncodedScreenSource`."""
        if self._stream is None:
            return
        self._capture.update_video_bitrate(_kbps(steering))
        self._capture.update_framerate(float(steering.pictures_per_s))
        if steering.wants_key:
            self._capture.request_idr_frame()

    def close(self) -> None:
        """See `EncodedScreenSource`."""
        if not self._is_open:
            return
        self._is_open = False
        if self._stream is not None:
            self._capture.stop_capture()
        self._watch.close()
        self._poll.close()
        os.close(self._has_packets)
        shutil.rmtree(self._state_folder, ignore_errors=True)

    def _settings(self, stream: _Stream, steering: Steering) -> Any:
        settings = self._pixelflux.CaptureSettings()
        settings.use_wayland = True
        settings.wayland_host_display = self._display
        settings.display_id = stream.index
        settings.capture_width, settings.capture_height = stream.width, stream.height
        settings.capture_cursor = True
        settings.codec = CODEC_NAMES[stream.codec]
        settings.video_fullframe = settings.omit_stripe_headers = True
        settings.video_cbr_mode = True
        settings.video_bitrate_kbps = _kbps(steering)
        settings.target_fps = float(steering.pictures_per_s)
        return settings

    def _check(self, stream: _Stream) -> None:
        state, said = self._capture.capture_state(stream.index)
        if state == "failed" or FELL_BACK in (said or ""):
            raise BackendUnavailable(
                f"pixelflux cannot capture the Wayland session ({said}); the compositor must offer screen "
                "capture (wlr-screencopy, ext-image-copy-capture) or a portal, and the person say yes"
            )
        self._is_checked = state == "running" and bool(self._packets)

    def _taken(self) -> list[EncodedPicture]:
        stream, pictures = self._stream, []
        packets = [self._packets.popleft() for _ in range(len(self._packets))]
        if stream is None:
            return []
        if len(packets) > PACKETS_LIMIT:
            # nobody looked for long: the newest is what counts, and it needs a keyframe
            self._capture.request_idr_frame()
            self._is_waiting_for_key = True
            packets = []
        for packet in packets:
            if packet.stream_no != stream.number or not packet.encoded:
                continue
            is_key = is_keyframe(stream.codec, packet.encoded)
            if self._is_waiting_for_key and not is_key:
                continue
            self._is_waiting_for_key = False
            width, height = self._size(stream, packet)
            pictures.append(EncodedPicture(stream.codec, is_key, width, height, packet.encoded))
        return pictures

    def _size(self, stream: _Stream, packet: _Packet) -> tuple[int, int]:
        if packet.height == stream.height:
            return stream.width, stream.height
        # the compositor runs another mode than the one it told of
        found = self._capture.get_realized_geometry(stream.index)
        return (int(found[0]), packet.height) if found else (stream.width, packet.height)


def _kbps(steering: Steering) -> int:
    return max(1, int(steering.rate_bytes_per_s * 8 / 1000))
