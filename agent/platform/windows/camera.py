"""One output of Windows, read by dxcam on a thread of its own.

While Windows shows its secure desktop (the lock screen, a prompt for consent), and once an output is gone,
dxcam's `grab` tries again and again and does not come back. The caller must go on meanwhile.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from protocol.errors import BackendUnavailable

if TYPE_CHECKING:
    from agent.platform.interfaces import Pixels

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
ANSWER_TIMEOUT_S = 0.5
"""A picture of four displays in one takes far less, on a busy machine too."""
SILENCE_LIMIT_S = 150.0
"""A prompt for consent ends by itself after two minutes."""
DOTS_PER_INCH = 96
EFFECTIVE = 0
"""MDT_EFFECTIVE_DPI: with what the person chose in the settings."""


class CameraThread:
    """Makes a DXCamera, asks it for pictures and releases it, all on one thread.

    `create` returns the camera; `lost` is what it raises when Windows takes the screen away. `now_s` is the
    time in seconds of a monotonic clock.
    """

    def __init__(
        self, create: Callable[[], Any], lost: tuple[type[Exception], ...], now_s: Callable[[], float]
    ) -> None:
        """Raises what `create` raises, and BackendUnavailable if it does not return."""
        self.camera: Any = None
        self._lost, self._now_s = lost, now_s
        self._orders: SimpleQueue[bool] = SimpleQueue()
        self._answers: SimpleQueue[Pixels | Exception | None] = SimpleQueue()
        self._asked_at_s: float | None = None
        # a daemon: a grab that never returns must not keep the process
        self._thread = threading.Thread(target=self._run, args=(create,), name="dxcam", daemon=True)
        self._thread.start()
        try:
            opened = self._answers.get(timeout=OPEN_TIMEOUT_S)
        except Empty:
            self._orders.put(False)
            raise BackendUnavailable("dxcam does not open a display; is the session locked?") from None
        if isinstance(opened, Exception):
            raise opened

    def picture(self, timeout_s: float = ANSWER_TIMEOUT_S) -> Pixels | None:
        """What is new, of the whole output; None if there is nothing, or dxcam is held up.

        Waits `timeout_s` once, and not at all while an earlier question has no answer yet.

        Raises:
            BackendUnavailable: it has been held up for too long.
            Exception: what `grab` raised.
        """
        is_first = self._asked_at_s is None
        if self._asked_at_s is None:
            self._asked_at_s = self._now_s()
            self._orders.put(True)
        try:
            answer = self._answers.get(is_first, timeout_s)
        except Empty:
            if self._now_s() - self._asked_at_s >= SILENCE_LIMIT_S:
                raise BackendUnavailable(
                    f"Windows has shown the screen to no program for {SILENCE_LIMIT_S:.0f} s; "
                    "unlock the session, or answer the prompt of Windows, and start again"
                ) from None
            return None
        self._asked_at_s = None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """Has the camera released; at once, unless it is held up. May be called twice."""
        self._orders.put(False)
        self._thread.join(0.0 if self._asked_at_s is not None else CLOSE_TIMEOUT_S)

    def _run(self, create: Callable[[], Any]) -> None:
        try:
            self.camera = create()
        except Exception as exc:  # noqa: BLE001 - raised again where the camera was asked for
            self._answers.put(exc)
            return
        self._answers.put(None)
        while self._orders.get():
            try:
                self._answers.put(self.camera.grab(new_frame_only=True))
            except Exception as exc:  # noqa: BLE001 - raised again where the picture was asked for
                self._answers.put(exc)
        with suppress(*self._lost):
            self.camera.release()


def scale_of(get_dpi_for_monitor: Any, monitor: Any) -> float:
    """Physical pixels for each logical one, of an HMONITOR; 1.0 if Windows does not say.

    `get_dpi_for_monitor` is GetDpiForMonitor of shcore.
    """
    across, down = ctypes.c_uint(), ctypes.c_uint()
    handle = ctypes.c_void_p(monitor)
    if get_dpi_for_monitor(handle, EFFECTIVE, ctypes.byref(across), ctypes.byref(down)) != 0:
        return 1.0
    return across.value / DOTS_PER_INCH or 1.0
