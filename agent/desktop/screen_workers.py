"""The parent of screen workers: one child a session, whose death is how capture ends."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from agent.desktop.ipc import LENGTH_BYTES
from agent.desktop.ipc_messages import ScreenEnded, StartScreen
from protocol.errors import ErrorCode, ExitStatus
from protocol.private_windows import encode_private_windows

log = structlog.get_logger()

WORKER_ARGV = (sys.executable, "-I", "-m", "agent.capabilities.screen.worker")
ERROR_TAIL_CHARS = 400
ERROR_READ_BYTES = 4096
PASSED_ENVIRONMENT = (
    "DISPLAY",
    "XAUTHORITY",
    "WAYLAND_DISPLAY",
    "XDG_RUNTIME_DIR",
    "XDG_SESSION_TYPE",
    "HOME",
    "PATH",
    "LANG",
    "LC_ALL",
    "TMPDIR",
)


@dataclass(frozen=True, slots=True)
class WorkerTerms:
    """How workers are started: the program, the service's socket, and the environment they get."""

    socket_path: Path
    argv: tuple[str, ...] = WORKER_ARGV

    def command(self, order: StartScreen) -> list[str]:
        """The whole argv; the ticket is not in it."""
        names = ["--socket", str(self.socket_path), "--session", order.session_id, "--source", order.source]
        return [*self.argv, *names]


class ScreenWorkers:
    """Starts, watches and kills them. `on_ended` comes, from any thread, for each one that ended by itself.

    Start from the thread that lives as long as the program: a worker asks the kernel to be killed when the
    thread that started it ends (PR_SET_PDEATHSIG, prctl(2)).
    """

    def __init__(self, terms: WorkerTerms, on_ended: Callable[[ScreenEnded], None]) -> None:
        self._terms = terms
        self._on_ended = on_ended
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        # a watch reaps and forgets only under it: what is killed is the child, and the child of now
        self._lock = threading.Lock()

    def start(self, order: StartScreen) -> None:
        """Start this session's worker; one that still runs is killed first."""
        self.kill(order.session_id)
        try:
            child = subprocess.Popen(  # noqa: S603 -- our own program, fixed argv, no shell
                self._terms.command(order),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=_environment(os.environ),
                start_new_session=True,
            )
        except OSError as exc:
            self._tell(order, ErrorCode.E_SCREEN_FAILED, f"not started: {exc}")
            return
        with self._lock:
            self._children[order.session_id] = child
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError), child.stdin:
            child.stdin.write(_standard_input(order))
        threading.Thread(target=self._watch, args=(order, child), name="screen-worker", daemon=True).start()

    def kill(self, session_id: str) -> None:
        """SIGKILL to the worker and all it started; works on a stopped one too. Returns at once."""
        with self._lock:
            child = self._children.pop(session_id, None)
            if child is not None:
                # not reaped yet, even if it has ended: the number is its own
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill every worker."""
        for session_id in tuple(self._children):
            self.kill(session_id)

    def _watch(self, order: StartScreen, child: subprocess.Popen[bytes]) -> None:
        assert child.stderr is not None
        tail = b""
        with child.stderr:
            while piece := os.read(child.stderr.fileno(), ERROR_READ_BYTES):
                tail = (tail + piece)[-ERROR_READ_BYTES:]
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            status = child.wait()
            if self._children.get(order.session_id) is not child:
                return  # killed by order: whoever ordered it knows
            del self._children[order.session_id]
        detail = tail.decode("utf-8", "replace").strip()[-ERROR_TAIL_CHARS:]
        log.info("screen.worker_ended", session_id=order.session_id, status=status)
        self._tell(order, *_meaning(status, detail))

    def _tell(self, order: StartScreen, code: str, detail: str) -> None:
        self._on_ended(ScreenEnded(order.session_id, str(code), detail, order.start_no))


def _standard_input(order: StartScreen) -> bytes:
    """What a worker reads: not in its argv, where every user of this computer could read titles."""
    if not order.private_windows:
        return order.ticket
    encoded = encode_private_windows(order.private_windows)
    return order.ticket + len(encoded).to_bytes(LENGTH_BYTES, "big") + encoded


def _meaning(status: int, detail: str) -> tuple[str, str]:
    """The code and the detail for an exit status of a worker."""
    if status == ExitStatus.OK:
        return "", detail
    if status == ExitStatus.ENVIRONMENT and f"{ErrorCode.E_SCREEN_PRIVATE}:" in detail:
        return ErrorCode.E_SCREEN_PRIVATE, detail
    if status == ExitStatus.ENVIRONMENT:
        return ErrorCode.E_SCREEN_NONE, detail
    return ErrorCode.E_SCREEN_FAILED, detail or f"exit status {status}"


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    return {name: ours[name] for name in PASSED_ENVIRONMENT if name in ours}
