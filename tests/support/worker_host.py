"""The service's end of a screen worker: starts the real process, and is its viewer."""

import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agent.capabilities.screen.worker_link import WorkerLink
from agent.desktop.ipc_messages import HELLO_CODEC, WorkerHello
from protocol.limits import SCREEN_MESSAGE_LIMIT_BYTES
from protocol.messages.screen import (
    FROM_AGENT_CODEC,
    FROM_TECHNICIAN_CODEC,
    FromAgent,
    FromTechnician,
    PictureSeen,
)
from tests.support.viewer import Viewer

TICKET = bytes(range(32))
SESSION_ID = "session-1"


class WorkerHost:
    """One worker process and what it has sent; every complete picture is acknowledged at once."""

    def __init__(
        self,
        listener: socket.socket,
        path: str,
        environment: Mapping[str, str],
        source: str,
        after_ticket: bytes = b"",
    ) -> None:
        argv = ["-I", "-m", "agent.capabilities.screen.worker", "--socket", path, "--session", SESSION_ID]
        self.process = subprocess.Popen(
            [sys.executable, *argv, "--source", source],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(TICKET + after_ticket)
        self.process.stdin.close()
        listener.settimeout(20)
        self.connected, _ = listener.accept()
        self.link = WorkerLink(self.connected, SCREEN_MESSAGE_LIMIT_BYTES)
        self.hello: WorkerHello | None = None
        self.viewer = Viewer()
        self.messages: list[tuple[float, FromAgent]] = []
        self.received_bytes = 0
        self.acknowledges = True

    def send(self, message: FromTechnician) -> None:
        """As the technician."""
        self.link.send(FROM_TECHNICIAN_CODEC.encode(message))

    def run(self, for_s: float) -> None:
        """Take and paint what comes for so long."""
        self.run_until(lambda: False, for_s)

    def run_until(self, is_reached: Callable[[], bool], limit_s: float = 10.0) -> bool:
        """Take and paint what comes until this holds; whether it ever did."""
        end_s = time.monotonic() + limit_s
        while not is_reached():
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return False
            if select.select([self.link], [], [], left_s)[0]:
                for frame in self.link.receive():
                    self._take(frame)
        return True

    def take_hello(self, frame: bytes) -> None:
        """The first frame of the worker."""
        hello = HELLO_CODEC.decode(frame)
        assert isinstance(hello, WorkerHello)
        self.hello = hello

    def end(self) -> str:
        """Close the socket, wait for the process; its standard error."""
        self.connected.close()
        return self.wait()

    def wait(self) -> str:
        """Wait for the process; its standard error."""
        assert self.process.stderr is not None
        said = self.process.stderr.read().decode()
        self.process.wait(10)
        self.process.stderr.close()
        return said

    def _take(self, frame: bytes) -> None:
        if self.hello is None:
            self.take_hello(frame)
            return
        self.received_bytes += len(frame)
        message = FROM_AGENT_CODEC.decode(frame)
        self.messages.append((time.monotonic(), message))
        seen = self.viewer.show(message)
        if seen and self.acknowledges:
            self.send(PictureSeen(seen))


@contextmanager
def screen_worker(
    environment: Mapping[str, str], source: str = "auto", after_ticket: bytes = b""
) -> Iterator[WorkerHost]:
    """A started worker; killed at the end if it is still there."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(folder) / "worker.sock")
        listener.bind(path)
        listener.listen(1)
        host = WorkerHost(listener, path, environment, source, after_ticket)
        try:
            yield host
        finally:
            host.connected.close()
            if host.process.poll() is None:
                host.process.kill()
                host.process.wait()
            if host.process.stderr is not None:
                host.process.stderr.close()
