"""What one stranger costs a relay: `python -m tests.bench.preauth --json`.

The adversary holds no certificate of the organisation and no ticket, knows the protocol and the
organisation's public certificates, and opens connections to a real relay (one worker; plain and TLS). Each
input is the worst of its kind that we could make. For each

- `cpu_ms`: what all processes of the relay computed for one connection, in user and kernel
  (clock_getcpuclockid(3), threads that ended too), measured one connection at a time, `--trials` times,
- `memory_kib`: by how much the relay's own memory (smaps_rollup, anonymous) grew for each of `--held` such
  connections that stay open together, if they can, with HELD_BEFORE of them open already.

All of it is done `--repeats` times, each kind of input with a fresh relay, and an input holds by the medians:
processor time of one trial contains what other programs did to the caches of the same machine. The worst is
said beside it: the largest of all trials, how many of them were above the limit, and the largest memory.
"""

import argparse
import asyncio
import contextlib
import ctypes
import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocol.identity import Identity
from protocol.limits import SUCCESSORS_LIMIT
from protocol.messages.control import (
    FROM_RELAY_CODEC,
    PRE_LOGIN_CODEC,
    Challenge,
    Claim,
    LogIn,
    Succeed,
    login_transcript,
)
from protocol.version import PROTOCOL_VERSION
from relay.intake import INTAKE_LIMIT_BYTES
from tests.bench.figures import percentile
from tests.support.organisation import acme, intruders
from tests.support.relay_process import RelayProcess, claim_relay

CPU_LIMIT_MS = 5.0
MEMORY_LIMIT_KIB = 64.0
HELD_BEFORE = 20
QUIET_S = 0.02
SESSION_BUDGET_BYTES = 128 << 10  # no limit of the relay's: as much as anybody sends at once
TIMEOUT_S = 20.0
MASK = b"\0\0\0\0"
UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{more}\r\n"
)


def frame(opcode: int, payload: bytes, *, is_last: bool = True, announced: int | None = None) -> bytes:
    """A client's WebSocket frame with a mask of zeros (RFC 6455, 5.2)."""
    size = len(payload) if announced is None else announced
    head = bytes([opcode | (0x80 if is_last else 0)])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return head + MASK + payload


@dataclass
class Stranger:
    """One connection of the adversary."""

    connected: socket.socket
    received: bytearray = field(default_factory=bytearray)

    def say(self, content: bytes) -> None:
        """Send all of it, unless the relay has had enough."""
        with contextlib.suppress(OSError):
            self.connected.sendall(content)

    def hear(self, until: Callable[[bytes], bool] = lambda received: False) -> bytes:
        """What comes until this is so, the relay closes, or nothing came for a moment."""
        self.connected.settimeout(QUIET_S)
        deadline_s = time.monotonic() + TIMEOUT_S
        with contextlib.suppress(OSError):
            while not until(bytes(self.received)) and time.monotonic() < deadline_s:
                piece = self.connected.recv(65536)
                if not piece:
                    break
                self.received += piece
        return bytes(self.received)

    def upgrade(self, path: str, more: str = "") -> bytes:
        """Open the WebSocket; the first message, if one comes."""
        self.say(UPGRADE.format(path=path, more=more).encode())
        received = self.hear(lambda text: b"\r\n\r\n" in text and len(text.partition(b"\r\n\r\n")[2]) > 60)
        return received.partition(b"\r\n\r\n")[2]


Input = Callable[[Stranger], None]


def clock_of(pid: int) -> int:
    """The clock of what a process has computed, for `time.clock_gettime`; raises OSError when it is gone."""
    clock = ctypes.c_int()
    error = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise OSError(error, os.strerror(error))
    return clock.value


def _challenge(stranger: Stranger) -> Challenge:
    first = stranger.upgrade("/v1/control")
    deadline_s = time.monotonic() + TIMEOUT_S
    while len(first) <= 60 and time.monotonic() < deadline_s:  # a busy machine is quiet for longer
        first = stranger.hear().partition(b"\r\n\r\n")[2]
    challenge = FROM_RELAY_CODEC.decode(first[2:] if first[1] < 126 else first[4:])
    assert isinstance(challenge, Challenge)
    return challenge


def log_in(identity: Identity, *, signer: Identity | None = None, extra: int = 0) -> Input:
    """A log-in that looks right; `extra` more certificates of the largest size."""

    def say(stranger: Stranger) -> None:
        challenge = _challenge(stranger)
        signature = (signer or identity).sign(login_transcript(challenge.nonce, challenge.relay_id))
        chain = [*identity.chain, *([b"\x30\x82\x10\x00" + b"\0" * 4096] * extra)]
        message = PRE_LOGIN_CODEC.encode(LogIn(PROTOCOL_VERSION, chain, signature))
        stranger.say(frame(2, message))

    return say


def claim(stranger: Stranger) -> None:
    """A claim with a guessed secret."""
    _challenge(stranger)
    admin = intruders().admin()
    message = Claim(PROTOCOL_VERSION, "a" * 32, admin.root_der, list(admin.chain), b"s" * 70)
    stranger.say(frame(2, PRE_LOGIN_CODEC.encode(message)))


def succession(stranger: Stranger) -> None:
    """Steps to a root of another organisation's, as many as there may be, below somebody's certificate."""
    _challenge(stranger)
    steps = [intruders().successor()[1]] * SUCCESSORS_LIMIT
    message = Succeed(PROTOCOL_VERSION, steps, list(acme().admin().chain), b"s" * 70)
    stranger.say(frame(2, PRE_LOGIN_CODEC.encode(message)))


def after_upgrade(path: str, content: bytes, more: str = "") -> Input:
    """Open the WebSocket, then this."""

    def say(stranger: Stranger) -> None:
        stranger.upgrade(path, more)
        stranger.say(content)

    return say


def plainly(content: bytes) -> Input:
    """These bytes and nothing else."""
    return lambda stranger: stranger.say(content)


HEADERS = "".join(f"X-{number}: y\r\n" for number in range(2300))


def inputs(path: str, budget: int) -> dict[str, Input]:
    """The worst of each kind; `budget` bytes are read of whoever has not proved anything."""
    return {
        "silence": plainly(b""),
        "request without an end": plainly(b"GET / HTTP/1.1\r\n" + b"X-Y: " + b"z" * 8000),
        "header without an end, long": plainly(b"GET / HTTP/1.1\r\nA: " + b"z" * (200 << 10)),
        "thousands of headers": plainly(f"GET {path} HTTP/1.1\r\nHost: r\r\n{HEADERS}\r\n".encode()),
        "noise": plainly(os.urandom(64 << 10)),
        "requests without an end, pipelined": plainly(b"GET / HTTP/1.1\r\n\r\n" * (budget // 18)),
        "upgrade and silence": after_upgrade(path, b""),
        "largest message, noise": after_upgrade(path, frame(2, b"\xff" * (16 << 10))),
        "largest message, nested": after_upgrade(path, frame(2, b"\x91" * (16 << 10))),
        "message that is announced and not sent": after_upgrade(
            path, frame(2, b"m" * 15_000, announced=1 << 20)
        ),
        "largest message, not finished": after_upgrade(path, frame(2, b"m" * 65_000, announced=65_500)),
        "a wrong ticket, then pings": after_upgrade(
            path, frame(2, b"t" * 300) + frame(9, b"") * (budget // 6)
        ),
        "message far above the limit": after_upgrade(path, frame(2, b"m" * (300 << 10))),
        "fragments of a byte": after_upgrade(
            path, frame(2, b"m", is_last=False) + frame(0, b"m", is_last=False) * (budget // 7)
        ),
        "empty fragments": after_upgrade(
            path, frame(2, b"", is_last=False) + frame(0, b"", is_last=False) * (budget // 6)
        ),
        "pings": after_upgrade(path, frame(9, b"") * (budget // 6)),
        "large pings": after_upgrade(path, frame(9, b"p" * 125) * (budget // 131)),
        "pongs": after_upgrade(path, frame(10, b"") * (budget // 6)),
        "compressed frame that was not negotiated": after_upgrade(
            path,
            bytes([0xC2]) + frame(2, b"\x00" * 1000)[1:],
            "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        ),
    }


def control_inputs() -> dict[str, Input]:
    """What only the control link takes."""
    return {
        "log-in of another organisation": log_in(intruders().technician()),
        "log-in with somebody's certificate and another key": log_in(
            acme().technician(), signer=acme().admin()
        ),
        "log-in of a device of another organisation": log_in(intruders().device()),
        "log-in with certificates that are none": log_in(acme().technician(), extra=3),
        "log-in below a root that is none yet": log_in(acme().successor()[0].technician()),
        "steps of another organisation to a newer root": succession,
        "claim with a guessed secret": claim,
    }


TLS_INPUTS: dict[str, Input] = {
    "tls: half a record": plainly(b"\x16\x03\x01\x40\x00\x01\x00"),
    "tls: noise": plainly(os.urandom(64 << 10)),
    "tls: largest hello, without an end": plainly(
        b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03" + b"\0" * 16_000
    ),
}


@dataclass(frozen=True)
class Target:
    """Where the inputs go."""

    relay: RelayProcess
    port: int
    tls: ssl.SSLContext | None

    @contextlib.contextmanager
    def stranger(self) -> Iterator[Stranger]:
        """A fresh connection, closed at the end."""
        one = self.open()
        try:
            yield one
        finally:
            one.connected.close()

    def open(self) -> Stranger:
        """A fresh connection."""
        connected = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S)
        if self.tls is not None:
            connected = self.tls.wrap_socket(connected, server_hostname="relay.example")
        return Stranger(connected)

    def pids(self) -> list[int]:
        """All processes of the relay."""
        return [self.relay.pid, *self.relay.child_pids()]

    def cpu_ms(self) -> float:
        """What they have computed so far."""
        return sum(time.clock_gettime(clock_of(pid)) for pid in self.pids()) * 1000

    def memory_kib(self) -> float:
        """What they hold."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Anonymous:"):
                    total += int(line.split()[1])
        return float(total)

    def settled_cpu_ms(self) -> float:
        """The same, once it does not rise any more."""
        before = self.cpu_ms()
        while True:
            time.sleep(QUIET_S)
            after = self.cpu_ms()
            if after - before < 0.05:
                return after
            before = after


@dataclass(frozen=True)
class Measured:
    """One kind of input in one repeat."""

    cpu_ms: list[float]
    memory_kib: float


def summary(repeats: list[Measured]) -> dict[str, Any]:
    """What the repeats of one kind of input come to."""
    costs = [cost for one in repeats for cost in one.cpu_ms]
    memory = [one.memory_kib for one in repeats]
    median_ms, median_kib = statistics.median(costs), statistics.median(memory)
    above = sum(cost > CPU_LIMIT_MS for cost in costs)
    return {
        "cpu_ms": {
            "median": round(median_ms, 3),
            "mean": round(statistics.fmean(costs), 3),
            "p99": round(percentile(sorted(costs), 0.99), 3),
            "max": round(max(costs), 3),
            "above_limit": f"{above} of {len(costs)}",
        },
        "memory_kib": {"median": round(median_kib, 1), "max": round(max(memory), 1)},
        "holds": median_ms <= CPU_LIMIT_MS and median_kib <= MEMORY_LIMIT_KIB,
        "worst_holds": above == 0 and max(memory) <= MEMORY_LIMIT_KIB,
    }


def measure(target: Target, say: Input, *, trials: int, held: int) -> Measured:
    """Processor time and memory of one kind of input."""
    for _ in range(3):  # what is made once
        with target.stranger() as one:
            say(one)
            one.hear()
    costs: list[float] = []
    for _ in range(trials):
        before = target.settled_cpu_ms()
        with target.stranger() as one:
            say(one)
            one.hear()
        costs.append(target.settled_cpu_ms() - before)
    strangers: list[Stranger] = []
    used_kib: list[float] = []
    for count in (HELD_BEFORE, held):  # what the first ones make grow once is not one more's cost
        for _ in range(count):
            one = target.open()
            say(one)
            strangers.append(one)
        target.settled_cpu_ms()
        used_kib.append(target.memory_kib())
    memory_kib = (used_kib[1] - used_kib[0]) / held
    for one in strangers:
        one.connected.close()
    target.settled_cpu_ms()
    return Measured(costs, memory_kib)


def _certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "tls.crt", folder / "tls.key"
    subprocess.run(
        [*("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
         *("-subj", "/CN=relay.example", "-days", "2", "-keyout", str(key), "-out", str(certificate))],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


@contextlib.contextmanager
def _running(folder: Path, tls: tuple[Path, Path] | None) -> Iterator[RelayProcess]:
    arguments = () if tls is None else ("--tls-cert", str(tls[0]), "--tls-key", str(tls[1]))
    with RelayProcess(folder, arguments=arguments) as relay:
        if tls is None:
            asyncio.run(claim_relay(relay, acme()))
        yield relay


def run(*, trials: int, held: int, repeats: int, only: str = "") -> dict[str, Any]:
    """Measure everything."""
    measured: dict[str, list[Measured]] = {}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as name:
            for title, one in _measured(Path(name), trials=trials, held=held, only=only):
                measured.setdefault(title, []).append(one)
    results = {title: summary(ones) for title, ones in measured.items()}
    return {
        "adversary": "no certificate of the organisation, no ticket; one connection at a time, or many held",
        "limits": {"cpu_ms": CPU_LIMIT_MS, "memory_kib": MEMORY_LIMIT_KIB},
        "runs": {"trials": trials, "held": held, "repeats": repeats},
        "worst": {
            "cpu_ms": _largest(results, "cpu_ms"),
            "memory_kib": _largest(results, "memory_kib"),
            "above_limit": [title for title, one in results.items() if not one["worst_holds"]],
        },
        "holding": f"{sum(one['holds'] for one in results.values())} of {len(results)}",
        "all_hold": all(one["holds"] for one in results.values()),
        "inputs": results,
    }


def _largest(results: dict[str, Any], what: str) -> dict[str, Any]:
    """The input with the largest median, and the one with the largest single figure."""
    found = {}
    for which in ("median", "max"):
        title = max(results, key=lambda one: float(results[one][what][which]))
        found[which] = [title, results[title][what][which]]
    return found


@dataclass(frozen=True)
class Case:
    """One kind of input, where it goes and how."""

    title: str
    say: Input
    is_control: bool
    is_relay_tls: bool
    is_tls: bool

    def target(self, relay: RelayProcess) -> Target:
        """The port of this relay that takes it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        port = relay.control_port if self.is_control else relay.session_port
        return Target(relay, port, context if self.is_tls else None)


def cases() -> Iterator[Case]:
    """Every kind of input at every port, plain and in TLS."""
    for is_tls in (False, True):
        for where, path, budget in (
            ("control", "/v1/control", INTAKE_LIMIT_BYTES - 1024),
            ("session", "/v1/session", SESSION_BUDGET_BYTES),
        ):
            is_control = where == "control"
            said = f"{where}{', tls' if is_tls else ''}: "
            kinds = inputs(path, budget) | (control_inputs() if is_control and not is_tls else {})
            for kind, say in kinds.items():
                yield Case(said + kind, say, is_control, is_tls, is_tls)
            for kind, say in TLS_INPUTS.items() if is_tls else ():
                yield Case(said + kind, say, is_control, is_tls, False)


def _measured(folder: Path, *, trials: int, held: int, only: str) -> Iterator[tuple[str, Measured]]:
    """Each with a relay of its own: what one kind leaves behind would be room for the next."""
    tls = _certificate(folder)
    for number, case in enumerate(case for case in cases() if only in case.title):
        with _running(folder / str(number), tls if case.is_relay_tls else None) as relay:
            one = measure(case.target(relay), case.say, trials=trials, held=held)
        print(case.title, summary([one]), file=sys.stderr)
        yield case.title, one


def main() -> int:
    """Measure, print, and say by the exit status whether every input holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=15)
    parser.add_argument("--held", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", default="", help="inputs whose name has this in it")
    parser.add_argument("--json", action="store_true", help="the whole result on standard output")
    chosen = parser.parse_args()
    result = run(trials=chosen.trials, held=chosen.held, repeats=chosen.repeats, only=chosen.only)
    print(json.dumps(result if chosen.json else result["worst"], indent=2))
    return 0 if result["all_hold"] else 1


if __name__ == "__main__":
    sys.exit(main())
