"""A private System V shared memory segment that the X server writes pictures into."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from protocol.errors import BackendUnavailable

if TYPE_CHECKING:
    from agent.platform.interfaces import Pixels

# sys/ipc.h and sys/shm.h of Linux
IPC_PRIVATE = 0
IPC_CREAT = 0o1000
IPC_RMID = 0
OWNER_ONLY = 0o600


class Segment:
    """Memory of `size_bytes`, mode 0600. Call `forget` as soon as the server has attached.

    After `forget` nobody else can attach, and the kernel frees it with the last detach, also if we are
    killed.
    """

    def __init__(self, size_bytes: int) -> None:
        """Raises BackendUnavailable if the system gives no shared memory."""
        self.size_bytes = size_bytes
        self._c = ctypes.CDLL(None, use_errno=True)
        self._c.shmat.restype = ctypes.c_void_p
        self._c.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
        self._c.shmdt.argtypes = [ctypes.c_void_p]
        self._c.shmget.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]
        self.segment_id: int = self._c.shmget(IPC_PRIVATE, size_bytes, IPC_CREAT | OWNER_ONLY)
        if self.segment_id < 0:
            raise BackendUnavailable(f"no shared memory: {os.strerror(ctypes.get_errno())}")
        address = self._c.shmat(self.segment_id, None, 0)
        if address is None or address == ctypes.c_void_p(-1).value:
            reason = os.strerror(ctypes.get_errno())
            self.forget()
            raise BackendUnavailable(f"shared memory cannot be mapped: {reason}")
        self._address: int | None = address

    def forget(self) -> None:
        """Marks it for removal; what is attached stays attached."""
        self._c.shmctl(self.segment_id, IPC_RMID, None)

    def pixels(self, width: int, height: int) -> Pixels:
        """The first `height * width * 4` bytes, as they are: a view that must not outlive the segment."""
        import numpy as np

        if self._address is None or width * height * 4 > self.size_bytes:
            raise BackendUnavailable("the shared memory is closed or too small")
        content = (ctypes.c_uint8 * (width * height * 4)).from_address(self._address)
        pixels: Pixels = np.frombuffer(memoryview(content).cast("B"), dtype=np.uint8)
        return pixels.reshape(height, width, 4)

    def close(self) -> None:
        """Unmaps it. May be called twice."""
        if self._address is not None:
            self._c.shmdt(self._address)
            self._address = None
