"""One session worker: a process that forwards, and holds nothing but its ticket key."""

import asyncio
import socket
import ssl
import time
from dataclasses import dataclass

import structlog

from relay.worker.forwarder import Forwarder
from relay.worker.loop import end_all, tick_forever
from relay.worker.tickets import TicketGate

_LOG = structlog.get_logger()
_DRAIN_S = 0.3


@dataclass(frozen=True, slots=True)
class WorkerTerms:
    """What a worker inherits from the process that forked it."""

    worker_no: int
    listener: socket.socket
    ticket_key: bytes
    tls: ssl.SSLContext | None


async def serve_worker(terms: WorkerTerms, stop: asyncio.Event) -> int:
    """Forward until `stop`; the exit status."""
    from relay.worker.picows_shell import serve_picows

    forwarder = Forwarder(TicketGate(terms.ticket_key, terms.worker_no), time.time)
    server = await serve_picows(forwarder, terms.listener, terms.tls)
    ticking = asyncio.create_task(tick_forever(forwarder))
    _LOG.info("worker.ready", worker_no=terms.worker_no, port=terms.listener.getsockname()[1])
    await stop.wait()
    server.close()
    has_sessions = forwarder.sockets > 0
    await end_all(forwarder, ticking)
    if has_sessions:
        await asyncio.sleep(_DRAIN_S)
    return 0
