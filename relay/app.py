"""Builds the relay from its parts. Only `relay.cli` runs it."""

import asyncio
import gc
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from protocol.errors import SupportError, exit_status
from protocol.messages.control import SessionRoute
from relay.claim_secret import ClaimSecret
from relay.config import RelayConfig, prepare_data
from relay.gateway import Gateway
from relay.http_server import HttpServer
from relay.listening import Listeners, lock_data, open_listeners, server_tls
from relay.presence import Presence
from relay.published import Published
from relay.registry import Registry
from relay.rendezvous import Rendezvous
from relay.requests import RequestDesk
from relay.store.interface import Store
from relay.store.sql import open_sql_store
from relay.supervisor import Child, Supervisor, run_until_stopped
from relay.worker.app import WorkerTerms, serve_worker
from relay.worker.forwarder import Forwarder
from relay.worker.loop import SESSION_PATH, end_all, tick_forever
from relay.worker.tickets import TicketGate, TicketMint, new_key

_LOG = structlog.get_logger()
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, never bound here


@dataclass(frozen=True, slots=True)
class Ready:
    """What is said once the relay serves. `claim_secret_file` is "" when it was claimed."""

    relay_url: str
    relay_id: str
    claim_secret_file: str


@dataclass(frozen=True, slots=True)
class Voice:
    """How the program speaks to people and scripts."""

    ready: Callable[[Ready], None]
    failed: Callable[[SupportError], None]


@dataclass(frozen=True, slots=True)
class _Ground:
    """What exists before the first process is forked, and all of them inherit."""

    config: RelayConfig
    listeners: Listeners
    tls: ssl.SSLContext | None
    ticket_key: bytes


def run_relay(config: RelayConfig, voice: Voice) -> int:
    """Serve until a signal; the exit status.

    Raises:
        SupportError: nothing was started.
    """
    prepare_data(config.data)
    lock_data(config.data)
    tls = server_tls(config)
    ground = _Ground(config, open_listeners(config), tls, new_key())

    async def control(stop: asyncio.Event) -> int:
        for listener in ground.listeners.sessions:
            listener.close()
        try:
            return await _serve_control(ground, voice, stop)
        except SupportError as exc:
            voice.failed(exc)
            return int(exit_status(exc.code))

    if config.workers == 0:
        return run_until_stopped(control)
    workers = [_worker(ground, worker_no) for worker_no in range(config.workers)]
    return Supervisor([*workers, Child("control", control, is_vital=True)]).run()


def _worker(ground: _Ground, worker_no: int) -> Child:
    listeners = ground.listeners
    own = listeners.sessions[worker_no]

    async def serve(stop: asyncio.Event) -> int:
        for listener in (listeners.control, *listeners.sessions):
            if listener is not own:
                listener.close()
        return await serve_worker(WorkerTerms(worker_no, own, ground.ticket_key, ground.tls), stop)

    return Child(f"worker {worker_no}", serve, is_vital=False)


async def _serve_control(ground: _Ground, voice: Voice, stop: asyncio.Event) -> int:
    store = await open_sql_store(ground.config.database)
    try:
        relay_id = await store.relay_id()
        secret = ClaimSecret(ground.config.claim_secret_file)
        is_claimed = await store.organisation() is not None
        secret.discard() if is_claimed else secret.ensure()
        presence = Presence()
        rendezvous = Rendezvous(TicketMint(ground.ticket_key), _routes(ground))
        desk = RequestDesk(store, presence, rendezvous)
        registry = Registry(store, secret, relay_id, takes_visitors=ground.config.visitors)
        gateway = Gateway(registry, desk, presence, behind_proxy=ground.config.behind_proxy)
        gate = TicketGate(ground.ticket_key, 0)
        forwarder = Forwarder(gate, time.time) if ground.config.workers == 0 else None
        folder = ground.config.release
        published = Published(folder) if folder is not None else None
        server = HttpServer(gateway, store, forwarder, published)
        await server.start(ground.listeners.control, ground.tls)
        _keep_out_of_collections()
        voice.ready(Ready(_relay_url(ground), relay_id, "" if is_claimed else str(secret.file)))
        _LOG.info("relay.ready", relay_id=relay_id, workers=ground.config.workers)
        await _wait(stop, forwarder)
        gateway.drain()
        await server.stop()
    finally:
        await _close(store)
    return 0


def _keep_out_of_collections() -> None:
    """What was made at the start stays: a stranger must not make the collector walk through all of it."""
    gc.collect()
    gc.freeze()


async def _wait(stop: asyncio.Event, forwarder: Forwarder | None) -> None:
    if forwarder is None:
        await stop.wait()
        return
    ticking = asyncio.create_task(tick_forever(forwarder))
    await stop.wait()
    await end_all(forwarder, ticking)


async def _close(store: Store) -> None:
    try:
        await store.close()
    except SupportError as exc:
        _LOG.warning("store.failed", code=exc.code.value, detail=exc.detail)


def _routes(ground: _Ground) -> list[SessionRoute]:
    if ground.config.workers == 0:
        return [SessionRoute(0, SESSION_PATH)]
    public_port = ground.config.session_public_port
    if public_port is None:
        return [SessionRoute(port, SESSION_PATH) for port in ground.listeners.session_ports]
    return [SessionRoute(public_port, f"{SESSION_PATH}/{no}") for no in range(ground.config.workers)]


def _relay_url(ground: _Ground) -> str:
    host = ground.config.listen.host
    if host in _WILDCARDS:
        host = socket.gethostname()
    shown = f"[{host}]" if ":" in host else host
    scheme = "https" if ground.config.is_tls else "http"
    return f"{scheme}://{shown}:{ground.listeners.control_port}"
