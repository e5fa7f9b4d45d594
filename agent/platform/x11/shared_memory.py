"""Memory that the X server writes pictures into: an anonymous file, or a private System V segment."""

from __future__ import annotations

import ctypes
import mmap
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from protocol.errors import BackendUnavailable

if TYPE_CHECKING:
    from agent.platform.interfaces import Pixels

# sys/ipc.h and sys/shm.h of Linux
IPC_PRIVATE = 0
IPC_CREAT = 0o1000
IPC_RMID = 0
OWNER_ONLY = 0o600


class Memory(Protocol):
    """Memory of `size_bytes` that nobody but we and the server can reach, freed with the last of us."""

    size_bytes: int

    def pixels(self, width: int, height: int) -> Pixels:
        """The first `height * width * 4` bytes, as they are: a view that must not outlive the memory.

        Raises:
            BackendUnavailable: it is closed, or too small.
        """
        ...

    def close(self) -> None:
        """Unmaps it. May be called twice."""
        ...


class AnonymousFile:
    """A file without a name (memfd_create(2)): only who is handed its descriptor can open it.

    It cannot be made smaller or larger any more, so neither side can take memory away from the other.
    """

    def __init__(self, size_bytes: int) -> None:
        """Raises BackendUnavailable if the system gives no such file."""
        self.size_bytes = size_bytes
        try:
            self.fd = os.memfd_create("alongside-screen", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except (AttributeError, OSError) as exc:
            raise BackendUnavailable(f"no anonymous file: {exc}") from exc
        import fcntl  # not on every system, and this module is imported on all of them

        try:
            os.ftruncate(self.fd, size_bytes)
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, seals)
            self._map: mmap.mmap | None = mmap.mmap(self.fd, size_bytes)
        except (OSError, ValueError) as exc:
            self.forget()
            raise BackendUnavailable(f"an anonymous file cannot be mapped: {exc}") from exc

    def forget(self) -> None:
        """Closes the descriptor; what is mapped stays mapped. May be called twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def pixels(self, width: int, height: int) -> Pixels:
        """See `Memory`."""
        import numpy as np

        if self._map is None or width * height * 4 > self.size_bytes:
            raise BackendUnavailable("the shared memory is closed or too small")
        return np.frombuffer(self._map, np.uint8, width * height * 4).reshape(height, width, 4)

    def close(self) -> None:
        """See `Memory`."""
        self.forget()
        if self._map is not None:
            # a view that somebody still holds keeps the mapping alive, and the last one frees it
            with suppress(BufferError):
                self._map.close()
            self._map = None


class SystemVSegment:
    """A System V segment, mode 0600. Call `forget` as soon as the server has attached.

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
        """See `Memory`."""
        import numpy as np

        if self._address is None or width * height * 4 > self.size_bytes:
            raise BackendUnavailable("the shared memory is closed or too small")
        content = (ctypes.c_uint8 * (width * height * 4)).from_address(self._address)
        pixels: Pixels = np.frombuffer(memoryview(content).cast("B"), dtype=np.uint8)
        return pixels.reshape(height, width, 4)

    def close(self) -> None:
        """See `Memory`."""
        if self._address is not None:
            self._c.shmdt(self._address)
            self._address = None
