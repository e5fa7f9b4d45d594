"""An exec worker that systemd starts: a unit of its own for each command, by a socket (Accept=yes).

Its control group holds whatever the command starts, with bounds of its own, and is ended as a whole when its
first process, the guardian, is gone (scripts/install/linux/alongside-agent-exec@.service).
"""

import asyncio
import contextlib
import os
import signal

from agent.exec.messages import RunOrder
from agent.exec.start import END_TIMEOUT_S, SWEEP_TIMEOUT_S, ExecWorker, StartExecWorker, WorkerTalk
from agent.local_frames import ROOT_UID, LocalConnection, connect_local
from protocol.errors import EnvironmentFault, ErrorCode, SupportError


class UnitWorker(WorkerTalk):
    """An `ExecWorker` at the other end of a connection to systemd's socket."""

    def __init__(self, connection: LocalConnection) -> None:
        super().__init__(connection)
        self._is_gone = False

    def cancel(self) -> None:
        """See `ExecWorker`."""
        self._connection.stop_sending()

    async def _end(self) -> bool:
        """That a worker is gone is seen by the connection's end; the rest is systemd's."""
        self.cancel()
        await self._gone_within(END_TIMEOUT_S)
        if not self._is_gone and self._guardian_pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._guardian_pid, signal.SIGTERM)
            await self._gone_within(SWEEP_TIMEOUT_S)
        self._connection.close()
        return self._is_gone and self._command_pid is None and not self._has_lost

    async def _gone_within(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                self._is_gone = await self._hear_out()


def unit_starter(socket_path: str) -> StartExecWorker:
    """What has systemd start a worker's unit, by this socket."""

    async def start(order: RunOrder) -> ExecWorker:
        return await start_unit(order, socket_path)

    return start


async def start_unit(order: RunOrder, socket_path: str) -> ExecWorker:
    """Connect, and hand the order to whoever systemd starts for it.

    Raises:
        EnvironmentFault: E_COMMAND_FAILED, nobody listens there, or neither root nor ourselves.
        Unreachable: it went away before it had read the order.
    """
    try:
        connection = await connect_local(socket_path)
    except SupportError as exc:
        raise EnvironmentFault(f"exec unit: {exc.detail}", code=ErrorCode.E_COMMAND_FAILED) from None
    if connection.peer.uid not in (ROOT_UID, os.geteuid()):
        connection.close()
        detail = f"exec unit: user {connection.peer.uid} listens there"
        raise EnvironmentFault(detail, code=ErrorCode.E_COMMAND_FAILED)
    worker = UnitWorker(connection)
    try:
        await worker.send_order(order)
    except BaseException:
        await worker.end()
        raise
    return worker
