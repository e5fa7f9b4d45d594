"""A session that goes on while a test attacks: the console's own WebSocket, without a browser."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

WAIT_S = 15.0
_PICTURE, _FLAG_LAST = 1, 1
_MESSAGE_LIMIT_BYTES = 64 << 20


class ConsolePage:
    """What a browser holds after it opened the single-use address: where the console is, and its cookie."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.netloc = parts.netloc
        self.origin = f"http://{parts.netloc}"
        status, headers, _ = self.get(f"{parts.path}?{parts.query}", cookie="")
        assert status == 303, status
        self.cookie = headers["Set-Cookie"].partition(";")[0]

    def get(self, path: str, *, cookie: str | None = None) -> tuple[int, Any, bytes]:
        """Status, headers and body of one request."""
        connection = http.client.HTTPConnection(self.netloc, timeout=WAIT_S)
        try:
            connection.request("GET", path, headers={"Cookie": self.cookie if cookie is None else cookie})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    @contextmanager
    def socket(self, path: str) -> Iterator[ClientConnection]:
        """One of the page's WebSockets."""
        with connect(
            f"ws://{self.netloc}{path}",
            origin=Origin(self.origin),
            additional_headers={"Cookie": self.cookie},
            compression=None,
            max_size=_MESSAGE_LIMIT_BYTES,
        ) as connected:
            yield connected


class RunningSession:
    """Asks for the screen, acknowledges every picture like the page does, and counts."""

    def __init__(self, page: ConsolePage, device_id: str) -> None:
        self._opening = page.socket(f"/api/session?device={device_id}")
        self._changed = threading.Condition()
        self._pictures = 0
        self._over: dict[str, Any] | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._socket = self._opening.__enter__()
        self._thread.start()
        return self

    def ask(self) -> None:
        """Ask for the screen; the person (or the policy) answers."""
        self._say(
            type="ask", grantables=["screen.view"], reason="It goes on", ticket_number="", length_s=3600
        )

    def assert_alive(self) -> None:
        """A picture that is asked for now comes, the whole way from the screen and acknowledged."""
        with self._changed:
            before = self._pictures
            self._say(type="refresh")
            assert self._changed.wait_for(lambda: self._pictures > before or self._over, WAIT_S), "no picture"
            assert self._over is None, self._over

    def wait_for_picture(self) -> None:
        """Until the first picture is there."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._pictures or self._over, WAIT_S), "no picture in time"
            assert self._over is None, self._over

    def _say(self, **message: object) -> None:
        self._socket.send(json.dumps(message))

    def _read(self) -> None:
        with suppress(ConnectionClosed, OSError):
            while True:
                message = self._socket.recv()
                with self._changed:
                    self._take(message)
                    self._changed.notify_all()
        with self._changed:
            self._over = self._over or {"cause": "the console closed the socket"}
            self._changed.notify_all()

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            if message[0] == _PICTURE and message[1] & _FLAG_LAST:
                self._pictures += 1
                self._say(type="seen", sequence=int.from_bytes(message[4:8], "little"))
            return
        document = json.loads(message)
        if document["type"] == "over":
            self._over = document

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opening.__exit__(None, None, None)
        self._thread.join(WAIT_S)
