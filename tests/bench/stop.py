"""How long Stop takes under load: `python -m tests.bench.stop --tries 200 --json`.

A real desktop process with its bar on a virtual display, a real screen worker that captures a screen which
changes all the time, and a stream of injected events. Each try presses Stop as a person does, with a pointer
of their own (`--keys`: with the keys), and measures from the press until

- the worker is killed: SIGKILL is pending or taken, so not one more instruction of it runs (proc(5), SigPnd),
- its last byte has come, where the service reads,
- nothing is held down any more by injection,
- the kernel has cleared the worker away (`gone`): how long that takes is a matter of its turn on a busy core.

Then the stream of events, moves and a held key, goes on for a moment, and none may act. Tries take turns:
everything runs; the worker is stopped (SIGSTOP); the service reads nothing, as with a blocked event loop or a
stalled relay. Meanwhile two processes for each core compute.
"""

import argparse
import json
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import xcffib
import xcffib.xproto

from agent.desktop.ipc_messages import (
    WORKER_TICKET_BYTES,
    AllowInput,
    HideIndicator,
    IndicatorShown,
    Inject,
    InputAllowed,
    InputHeldBack,
    StartScreen,
    StopPressed,
)
from protocol.errors import SupportError
from protocol.messages.input import Event, Key, PointerMove
from tests.bench.figures import Spread, spread
from tests.support.desktop_person import holds_shift
from tests.support.desktop_service import DesktopProcess, an_indicator, wait_for
from tests.support.own_mouse import OwnMouse
from tests.support.x_display import x_display
from tests.support.x_person import XPerson

TARGET_MS = 250.0
VARIANTS = ("running", "worker_stopped", "service_blocked")
AFTER_STOP_S = 0.1
EVENTS_EVERY_S = 0.01
SHIFT = Key(keysym=0xFFE1, is_pressed=True)
KILL_BIT = 1 << signal.SIGKILL - 1
PF_EXITING = 0x4  # linux/sched.h
CORNERS = ((700, 500), (720, 520))


@dataclass
class Result:
    """What one way of stopping took. `acted_after` counts tries in which an event acted after Stop."""

    killed_ms: list[float] = field(default_factory=list)
    last_byte_ms: list[float] = field(default_factory=list)
    injected_ms: list[float] = field(default_factory=list)
    stopped_ms: list[float] = field(default_factory=list)
    gone_ms: list[float] = field(default_factory=list)
    acted_after: int = 0

    def add(self, other: "Result") -> None:
        """The tries of another one too."""
        for name in ("killed_ms", "last_byte_ms", "injected_ms", "stopped_ms", "gone_ms"):
            getattr(self, name).extend(getattr(other, name))
        self.acted_after += other.acted_after

    def figures(self) -> dict[str, object]:
        """Spreads; `stopped_ms` is the latest of the first three of each try."""
        spreads: dict[str, Spread] = {
            "worker_killed_ms": spread(self.killed_ms),
            "last_byte_ms": spread(self.last_byte_ms),
            "injection_closed_ms": spread(self.injected_ms),
            "stopped_ms": spread(self.stopped_ms),
            "worker_gone_ms": spread(self.gone_ms),
        }
        return {name: asdict(each) for name, each in spreads.items()} | {"acted_after": self.acted_after}


def _compute() -> None:
    while True:
        sum(number * number for number in range(10_000))


@contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """So many processes that do nothing but compute."""
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_compute, daemon=True) for _ in range(count)]
    for child in children:
        child.start()
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.join()


class Busy:
    """A thread that calls something every few milliseconds, until it is left."""

    def __init__(self, call: object, every_s: float) -> None:
        self._call, self._every_s = call, every_s
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Busy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.wait(self._every_s):
            with suppress(OSError, SupportError):
                self._call()


class Painter:
    """Changes a large part of the screen at each call."""

    def __init__(self, display: str) -> None:
        self._person = XPerson(display)
        core, connection = self._person.connection.core, self._person.connection
        self._window, self._context, self._colour = connection.generate_id(), connection.generate_id(), 0
        core.CreateWindow(0, self._window, self._person.root, 100, 200, 900, 500, 0, 1, 0, 1 << 9, [1])
        core.CreateGC(self._context, self._window, 0, [])
        core.MapWindow(self._window)
        connection.flush()

    def paint(self) -> None:
        """Another colour."""
        self._colour = (self._colour + 0x071113) & 0xFFFFFF
        core = self._person.connection.core
        core.ChangeGC(self._context, 1 << 2, [self._colour])
        whole: Any = xcffib.xproto.RECTANGLE.synthetic(0, 0, 900, 500)
        core.PolyFillRectangle(self._window, self._context, 1, [whole])
        self._person.connection.flush()


class Bench:
    """One desktop process, stopped again and again."""

    def __init__(self, display: str, folder: Path, *, by_keys: bool) -> None:
        self._display, self._by_keys = display, by_keys
        self._desktop = DesktopProcess(folder, display, log_fd=sys.stderr.fileno())
        self._person = XPerson(display)
        self._mouse = OwnMouse(self._person)
        self._tries = 0
        self._read_at_s = 0.0
        self._corner = 0

    def try_once(self, variant: str, result: Result) -> None:
        """A session from its bar to Stop."""
        self._tries += 1
        session_id = f"s{self._tries}"
        self._desktop.order(an_indicator(session_id))
        self._desktop.expect(IndicatorShown)
        worker, pid = self._start_worker(session_id)
        self._desktop.order(AllowInput(session_id=session_id))
        self._desktop.expect(InputAllowed)
        self._inject(session_id, SHIFT)
        wait_for(lambda: holds_shift(self._person))
        if variant == "worker_stopped":
            os.kill(pid, signal.SIGSTOP)
        with Busy(lambda: self._move(session_id), EVENTS_EVERY_S):
            time.sleep(0.1)
            if variant == "service_blocked":
                with worker:
                    self._stop(pid, result)
            else:
                with worker, Busy(lambda: self._read(worker), 0.0):
                    self._stop(pid, result)
        while not isinstance(self._desktop.expect(InputHeldBack | StopPressed), StopPressed):
            pass
        self._desktop.order(HideIndicator(session_id=session_id))
        wait_for(lambda: self._person.find("stop") is None)

    def _start_worker(self, session_id: str) -> tuple[object, int]:
        ticket = os.urandom(WORKER_TICKET_BYTES)
        self._desktop.order(StartScreen(session_id=session_id, ticket=ticket, source="xcffib"))
        worker = self._desktop.accept_worker()
        pid = _peer_pid(worker)
        while self._read(worker) < 4096:
            pass  # until it sends pictures
        return worker, pid

    def _stop(self, pid: int, result: Result) -> None:
        handle = os.pidfd_open(pid)
        try:
            stop = self._person.find("stop")
            assert stop is not None
            if not self._by_keys:
                self._aim(stop.middle)
            started_s = time.monotonic()
            self._press()
            looks: dict[str, Callable[[], object]] = {
                "killed": lambda: is_killed(pid),
                "injected": lambda: not holds_shift(self._person),
                "gone": lambda: select.select([handle], [], [], 0)[0],
            }
            took_ms: dict[str, float] = {}
            while looks:
                for name in [name for name, look in looks.items() if look()]:
                    took_ms[name] = (time.monotonic() - started_s) * 1000
                    del looks[name]
                time.sleep(0.0005)
                assert time.monotonic() - started_s < 20, "Stop did not stop"
        finally:
            os.close(handle)
        latest = [took_ms["killed"], took_ms["injected"]]
        if self._read_at_s > started_s:
            result.last_byte_ms.append((self._read_at_s - started_s) * 1000)
            latest.append(result.last_byte_ms[-1])
        result.killed_ms.append(took_ms["killed"])
        result.injected_ms.append(took_ms["injected"])
        result.gone_ms.append(took_ms["gone"])
        result.stopped_ms.append(max(latest))
        before = self._pointer()
        time.sleep(AFTER_STOP_S)
        result.acted_after += self._pointer() != before or holds_shift(self._person)

    def _aim(self, place: tuple[int, int]) -> None:
        """As a hand does: there, and a moment of rest before the finger comes down; again if it was moved."""
        for _ in range(20):
            self._mouse.go(*place)
            time.sleep(10 * EVENTS_EVERY_S)
            if self._pointer() == place:
                return
        raise AssertionError("the pointer does not stay where the person puts it")

    def _press(self) -> None:
        if self._by_keys:
            keys = ["xdotool", "key", "ctrl+alt+shift+x"]
            subprocess.run(keys, env={**os.environ, "DISPLAY": self._display}, check=True)
        else:
            self._mouse.click()

    def _pointer(self) -> tuple[int, int]:
        at = self._person.connection.core.QueryPointer(self._person.root).reply()
        return at.root_x, at.root_y

    def _move(self, session_id: str) -> None:
        self._corner ^= 1
        x, y = CORNERS[self._corner]
        self._inject(session_id, PointerMove(x=x, y=y), SHIFT)

    def _inject(self, session_id: str, *events: Event) -> None:
        self._desktop.order(Inject(session_id=session_id, display_index=0, events=list(events)))

    def _read(self, worker: object) -> int:
        count = len(worker.recv(1 << 16))  # a socket
        if count:
            self._read_at_s = time.monotonic()
        return count

    def close(self) -> None:
        """End the desktop process."""
        self._person.close()
        self._desktop.close()


def is_killed(pid: int) -> bool:
    """Whether no instruction of it runs any more: it has SIGKILL before it, is exiting, or is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
        flags = int(Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[6])
    except (FileNotFoundError, ProcessLookupError):
        return True
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    pending = int(facts["SigPnd"], 16) | int(facts["ShdPnd"], 16)
    return bool(pending & KILL_BIT or flags & PF_EXITING or facts["State"][0] in "ZX")


def _peer_pid(worker: object) -> int:
    import socket
    import struct

    content = worker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", content)[0])


def measure(tries: int, *, load: int, by_keys: bool = False) -> dict[str, object]:
    """All tries; the variants take turns."""
    results = {variant: Result() for variant in VARIANTS}
    with (
        tempfile.TemporaryDirectory() as folder,
        x_display("1280x800", has_window_manager=True) as display,
        busy_cores(load),
        Busy(Painter(display).paint, 0.01),
    ):
        bench = Bench(display, Path(folder), by_keys=by_keys)
        try:
            for number in range(tries):
                variant = VARIANTS[number % len(VARIANTS)]
                bench.try_once(variant, results[variant])
        finally:
            bench.close()
    every = Result()
    for each in results.values():
        every.add(each)
    return {
        "tries": tries,
        "pressed": "keys" if by_keys else "pointer",
        "busy_processes": load,
        "cores": os.cpu_count(),
        "target_p99_ms": TARGET_MS,
        "all": every.figures(),
        **{name: each.figures() for name, each in results.items()},
    }


def main() -> int:
    """The command; exit status 1 if the target was missed or an event acted after Stop."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.stop", description=__doc__)
    parser.add_argument("--tries", type=int, default=200)
    parser.add_argument("--load", type=int, default=2 * (os.cpu_count() or 1), help="processes that compute")
    parser.add_argument("--keys", action="store_true", help="press the keys instead of the bar")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by way of every `finally`
    figures = measure(given.tries, load=given.load, by_keys=given.keys)
    print(json.dumps(figures) if given.json else json.dumps(figures, indent=2))
    every = figures["all"]
    assert isinstance(every, dict)
    p99 = every["stopped_ms"]["p99"]
    return 1 if every["acted_after"] or p99 is None or p99 > TARGET_MS else 0


if __name__ == "__main__":
    sys.exit(main())
