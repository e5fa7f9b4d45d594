"""A real `alongside-relay serve` on free loopback ports, with its data in a folder of the test."""

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from protocol.aio.log_in import claim, connect_control, log_in
from protocol.aio.wire import Wire
from protocol.identity import Identity
from protocol.messages.control import (
    FROM_CLIENT_CODEC,
    FROM_RELAY_CODEC,
    FromClient,
    FromRelay,
    Ping,
    Pong,
    Welcome,
)
from tests.support.organisation import Organisation

T = TypeVar("T")

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports of this address that nobody holds at this moment."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sockets = [socket.create_server((host, 0), family=family) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


class RelayProcess:
    """Starts, stops, kills and restarts one relay; ports and data stay the same over restarts."""

    def __init__(
        self,
        data: Path,
        *,
        workers: int = 1,
        arguments: Sequence[str] = (),
        inside: Sequence[str] = (),
        host: str = "127.0.0.1",
    ) -> None:
        """`inside`: the words that start a program in another network namespace. `host`: an address."""
        self.data = data
        self._host = host
        shown = f"[{host}]" if ":" in host else host
        control_port, session_port = self._port_pair(workers)
        self.control_port = control_port
        self.session_port = session_port if workers else control_port
        self.log_file = data.with_name(data.name + ".log")
        self.relay_url = ""
        self.relay_id = ""
        self.claim_secret_file = ""
        self._process: subprocess.Popen[str] | None = None
        self._command = [
            *inside,
            *(sys.executable, "-c", "from relay.cli import main; main()", "serve", "--json"),
            *("--data", str(data), "--listen", f"{shown}:{control_port}"),
            *("--session-listen", f"{shown}:{session_port}", "--workers", str(workers)),
            *arguments,
        ]

    def _port_pair(self, workers: int) -> tuple[int, int]:
        while True:
            control_port, session_port = free_ports(2, self._host)
            if not session_port <= control_port < session_port + max(1, workers):
                return control_port, session_port

    def start(self) -> Self:
        """Start and wait for the ready line."""
        with self.log_file.open("a") as log:
            self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], START_TIMEOUT_S)
        line = self._process.stdout.readline() if readable else ""
        if not line:
            self.kill()
            raise AssertionError(f"the relay did not start:\n{self.log_text()}")
        ready = json.loads(line)
        assert ready["pid"] == self._process.pid
        self.relay_url, self.relay_id = ready["relay_url"], ready["relay_id"]
        self.claim_secret_file = ready["claim_secret_file"]
        return self

    @property
    def pid(self) -> int:
        """The supervisor's process id; with `--workers 0` it is the only one."""
        assert self._process is not None
        return self._process.pid

    def claim_secret(self) -> str:
        """What the relay wrote at its first start."""
        return Path(self.claim_secret_file).read_text().strip()

    def log_text(self) -> str:
        """Everything the relay wrote to standard error so far."""
        return self.log_file.read_text()

    def child_pids(self) -> list[int]:
        """The processes that this relay forked."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(word) for word in path.read_text().split()]

    def worker_pid(self) -> int:
        """The process that serves the first session port."""
        return next(pid for pid in self.child_pids() if _listens(pid, self.session_port))

    def resident_bytes(self) -> int:
        """Private memory of all its processes."""
        return sum(_private_bytes(pid) for pid in (self.pid, *self.child_pids()))

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL, as a crash would."""
        return self._end(signal.SIGKILL)

    def restart(self) -> Self:
        """Start again on the same ports and data, after `stop` or `kill`."""
        return self.start()

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        try:
            return process.wait(STOP_TIMEOUT_S)
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


@contextmanager
def running_relay(
    data: Path,
    *,
    workers: int = 1,
    arguments: Sequence[str] = (),
    inside: Sequence[str] = (),
    host: str = "127.0.0.1",
) -> Iterator[RelayProcess]:
    """A relay that is stopped at the end, and has to stop cleanly."""
    with RelayProcess(data, workers=workers, arguments=arguments, inside=inside, host=host) as relay:
        yield relay
        if relay._process is not None:
            assert relay.stop() == 0, relay.log_text()


class ControlClient:
    """A logged-in control link for tests: asks, waits for what it wants, answers pings."""

    def __init__(self, wire: Wire, welcome: Welcome) -> None:
        self.wire = wire
        self.welcome = welcome
        self.seen: list[FromRelay] = []

    async def send(self, message: FromClient) -> None:
        """Send one message."""
        await self.wire.send(FROM_CLIENT_CODEC.encode(message))

    async def receive(self) -> FromRelay:
        """The next message that is not a ping."""
        while True:
            message = FROM_RELAY_CODEC.decode(await self.wire.receive())
            if isinstance(message, Ping):
                await self.send(Pong(message.ping_no))
                continue
            self.seen.append(message)
            return message

    async def wait_for(self, kind: type[T]) -> T:
        """The next message of this kind; others before it are kept in `seen`."""
        while True:
            message = await self.receive()
            if isinstance(message, kind):
                return message

    async def close(self) -> None:
        """Leave."""
        await self.wire.close()


async def log_in_client(relay: RelayProcess, identity: Identity) -> ControlClient:
    """A logged-in link of this identity."""
    wire = await connect_control(relay.relay_url)
    try:
        welcome, relay_id = await log_in(wire, identity, relay.relay_id)
    except BaseException:
        await wire.close()
        raise
    assert relay_id == relay.relay_id
    return ControlClient(wire, welcome)


async def claim_relay(relay: RelayProcess, organisation: Organisation) -> None:
    """Claim a fresh relay for the organisation."""
    wire = await connect_control(relay.relay_url)
    try:
        await claim(wire, organisation.admin(), relay.claim_secret())
    finally:
        await wire.close()


async def throw_garbage(port: int, garbage: bytes) -> None:
    """Write these bytes to a port, give it a moment, and go."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        writer.write(garbage)
        await asyncio.sleep(0.05)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def _listens(pid: int, port: int) -> bool:
    inodes = {
        line.split()[9]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    }
    links = [str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir() if one.is_symlink()]
    return any(f"socket:[{inode}]" in links for inode in inodes)


def _private_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    return 0


def wait_until_gone(pid: int, timeout_s: float = 5.0) -> bool:
    """Whether the process ended in time."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False
