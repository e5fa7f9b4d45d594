"""The service's local socket for the tray's questions, on a thread, with answers that a test may change."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.desktop.block_messages import BlockLifted, BlockList, BlockRow, BlocksAsked
from agent.desktop.ipc import ANNOUNCED, read_frame
from agent.desktop.ipc_messages import (
    FROM_DESKTOP_CODEC,
    HELLO_CODEC,
    TO_COMMAND_LINE_CODEC,
    TO_DESKTOP_CODEC,
    CheckAsked,
    DesktopHello,
    FromDesktop,
    HelpAsked,
    HelpCode,
    HelpNews,
    IpcRefused,
    RatingGiven,
    RatingKept,
    SessionStatus,
    StandingAsked,
    StandingList,
    StandingRevoked,
    StandingRow,
    Status,
    StatusAsked,
    ToCommandLine,
    ToDesktop,
    VisitsAsked,
)
from agent.desktop.pause_messages import Paused, PauseOrdered, ResumeOrdered
from protocol.errors import ErrorCode, SupportError
from tests.support.window_answers import ANSWERS, CODE

END_LIMIT_S = 20.0


class TrayService:
    """Answers every connection; what was asked, and told by the desktop process, is kept in order."""

    def __init__(self, path: Path) -> None:
        self.asked: list[str] = []
        self.said: list[FromDesktop] = []
        self.sessions: list[SessionStatus] = []
        self.link = "connected"
        self.standing = [StandingRow("st1", "dana", "Dana Meyer", "screen.view", 6 * 86400.0)]
        self.paused_s = 0.0
        self.blocks = [BlockRow("b-1", "dana", "Dana Meyer", True, True, 3000.0)]
        self.is_somebody_here = False
        self.rating: RatingGiven | None = None
        self.voided = threading.Event()
        self.helping: socket.socket | None = None
        self._desktop: socket.socket | None = None
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()

    def order(self, order: ToDesktop) -> None:
        """Send an order to the desktop process."""
        assert self._desktop is not None
        _send(self._desktop, TO_DESKTOP_CODEC.encode(order))

    def tell(self, news: HelpNews) -> None:
        """Something came of the code."""
        assert self.helping is not None
        _send(self.helping, TO_COMMAND_LINE_CODEC.encode(news))

    def close(self) -> None:
        """The service ends: the desktop process follows."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes whoever waits in accept
        self._listener.close()
        if self._desktop is not None:
            self._desktop.shutdown(socket.SHUT_RDWR)
            self._desktop.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connected, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        hello = HELLO_CODEC.decode(read_frame(connected, HELLO_CODEC.limit_bytes))
        self.asked.append(type(hello).__name__)
        match hello:
            case DesktopHello():
                self._desktop = connected
                with suppress(EOFError, OSError):
                    while True:
                        self.said.append(
                            FROM_DESKTOP_CODEC.decode(read_frame(connected, FROM_DESKTOP_CODEC.limit_bytes))
                        )
            case HelpAsked():
                self.helping = connected
                _answer(connected, HelpCode(CODE, 600.0))
                with suppress(EOFError):
                    read_frame(connected, 64)
                self.voided.set()
            case StatusAsked():
                _answer(connected, self._status())
            case VisitsAsked() | CheckAsked():
                answer = ANSWERS[type(hello)]
                assert not isinstance(answer, SupportError)
                _answer(connected, answer)
            case RatingGiven():
                self.rating = hello
                _answer(connected, RatingKept())
            case PauseOrdered() | ResumeOrdered():
                self.paused_s = 3600.0 if isinstance(hello, PauseOrdered) else 0.0
                _answer(connected, Paused(self.paused_s))
            case StandingAsked():
                _answer(connected, StandingList(self.standing))
            case StandingRevoked():
                ended, self.standing = self.standing, []
                _answer(connected, StandingList(ended))
            case BlocksAsked():
                _answer(connected, BlockList(self.blocks))
            case BlockLifted():
                self._lift(connected)
        if not isinstance(hello, DesktopHello):
            connected.close()

    def _lift(self, connected: socket.socket) -> None:
        if self.is_somebody_here:
            _answer(connected, IpcRefused(ErrorCode.E_BUSY))
            return
        lifted, self.blocks = self.blocks, []
        _answer(connected, BlockList(lifted))

    def _status(self) -> Status:
        return Status(
            device_id="front-desk-01",
            organisation_id="5f" * 32,
            organisation_name="Acme Ltd",
            group="office",
            relay_url="https://relay.example",
            link=self.link,
            link_code="",
            policy_version=7,
            has_desktop=True,
            sessions=self.sessions,
            paused_s=self.paused_s,
        )


@contextmanager
def desktop_with_tray(folder: Path, display: str, bus_address: str = "") -> Iterator[TrayService]:
    """`python -m agent.desktop` with its tray, served by us."""
    path = folder / "agent.sock"
    service = TrayService(path)
    words = ["-m", "agent.desktop", "--socket", str(path), "--display", display]
    environment = {**os.environ, "DISPLAY": display, "DBUS_SESSION_BUS_ADDRESS": bus_address}
    child = subprocess.Popen([sys.executable, *words], env=environment)
    try:
        yield service
    finally:
        service.close()
        try:
            status = child.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise
    assert status == 0


def _answer(connected: socket.socket, answer: ToCommandLine) -> None:
    _send(connected, TO_COMMAND_LINE_CODEC.encode(answer))


def _send(connected: socket.socket, payload: bytes) -> None:
    connected.sendall(ANNOUNCED.pack(len(payload)) + payload)
