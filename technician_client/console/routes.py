"""The console's addresses: pages, JSON, and the two WebSockets."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec
import structlog
from aiohttp import WSMsgType, web

from protocol.errors import ErrorCode, Refused, SupportError
from protocol.ids import DeviceId, is_device_id
from technician_client.console import views
from technician_client.console.access import COOKIE_NAME, ConsoleAccess
from technician_client.console.assets import Asset
from technician_client.console.backend import ConsoleApp, LinkState, PresenceNews
from technician_client.console.live_session import LiveSession
from technician_client.console.page import PageGone
from technician_client.console.page_messages import (
    PAGE_MESSAGE_LIMIT_BYTES,
    Problem,
    SayOver,
    ToPage,
    encode_for_page,
    problem,
)
from technician_client.refusals import TOLD_UNTIL

SOCKET_LIMIT = 16
SOCKET_HEARTBEAT_S = 20.0
# pages that a person may be sent to; nothing of the request goes into a Location header unchecked
_PAGES = {"/": "index.html", "/device": "device.html", "/session": "device.html"}
SOCKET_PATHS = frozenset({"/api/live", "/api/session"})
_KIOSK_PAGE = "kiosk.html"
REFUSED_PAGE = "refused.html"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a fresh entry key leads."""

    connect_device_id: str
    is_kiosk: bool

    @property
    def location(self) -> str:
        """A path of ours."""
        if not self.connect_device_id:
            return "/"
        query = {"device": self.connect_device_id} | ({"kiosk": "1"} if self.is_kiosk else {})
        return f"/session?{urlencode(query)}"


@dataclass(frozen=True, slots=True)
class RouteParts:
    """What the routes are built of."""

    app: ConsoleApp
    access: ConsoleAccess
    assets: Mapping[str, Asset]
    entry: Entry


class ConsoleRoutes:
    """Handlers of one running console. Access was judged before any of them is called."""

    def __init__(self, parts: RouteParts) -> None:
        self._parts = parts
        self._sockets: set[web.WebSocketResponse] = set()

    def table(self) -> list[web.RouteDef]:
        """Every address that is answered."""
        get: list[tuple[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]] = [
            ("/enter", self.enter),
            *((path, self.page) for path in _PAGES),
            *((f"/static/{name}", self.asset) for name in self._parts.assets if not name.endswith(".html")),
            ("/api/me", self.me),
            ("/api/devices", self.devices),
            ("/api/catalogue", self.catalogue),
            ("/api/live", self.live),
            ("/api/session", self.session),
        ]
        routes = [web.get(path, handler, allow_head=False) for path, handler in get]
        return [*routes, web.post("/api/sign-out", self.sign_out)]

    async def close(self) -> None:
        """Close every open page; their sessions end."""
        await asyncio.gather(*(socket.close() for socket in list(self._sockets)), return_exceptions=True)

    # -- pages

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """Redeem the single-use key, or go on with a cookie that is good already."""
        access = self._parts.access
        answer = web.Response(status=303, headers={"Location": self._parts.entry.location})
        if "prefetch" in request.headers.get("Sec-Purpose", ""):
            return web.Response(status=403)
        if access.knows(request.cookies.get(COOKIE_NAME, "")):
            return answer
        try:
            cookie = access.redeem(request.query.get("key", ""), time.monotonic())
        except Refused:
            return refused_page(self._parts.assets, 403)
        answer.set_cookie(COOKIE_NAME, cookie, path="/", httponly=True, samesite="Strict")
        return answer

    async def page(self, request: web.Request) -> web.StreamResponse:
        """One of the pages; the same file whatever the query says, but for the kiosk."""
        is_kiosk = request.path == "/session" and request.query.get("kiosk") == "1"
        return _asset_answer(self._parts.assets[_KIOSK_PAGE if is_kiosk else _PAGES[request.path]])

    async def asset(self, request: web.Request) -> web.StreamResponse:
        """A file of the table."""
        return _asset_answer(self._parts.assets[request.path.removeprefix("/static/")])

    # -- JSON

    async def me(self, _: web.Request) -> web.StreamResponse:
        """Who is at the console, and the relay link."""
        app = self._parts.app
        return _json(views.me_view(app.myself(), app.link_state()))

    async def devices(self, _: web.Request) -> web.StreamResponse:
        """The device list."""
        return _json(views.devices_view(await self._parts.app.devices()))

    async def catalogue(self, _: web.Request) -> web.StreamResponse:
        """The commands of the verified policy."""
        return _json(views.catalogue_view(self._parts.app.catalogue()))

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """Forget the cookie and close every page."""
        await request.read()
        self._parts.access.sign_out(request.cookies.get(COOKIE_NAME, ""))
        await self.close()
        answer = web.Response(status=204)
        answer.del_cookie(COOKIE_NAME, path="/", httponly=True, samesite="Strict")
        return answer

    # -- sockets

    async def live(self, request: web.Request) -> web.StreamResponse:
        """Presence and link news, as they happen."""
        socket = await self._open_socket(request)
        try:
            with self._parts.app.watch() as news:
                telling = asyncio.create_task(_tell_news(socket, news, self._parts.app.link_state()))
                try:
                    async for _ in socket:
                        pass  # the page has nothing to say here
                finally:
                    telling.cancel()
                    await asyncio.gather(telling, return_exceptions=True)
        finally:
            self._sockets.discard(socket)
        return socket

    async def session(self, request: web.Request) -> web.StreamResponse:
        """One session with the device that the query names."""
        socket = await self._open_socket(request)
        try:
            await self._serve_session(socket, request.query.get("device", ""))
        finally:
            self._sockets.discard(socket)
            await socket.close()
        return socket

    async def _serve_session(self, socket: web.WebSocketResponse, device: str) -> None:
        page = SocketPage(socket)
        app = self._parts.app
        try:
            if not is_device_id(device):
                raise Refused("device id", code=ErrorCode.E_DEVICE_UNKNOWN)
            session = await app.open_session(DeviceId(device))
        except SupportError as exc:
            log.info("console.session_refused", code=str(exc.code), detail=exc.detail)
            detail = exc.detail if exc.code in TOLD_UNTIL else ""
            await page.say(SayOver(str(exc.code), problem(exc.code, detail)))
            return
        await LiveSession(session, page, app.catalogue()).run()

    async def _open_socket(self, request: web.Request) -> web.WebSocketResponse:
        if len(self._sockets) >= SOCKET_LIMIT:
            raise Refused("open pages", code=ErrorCode.E_BUSY)
        socket = web.WebSocketResponse(
            max_msg_size=PAGE_MESSAGE_LIMIT_BYTES, compress=False, heartbeat=SOCKET_HEARTBEAT_S
        )
        if not socket.can_prepare(request):
            raise Refused("a WebSocket is needed here", code=ErrorCode.E_USAGE)
        await socket.prepare(request)
        self._sockets.add(socket)
        return socket


class SocketPage:
    """A `Page` over an aiohttp WebSocket."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def say(self, message: ToPage) -> None:
        """Send one text message; waits while the socket is full."""
        await self._send(self._socket.send_str, encode_for_page(message))

    async def show(self, picture: bytes) -> None:
        """Send one binary message; waits while the socket is full."""
        await self._send(self._socket.send_bytes, picture)

    async def hear(self) -> str:
        """The next text; anything else means that the page is gone."""
        message = await self._socket.receive()
        if message.type is not WSMsgType.TEXT:
            raise PageGone
        return str(message.data)

    async def _send(self, send: Callable[..., Awaitable[None]], content: str | bytes) -> None:
        if self._socket.closed:
            raise PageGone
        try:
            await send(content)
        except (ConnectionError, RuntimeError):
            raise PageGone from None


async def _tell_news(
    socket: web.WebSocketResponse, news: "asyncio.Queue[PresenceNews]", first: LinkState
) -> None:
    item: PresenceNews = first
    while not socket.closed:
        view = views.link_view(item) if isinstance(item, LinkState) else views.device_view(item)
        await socket.send_str(msgspec.json.encode(view).decode())
        item = await news.get()


def _asset_answer(asset: Asset) -> web.Response:
    # WebAssembly is taken with exactly its type and no parameter beside it
    charset = "utf-8" if asset.is_text else None
    return web.Response(body=asset.content, content_type=asset.content_type, charset=charset)


def _json(view: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(view), content_type="application/json", status=status)


def problem_answer(why: Problem, status: int) -> web.Response:
    """A refusal as JSON."""
    return _json(why, status)


def refused_page(assets: Mapping[str, Asset], status: int) -> web.Response:
    """The friendly page for a browser without a good address."""
    asset = assets[REFUSED_PAGE]
    return web.Response(body=asset.content, content_type=asset.content_type, charset="utf-8", status=status)
