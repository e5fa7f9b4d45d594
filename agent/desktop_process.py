"""Starts the desktop process as a child and starts it again when it dies. Its command line is fixed."""

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

import structlog

from protocol.aio.backoff import Backoff

log = structlog.get_logger()

STEADY_AFTER_S = 30.0
END_TIMEOUT_S = 2.0
STANDARD_ERROR = 2


class DesktopProcess:
    """One child, while `run` runs. It is given nothing but the socket's path and the display's name."""

    def __init__(self, socket_path: Path, display: str, is_free: asyncio.Event) -> None:
        """`is_free`: none is connected; while one that was started by hand is, none is started."""
        self._argv = [sys.executable, "-I", "-m", "agent.desktop", "--socket", str(socket_path)]
        self._environment = {**os.environ, "DISPLAY": display} if display else dict(os.environ)
        self._is_free = is_free
        self._backoff = Backoff(first_s=1.0)
        self.pid: int | None = None

    async def run(self) -> None:
        """Keep it running until cancelled; then it is ended."""
        loop = asyncio.get_running_loop()
        while True:
            await self._is_free.wait()
            started_s = loop.time()
            status = await self._run_once()
            log.warning("desktop.ended", exit_status=status)
            if loop.time() - started_s > STEADY_AFTER_S:
                self._backoff.reset()
            await asyncio.sleep(self._backoff.next_delay_s())

    async def _run_once(self) -> int | None:
        try:
            child = await asyncio.create_subprocess_exec(
                *self._argv,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=STANDARD_ERROR,  # ours is for the ready line alone
            )
        except OSError as exc:
            log.error("desktop.not_started", detail=str(exc))
            return None
        self.pid = child.pid
        try:
            return await child.wait()
        finally:
            self.pid = None
            await _end(child)


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    with suppress(ProcessLookupError):
        child.terminate()
    # not asyncio.timeout: that of Python 3.11.2 raises CancelledError in a task that is being cancelled
    ended = asyncio.ensure_future(child.wait())
    _, running = await asyncio.wait({ended}, timeout=END_TIMEOUT_S)
    if running:
        with suppress(ProcessLookupError):
            child.kill()
    await ended


def display_of(setting: str) -> str:
    """The display to use: the setting, else the environment's; "" when there is none."""
    return setting or os.environ.get("DISPLAY", "")
