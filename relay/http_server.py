"""The control process' HTTP side: an allow-list of exact paths, nothing else."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from protocol.errors import SupportError
from relay.accepting import accept
from relay.gateway import Gateway
from relay.intake import Intake, IntakeCount
from relay.published import Published
from relay.store.interface import Store
from relay.worker.aiohttp_shell import AiohttpSocket
from relay.worker.forwarder import Forwarder
from relay.worker.loop import SESSION_PATH

_LOG = structlog.get_logger()
_SHUTDOWN_S = 1.0
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpServer:
    """Serves `/v1/control`, `/healthz`, `/readyz`, and `/v1/session` when there are no workers;
    with releases, the plain files too."""

    def __init__(
        self, gateway: Gateway, store: Store, forwarder: Forwarder | None, published: Published | None = None
    ) -> None:
        self._store = store
        self._forwarder = forwarder
        app = web.Application(middlewares=[_root], client_max_size=1024)
        app.on_response_prepare.append(_one_request_only)
        app.router.add_get("/v1/control", gateway.serve)
        app.router.add_get("/healthz", _say_ok)
        app.router.add_get("/readyz", self._say_ready)
        if published is not None:
            published.add_to(app)
        if forwarder is not None:
            app.router.add_get(SESSION_PATH, self._serve_session)
        quiet = logging.Logger("aiohttp.quiet", logging.CRITICAL)
        self._runner = web.AppRunner(
            app, access_log=None, logger=quiet, handle_signals=False, shutdown_timeout=_SHUTDOWN_S
        )
        self._server: asyncio.AbstractServer | None = None

    async def start(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Accept on a listening socket."""
        await self._runner.setup()
        inner = self._runner.server
        assert inner is not None
        count = IntakeCount()
        self._server = await accept(lambda: Intake(inner(), count), listener, tls)

    async def stop(self) -> None:
        """Stop accepting and end what is open."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    async def _say_ready(self, request: web.Request) -> web.Response:
        try:
            await self._store.organisation()
        except SupportError as exc:
            return web.Response(status=503, text=f"{exc.code.value}\n")
        return web.Response(text="ready\n")

    async def _serve_session(self, request: web.Request) -> web.StreamResponse:
        assert self._forwarder is not None
        protocol = request.transport.get_protocol() if request.transport is not None else None
        if isinstance(protocol, Intake):
            protocol.lift()  # the forwarder bounds these by itself
        return await AiohttpSocket(self._forwarder).serve(request)


async def _one_request_only(_: web.Request, response: web.StreamResponse) -> None:
    """Nobody makes a connection work for hundreds of requests that were sent at once."""
    response.headers.pop("Server", None)  # nobody needs to know which versions serve him
    if not isinstance(response, web.WebSocketResponse):
        response.force_close()


async def _say_ok(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


@web.middleware
async def _root(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except (web.HTTPException, ConnectionError):
        raise
    except Exception:  # noqa: BLE001 - the root of a request; only this connection ends
        _LOG.exception("request.failed", path=request.path)
        return web.Response(status=500, text="E_INTERNAL\n")
