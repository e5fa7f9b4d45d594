"""A real console on loopback, attacked over HTTP (THREATS.md, WEB-01 to WEB-09)."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from yarl import URL

from protocol.errors import EnvironmentFault, ErrorCode, Unreachable
from technician_client.console.access import COOKIE_NAME
from technician_client.console.assets import read_assets
from technician_client.console.server import ConsoleOptions, ConsoleServer, run_console
from tests.support.console_fakes import DESK, FakeConsoleApp

pytestmark = [pytest.mark.real, pytest.mark.beside]

PATHS = ["/", "/device", "/session", "/session?device=x&kiosk=1", "/api/me", "/api/devices", "/api/catalogue"]
PATHS += [f"/static/{name}" for name in read_assets() if not name.endswith((".html", ".css", ".svg"))]
# WebAssembly for the picture decoder; text is never evaluated
SCRIPTS = "script-src 'self' 'wasm-unsafe-eval'"
SOCKETS = ["/api/live", f"/api/session?device={DESK}"]


@dataclass
class Console:
    """A running console and a browser without a cookie, which never follows redirects."""

    app: FakeConsoleApp
    server: ConsoleServer
    entry: URL
    http: aiohttp.ClientSession

    @property
    def origin(self) -> str:
        return str(self.entry.origin())

    def at(self, path: str) -> URL:
        return URL(self.origin + path, encoded=True)

    async def cookie(self) -> dict[str, str]:
        async with self.http.get(self.server.new_address(), allow_redirects=False) as answer:
            value = answer.cookies[COOKIE_NAME].value
        return {"Cookie": f"{COOKIE_NAME}={value}"}


@pytest.fixture
async def console() -> AsyncIterator[Console]:
    app = FakeConsoleApp()
    server = ConsoleServer(app, ConsoleOptions())
    entry = URL(await server.start())
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield Console(app, server, entry, http)
    await server.stop()


async def test_web_08_the_address_works_once_and_leads_to_the_device_list(console: Console) -> None:
    async with console.http.get(console.entry, allow_redirects=False) as answer:
        assert answer.status == 303
        assert answer.headers["Location"] == "/"
        cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/" in cookie
    assert console.entry.query["key"] not in cookie
    async with console.http.get(console.entry, allow_redirects=False) as answer:
        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers
        assert "alongside console" in await answer.text()


async def test_a_prefetch_does_not_spend_the_address(console: Console) -> None:
    headers = {"Sec-Purpose": "prefetch;prerender"}
    async with console.http.get(console.entry, headers=headers, allow_redirects=False) as answer:
        assert answer.status == 403
    async with console.http.get(console.entry, allow_redirects=False) as answer:
        assert answer.status == 303


@pytest.mark.parametrize("more", ["&next=//attacker.example", "&device=x", "#//attacker.example"])
async def test_web_09_nothing_of_the_request_decides_where_the_address_leads(
    console: Console, more: str
) -> None:
    async with console.http.get(URL(str(console.entry) + more), allow_redirects=False) as answer:
        assert answer.headers["Location"] == "/"


async def test_the_kiosk_address_leads_to_the_kiosk_page() -> None:
    server = ConsoleServer(FakeConsoleApp(), ConsoleOptions(connect_device_id=DESK, is_kiosk=True))
    entry = await server.start()
    try:
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as http, http.get(entry) as answer:
            assert answer.url.path_qs == f"/session?device={DESK}&kiosk=1"
            page = await answer.text()
    finally:
        await server.stop()
    assert '<canvas id="screen"' in page
    assert "<header" not in page


@pytest.mark.parametrize("path", PATHS)
async def test_web_04_without_the_cookie_nothing_is_told(console: Console, path: str) -> None:
    async with console.http.get(console.at(path)) as answer:
        assert answer.status == 401
        text = await answer.text()
    assert "E_CONSOLE_TOKEN" in text
    assert "Reception" not in text
    assert "Ada" not in text


@pytest.mark.parametrize("path", [*PATHS, "/enter", "/static/style.css", "/static/logo.svg", "/no/such"])
async def test_web_03_another_host_name_is_misdirected_even_with_the_cookie(
    console: Console, path: str
) -> None:
    headers = await console.cookie() | {"Host": f"attacker.example:{console.entry.port}"}
    async with console.http.get(console.at(path), headers=headers, allow_redirects=False) as answer:
        assert answer.status == 421
        assert (await answer.json())["code"] == "E_CONSOLE_ORIGIN"


@pytest.mark.parametrize("path", [*PATHS, "/enter", "/static/style.css", "/no/such", "/api/no", *SOCKETS])
@pytest.mark.parametrize("has_cookie", [True, False])
async def test_web_05_07_every_answer_carries_the_strict_headers(
    console: Console, path: str, has_cookie: bool
) -> None:
    headers = await console.cookie() if has_cookie else {}
    async with console.http.get(console.at(path), headers=headers, allow_redirects=False) as answer:
        policy = answer.headers["Content-Security-Policy"].split("; ")
        for part in ("default-src 'none'", SCRIPTS, "style-src 'self'", "frame-ancestors 'none'"):
            assert part in policy
        for part in ("base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'"):
            assert part in policy
        assert "worker-src 'self'" in policy
        assert "trusted-types video-worker" in policy
        assert "unsafe" not in str([part for part in policy if part != SCRIPTS])
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Server" not in answer.headers
        assert b"Traceback" not in await answer.read()


@pytest.mark.parametrize("path", SOCKETS)
@pytest.mark.parametrize("origin", [None, "null", "http://attacker.example", "http://127.0.0.1:1"])
async def test_web_01_a_socket_of_a_foreign_page_is_refused_although_the_cookie_came_along(
    console: Console, path: str, origin: str | None
) -> None:
    headers = await console.cookie() | ({"Origin": origin} if origin else {})
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await console.http.ws_connect(console.at(path), headers=headers)
    assert refusal.value.status == 403
    assert console.app.sessions == []


@pytest.mark.parametrize("path", SOCKETS)
async def test_web_04_a_socket_without_the_cookie_is_refused(console: Console, path: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await console.http.ws_connect(console.at(path), headers={"Origin": console.origin})
    assert refusal.value.status == 401
    assert console.app.sessions == []


async def test_control_of_web_01_our_own_page_gets_a_session_and_leaving_ends_it(console: Console) -> None:
    headers = await console.cookie() | {"Origin": console.origin}
    async with console.http.ws_connect(console.at(SOCKETS[1]), headers=headers) as socket:
        assert (await socket.receive_json(timeout=5))["type"] == "ready"
    await _until_ended(console)
    assert console.app.sessions[0].ended_with == ["technician_left"]


@pytest.mark.parametrize("content", ["x" * 70_000, b"binary", '{"type":"nonsense"}'])
async def test_what_a_page_never_says_ends_its_session(console: Console, content: str | bytes) -> None:
    headers = await console.cookie() | {"Origin": console.origin}
    async with console.http.ws_connect(console.at(SOCKETS[1]), headers=headers) as socket:
        await socket.receive_json(timeout=5)
        await (socket.send_str(content) if isinstance(content, str) else socket.send_bytes(content))
        while not (await socket.receive(timeout=5)).type.name.startswith("CLOS"):
            pass
    await _until_ended(console)


@pytest.mark.parametrize("device", ["", "x", "../..", "d-" + "z" * 20, DESK[:-1]])
async def test_an_unknown_device_is_one_clear_sentence(console: Console, device: str) -> None:
    headers = await console.cookie() | {"Origin": console.origin}
    url = console.at("/api/session").with_query(device=device)
    async with console.http.ws_connect(url, headers=headers) as socket:
        over = await socket.receive_json(timeout=5)
    assert over["type"] == "over"
    assert over["problem"]["code"] in {"E_DEVICE_UNKNOWN", "E_DEVICE_AWAY"}


@pytest.mark.parametrize(
    "path",
    ["/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py", "/static//etc/passwd",
     "/static/%2fetc%2fpasswd", "/static/index.html", "/static/style.css%00.js", "/static/", "/static",
     "/static/screen", "/static/STYLE.css", "/..%5cserver.py", "/api", "/favicon.ico"],
)  # fmt: skip
async def test_a_path_that_is_not_in_the_table_is_not_there(console: Console, path: str) -> None:
    async with console.http.get(console.at(path), headers=await console.cookie()) as answer:
        assert answer.status == 404
        assert set(await answer.json()) >= {"code", "sentence", "remedy"}


async def test_the_decoder_is_served_as_exactly_webassembly(console: Console) -> None:
    path = console.at("/static/vendor/zstd/zstd.wasm")
    async with console.http.get(path, headers=await console.cookie()) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/wasm"
        assert (await answer.read())[:4] == b"\0asm"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD"])
async def test_web_02_reading_addresses_take_no_other_method(console: Console, method: str) -> None:
    headers = await console.cookie() | {"Origin": console.origin}
    async with console.http.request(method, console.at("/api/devices"), headers=headers) as answer:
        assert answer.status == 405


@pytest.mark.parametrize("origin", [None, "null", "http://attacker.example"])
async def test_web_02_a_foreign_form_cannot_sign_the_technician_out(
    console: Console, origin: str | None
) -> None:
    cookie = await console.cookie()
    headers = cookie | {"Content-Type": "text/plain"} | ({"Origin": origin} if origin else {})
    async with console.http.post(console.at("/api/sign-out"), headers=headers, data="{}") as answer:
        assert answer.status == 403
    async with console.http.get(console.at("/api/me"), headers=cookie) as answer:
        assert answer.status == 200


async def test_control_of_web_02_signing_out_ends_the_cookie_and_the_sessions(console: Console) -> None:
    cookie = await console.cookie()
    headers = cookie | {"Origin": console.origin}
    async with console.http.ws_connect(console.at(SOCKETS[1]), headers=headers) as socket:
        await socket.receive_json(timeout=5)
        async with console.http.post(console.at("/api/sign-out"), headers=headers, data="{}") as answer:
            assert answer.status == 204
    await _until_ended(console)
    async with console.http.get(console.at("/api/me"), headers=cookie) as answer:
        assert answer.status == 401


async def test_an_oversized_body_is_refused(console: Console) -> None:
    headers = await console.cookie() | {"Origin": console.origin}
    async with console.http.post(console.at("/api/sign-out"), headers=headers, data=b"x" * 100_000) as answer:
        assert answer.status == 413
        assert (await answer.json())["code"] == "E_MESSAGE_SIZE"


async def test_a_relay_that_cannot_be_reached_is_a_sentence_and_not_a_trace(console: Console) -> None:
    console.app.refusal = Unreachable("10.0.0.7:443 secret detail")
    async with console.http.get(console.at("/api/devices"), headers=await console.cookie()) as answer:
        assert answer.status == 502
        problem = await answer.json()
    assert problem["code"] == "E_RELAY_UNREACHABLE"
    assert "secret detail" not in str(problem)


async def test_a_bug_is_answered_without_a_trace(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.app, "myself", lambda: 1 / 0)
    async with console.http.get(console.at("/api/me"), headers=await console.cookie()) as answer:
        assert answer.status == 500
        assert (await answer.json())["code"] == "E_INTERNAL"


async def test_no_answer_holds_anything_like_a_key(console: Console) -> None:
    cookie = await console.cookie()
    for path in ("/api/me", "/api/devices", "/api/catalogue"):
        async with console.http.get(console.at(path), headers=cookie) as answer:
            text = (await answer.text()).lower()
        for word in ("private", "begin ", "chain", "signature", "ticket", "cookie", "_der"):
            assert word not in text


async def test_web_04_a_program_of_another_user_is_refused_with_our_own_cookie(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = await console.cookie()
    own = os.getuid()
    monkeypatch.setattr("technician_client.console.peer_owner.may_connect", lambda owner, **_: owner != own)
    async with console.http.get(console.at("/api/me"), headers=cookie) as answer:
        assert answer.status == 403


async def test_web_04_it_listens_on_loopback_only(console: Console) -> None:
    assert console.entry.host == "127.0.0.1"
    with pytest.raises(OSError, match=r".*"):
        await asyncio.open_connection("127.0.0.2", console.entry.port)


async def test_a_port_in_use_is_one_clear_refusal(console: Console) -> None:
    with pytest.raises(EnvironmentFault) as refusal:
        await run_console(console.app, ConsoleOptions(port=console.entry.port or 0))
    assert refusal.value.code is ErrorCode.E_PORT_IN_USE


async def _until_ended(console: Console) -> None:
    async with asyncio.timeout(5):
        await console.app.sessions[0].was_ended.wait()
