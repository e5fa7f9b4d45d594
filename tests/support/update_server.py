"""A server of updates that hands out what a test says, lies, stalls and never ends; on a loopback port."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Hostile = Callable[[BaseHTTPRequestHandler], None]


class UpdateServer:
    """`files` by name, below /release/; `hostile` answers in a file's place; `asked`: for what."""

    def __init__(self, files: dict[str, bytes], port: int) -> None:
        self.files = dict(files)
        self.hostile: dict[str, Hostile] = {}
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{port}"


@contextmanager
def update_server(files: dict[str, bytes]) -> Iterator[UpdateServer]:
    """Runs while the context is open."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/release/")
            served.asked.append(name)
            with suppress(ConnectionError):
                if name in served.hostile:
                    served.hostile[name](self)
                elif name in served.files:
                    send(self, served.files[name])
                else:
                    self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        served = UpdateServer(files, server.server_port)
        running = threading.Thread(target=server.serve_forever, args=(0.02,))
        running.start()
        try:
            yield served
        finally:
            server.shutdown()
            running.join()


def send(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    """An honest answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def endless(handler: BaseHTTPRequestHandler) -> None:
    """Bytes for as long as anybody reads them."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * (64 << 10))


def drip(content: bytes, pause_s: float) -> Hostile:
    """The right content, one byte at a time."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        for each in content:
            handler.wfile.write(bytes([each]))
            time.sleep(pause_s)

    return answer


def drip_header(handler: BaseHTTPRequestHandler) -> None:
    """A header that never ends."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


def redirect(target: str) -> Hostile:
    """Somewhere else."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer
