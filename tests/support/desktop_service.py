"""The service's end of the desktop process: starts the real process, orders, and hears what it says."""

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from agent.desktop.ipc_messages import (
    FROM_DESKTOP_CODEC,
    HELLO_CODEC,
    TO_DESKTOP_CODEC,
    DesktopHello,
    FromDesktop,
    ShowIndicator,
    ShowPrompt,
    ToDesktop,
)

M = TypeVar("M", bound=FromDesktop)
_LENGTH = struct.Struct(">I")


class DesktopProcess:
    """`python -m agent.desktop` on a display, with us as its service. `worker` replaces the worker's argv.

    `log_fd` gets its log instead of our standard output.
    """

    def __init__(
        self, folder: Path, display: str, worker: tuple[str, ...] = (), log_fd: int | None = None
    ) -> None:
        path = folder / "agent.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        module = (
            ["-m", "agent.desktop", "--no-tray"]
            if not worker
            else ["-m", "tests.support.desktop_with_worker"]
        )
        self.child = subprocess.Popen(
            [sys.executable, *module, "--socket", str(path), "--display", display, *worker],
            env={**os.environ, "DISPLAY": display},
            stdout=log_fd,
        )
        self._listener.settimeout(10)
        self._socket, _ = self._listener.accept()
        self._socket.settimeout(10)
        self.hello: DesktopHello = HELLO_CODEC.decode(self._frame())  # type: ignore[assignment]  # it said so

    def order(self, order: ToDesktop) -> None:
        """Send an order."""
        payload = TO_DESKTOP_CODEC.encode(order)
        self._socket.sendall(_LENGTH.pack(len(payload)) + payload)

    def send_raw(self, content: bytes) -> None:
        """Send what no service of ours would."""
        self._socket.sendall(content)

    def expect(
        self, kind: type[M], timeout_s: float = 10.0, *, besides: tuple[type[FromDesktop], ...] = ()
    ) -> M:
        """The next message, which has to be of this kind; those of `besides` are passed over."""
        self._socket.settimeout(timeout_s)
        while True:
            message = FROM_DESKTOP_CODEC.decode(self._frame())
            if isinstance(message, kind):
                return message
            assert isinstance(message, besides), message

    def is_silent(self, for_s: float, *, besides: tuple[type[FromDesktop], ...] = ()) -> bool:
        """Whether nothing comes for that long; those of `besides` are passed over."""
        until_s = time.monotonic() + for_s
        while (left_s := until_s - time.monotonic()) > 0:
            self._socket.settimeout(left_s)
            try:
                if not self._socket.recv(1, socket.MSG_PEEK):
                    return True
            except TimeoutError:
                return True
            self._socket.settimeout(10)
            if not isinstance(FROM_DESKTOP_CODEC.decode(self._frame()), besides):
                return False
        return True

    def accept_worker(self) -> socket.socket:
        """The connection of the next screen worker that comes."""
        worker, _ = self._listener.accept()
        worker.settimeout(10)
        return worker

    def hang_up(self) -> None:
        """The service goes away."""
        self._socket.close()
        self._listener.close()

    def close(self) -> int:
        """End it and return its exit status."""
        self.hang_up()
        with suppress(subprocess.TimeoutExpired):
            return self.child.wait(5)
        self.child.kill()
        self.child.wait()
        raise AssertionError("the desktop process did not end with its socket")

    def _frame(self) -> bytes:
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return self._exactly(length)

    def _exactly(self, length: int) -> bytes:
        received = b""
        while len(received) < length:
            piece = self._socket.recv(length - len(received))
            assert piece, "the desktop process closed the socket"
            received += piece
        return received


def a_prompt(
    grantables: tuple[str, ...] = ("screen.view",),
    *,
    number: int = 1,
    timeout_s: float = 60.0,
    reason: str = "Your printer does not print.",
) -> ShowPrompt:
    """A question as the service would ask it."""
    return ShowPrompt(
        prompt_no=number,
        session_id="s1",
        organisation_name="Acme Ltd",
        technician_name="Dana Meyer",
        technician_id="dana",
        grantables=list(grantables),
        reason=reason,
        ticket_number="4711",
        length_s=1800,
        timeout_s=timeout_s,
    )


def an_indicator(
    session_id: str = "s1", *, name: str = "Dana Meyer", is_unattended: bool = False
) -> ShowIndicator:
    """A session that lives."""
    return ShowIndicator(
        session_id=session_id,
        technician_name=name,
        organisation_name="Acme Ltd",
        grantables=["screen.view", "input.control"],
        remaining_s=1800.0,
        is_unattended=is_unattended,
    )


def wait_for(is_true: Callable[[], bool], limit_s: float = 10.0) -> float:
    """Wait until it is true; returns the seconds that it took. Fails after the limit."""
    started_s = time.monotonic()
    while not is_true():
        assert time.monotonic() - started_s < limit_s, "it did not come true in time"
        time.sleep(0.005)
    return time.monotonic() - started_s
