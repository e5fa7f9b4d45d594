"""The console's web server: 127.0.0.1 only, every request judged before it is handled."""

import asyncio
import errno
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from protocol.errors import EnvironmentFault, ErrorCode, ExitStatus, SupportError, exit_status
from technician_client.console.access import COOKIE_NAME, ConsoleAccess, RequestFacts, Verdict
from technician_client.console.assets import OPEN_PATHS, read_assets
from technician_client.console.backend import ConsoleApp
from technician_client.console.headers import FIXED_HEADERS, content_security_policy
from technician_client.console.page_messages import PAGE_MESSAGE_LIMIT_BYTES, Problem, problem
from technician_client.console.peer_owner import is_own_peer
from technician_client.console.routes import (
    SOCKET_PATHS,
    ConsoleRoutes,
    Entry,
    RouteParts,
    problem_answer,
    refused_page,
)

HOST = "127.0.0.1"
_SHUTDOWN_S = 2.0
_NOT_FOUND = Problem("E_USAGE", "There is nothing at this address.", "Open the console's first page.")
_STATUS = {ExitStatus.UNREACHABLE: 502, ExitStatus.ENVIRONMENT: 500, ExitStatus.INTERNAL: 500}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ConsoleOptions:
    """How the console is opened. Port 0 takes a free one; `on_ready` gets the single-use address."""

    port: int = 0
    connect_device_id: str = ""
    is_kiosk: bool = False
    on_ready: Callable[[str], None] | None = None


class ConsoleServer:
    """One running console; `start` once, `stop` may be called twice."""

    def __init__(self, app: ConsoleApp, options: ConsoleOptions) -> None:
        self._app = app
        self._options = options
        self._assets = read_assets()
        self._runner: web.AppRunner | None = None
        self._routes: ConsoleRoutes | None = None
        self._access = ConsoleAccess(0)

    async def start(self) -> str:
        """Listen, and return the single-use address.

        Raises:
            EnvironmentFault: E_PORT_IN_USE.
        """
        self._routes = ConsoleRoutes(
            RouteParts(
                app=self._app,
                access=self._access,
                assets=self._assets,
                entry=Entry(self._options.connect_device_id, self._options.is_kiosk),
            )
        )
        web_app = web.Application(middlewares=[self._guard], client_max_size=PAGE_MESSAGE_LIMIT_BYTES)
        web_app.on_response_prepare.append(self._add_headers)
        web_app.add_routes(self._routes.table())
        # aiohttp would print a traceback for each malformed request of whoever finds the port
        quiet = logging.Logger("aiohttp.quiet", logging.CRITICAL)
        self._runner = web.AppRunner(web_app, access_log=None, logger=quiet, shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, self._options.port).start()
        except OSError as exc:
            await self.stop()
            code = ErrorCode.E_PORT_IN_USE if exc.errno == errno.EADDRINUSE else ErrorCode.E_CONFIG
            raise EnvironmentFault(f"{HOST}:{self._options.port}: {exc.strerror}", code=code) from None
        self._access.port = int(self._runner.addresses[0][1])
        return self.new_address()

    def new_address(self) -> str:
        """One more single-use address of the running console."""
        return f"http://{HOST}:{self._access.port}/enter?key={self._access.mint_key(time.monotonic())}"

    async def stop(self) -> None:
        """Close every page, end their sessions, stop listening."""
        runner, self._runner = self._runner, None
        if self._routes is not None:
            await self._routes.close()
        if runner is not None:
            await runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return self._refusal(request) or await handler(request)
        except web.HTTPRequestEntityTooLarge:
            return problem_answer(problem(ErrorCode.E_MESSAGE_SIZE), 413)
        except web.HTTPException as exc:
            return problem_answer(_NOT_FOUND, exc.status)
        except SupportError as exc:
            log.info("console.refused", path=request.path, code=str(exc.code), detail=exc.detail)
            return problem_answer(problem(exc.code), _STATUS.get(exit_status(exc.code), 409))
        except ConnectionError:
            raise  # the page went away; the server takes that for what it is
        except Exception:
            log.exception("console.request_failed", path=request.path)
            return problem_answer(problem(ErrorCode.E_INTERNAL), 500)

    def _refusal(self, request: web.Request) -> web.Response | None:
        if not self._is_own_peer(request):
            return problem_answer(problem(ErrorCode.E_CONSOLE_ORIGIN), 403)
        headers = request.headers
        facts = RequestFacts(
            method=request.method,
            host=headers.get("Host", ""),
            origin=headers.get("Origin", ""),
            cookie=request.cookies.get(COOKIE_NAME, ""),
            fetch_site=headers.get("Sec-Fetch-Site", ""),
            is_websocket=headers.get("Upgrade", "").lower() == "websocket" or request.path in SOCKET_PATHS,
            is_open=request.path in OPEN_PATHS,
        )
        match self._access.judge(facts):
            case Verdict.ALLOWED:
                return None
            case Verdict.WRONG_HOST:
                return problem_answer(problem(ErrorCode.E_CONSOLE_ORIGIN), 421)
            case Verdict.WRONG_ORIGIN:
                return problem_answer(problem(ErrorCode.E_CONSOLE_ORIGIN), 403)
            case Verdict.NO_COOKIE if request.path.startswith("/api/"):
                return problem_answer(problem(ErrorCode.E_CONSOLE_TOKEN), 401)
            case Verdict.NO_COOKIE:
                return refused_page(self._assets, 401)

    def _is_own_peer(self, request: web.Request) -> bool:
        peer = request.transport.get_extra_info("peername") if request.transport else None
        return peer is None or is_own_peer(peer[0], peer[1], self._access.port)

    async def _add_headers(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(FIXED_HEADERS)
        response.headers["Content-Security-Policy"] = content_security_policy(self._access.hosts)
        response.headers.pop("Server", None)


async def run_console(app: ConsoleApp, options: ConsoleOptions) -> None:
    """Serve the console until cancelled.

    Raises:
        EnvironmentFault: E_PORT_IN_USE.
    """
    server = ConsoleServer(app, options)
    address = await server.start()
    try:
        if options.on_ready is not None:
            options.on_ready(address)
        await asyncio.Event().wait()
    finally:
        await server.stop()
