"""What the tray's windows ask the service: a connection of its own for each question, on a thread of its own.

The window thread never waits; answers come back through `post`.
"""

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from agent.desktop.ipc import ANNOUNCED, connect_to_service, read_frame
from agent.desktop.ipc_messages import (
    HELLO_CODEC,
    TO_COMMAND_LINE_CODEC,
    Hello,
    HelpAsked,
    HelpNews,
    IpcRefused,
    ToCommandLine,
)
from protocol.errors import ErrorCode, SupportError, Unreachable

ANSWER_TIMEOUT_S = 10.0

Answer: TypeAlias = ToCommandLine | SupportError
Post: TypeAlias = Callable[[Callable[[], None]], None]


@dataclass(frozen=True, slots=True)
class Questions:
    """Asks the service that listens at `socket_path`; `post` runs a call in the window thread, in order."""

    socket_path: Path
    post: Post
    service_uid: int | None = None

    def ask(self, question: Hello, on_answer: Callable[[Answer], None]) -> None:
        """One question; `on_answer` comes once, with why there is none in the worst case."""

        def work() -> None:
            try:
                answer = self._one(question)
            except SupportError as exc:
                answer = exc
            self.post(lambda: on_answer(answer))

        threading.Thread(target=work, name="tray-question", daemon=True).start()

    def ask_for_help(self, on_answer: Callable[[Answer], None]) -> "HelpCall":
        """Have a code shown; `on_answer` comes for the code and for what came of it."""
        return HelpCall(self, on_answer)

    def _one(self, question: Hello) -> Answer:
        connected = connect_to_service(self.socket_path, self.service_uid)
        with connected:
            connected.settimeout(ANSWER_TIMEOUT_S)
            send_hello(connected, question)
            return read_answer(connected)


class HelpCall:
    """A code that is shown until something comes of it; `cancel` makes it void."""

    def __init__(self, questions: Questions, on_answer: Callable[[Answer], None]) -> None:
        self._questions, self._on_answer = questions, on_answer
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_over = False
        threading.Thread(target=self._work, name="tray-help", daemon=True).start()

    def cancel(self) -> None:
        """The person does not wait any more: no further answer comes. May be called twice."""
        with self._lock:
            self._is_over = True
            if self._socket is not None:
                try:
                    self._socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    return  # the service was faster

    def _work(self) -> None:
        try:
            connected = connect_to_service(self._questions.socket_path, self._questions.service_uid)
        except SupportError as exc:
            self._tell(exc)
            return
        with connected:
            with self._lock:
                if self._is_over:
                    return
                self._socket = connected
            try:
                connected.settimeout(None)
                send_hello(connected, HelpAsked())
                while not isinstance(answer := read_answer(connected), HelpNews):
                    self._tell(answer)
                self._tell(answer)
            except SupportError as exc:
                self._tell(exc)
            with self._lock:
                self._socket = None

    def _tell(self, answer: Answer) -> None:
        def tell() -> None:
            if not self._is_over:
                self._on_answer(answer)

        self._questions.post(tell)


def send_hello(connected: socket.socket, question: Hello) -> None:
    """Say what the connection is for.

    Raises:
        Unreachable: E_LINK_LOST.
    """
    payload = HELLO_CODEC.encode(question)
    try:
        connected.sendall(ANNOUNCED.pack(len(payload)) + payload)
    except OSError as exc:
        raise Unreachable(str(exc), code=ErrorCode.E_LINK_LOST) from None


def read_answer(connected: socket.socket) -> ToCommandLine:
    """The next answer.

    Raises:
        Unreachable: E_LINK_LOST, the service ended or does not answer. Refused: what it said.
        PeerViolation: it is none.
    """
    try:
        answer = TO_COMMAND_LINE_CODEC.decode(read_frame(connected, TO_COMMAND_LINE_CODEC.limit_bytes))
    except EOFError:
        raise Unreachable("the service ended", code=ErrorCode.E_LINK_LOST) from None
    if isinstance(answer, IpcRefused):
        raise answer.refusal()
    return answer
