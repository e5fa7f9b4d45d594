"""The way to the relay: who may be one, and what nobody can switch off (THREATS.md: HSK-10, 11, 13, 18)."""

import asyncio
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from agent.config import load_config
from agent.link import LinkParts, RelayLink
from agent.state import DataDir, RelayAddress
from protocol.aio.backoff import Backoff
from protocol.aio.log_in import connect_control, log_in, open_session_wire
from protocol.aio.wire import connect_wire, socket_url
from protocol.errors import ErrorCode, SupportError
from protocol.messages.control import DeviceFacts, SessionRoute
from protocol.tunnel import Tunnel, TunnelEnd
from technician_client.config import TechnicianConfig
from technician_client.relay_address import checked_relay, read_relay
from tests.support.attacked import refusal_of
from tests.support.hostile_relay import HostileRelay
from tests.support.organisation import acme
from tests.support.relay_process import RelayProcess
from tests.support.tls_server import HOUR, ServerFiles, server_files

pytestmark = [pytest.mark.real, pytest.mark.beside]

E = ErrorCode


# -- HSK-10: who is no relay


def bad_servers(folder: Path) -> dict[str, tuple[ServerFiles, Path | None]]:
    """What a relay presents, and the authority that its client trusts."""
    good, other = server_files(folder / "good"), server_files(folder / "other")
    return {
        "its own authority, which nobody named": (good, None),
        "another authority than the named one": (good, other.authority),
        "a name that is not asked for": (
            wrong := server_files(folder / "w", address="127.0.0.2"),
            wrong.authority,
        ),
        "run out": (old := server_files(folder / "o", from_now=-3 * HOUR, until=-HOUR), old.authority),
        "not yet": (new := server_files(folder / "n", from_now=HOUR, until=3 * HOUR), new.authority),
    }


WRONG = (
    "its own authority, which nobody named",
    "another authority than the named one",
    "a name that is not asked for",
    "run out",
    "not yet",
)


@pytest.mark.parametrize("what", WRONG)
async def test_hsk_10_no_byte_of_ours_goes_to_a_relay_whose_certificate_is_not_good(
    tmp_path: Path, what: str
) -> None:
    files, authority = bad_servers(tmp_path)[what]
    async with HostileRelay(tls=files.context()) as relay:
        assert await refusal_of(connect_control(relay.url, tls_ca=authority)) == E.E_RELAY_TLS
        route = SessionRoute(0, "/v1/session")
        refused = await refusal_of(open_session_wire(relay.url, route, b"ticket", tls_ca=authority))
        assert refused == E.E_RELAY_TLS
        assert relay.overheard.size == 0, "not even the request's headers"


async def test_control_of_hsk_10_a_good_certificate_of_the_named_authority_is_accepted(
    tmp_path: Path,
) -> None:
    files = server_files(tmp_path / "good")
    async with HostileRelay(tls=files.context()) as relay:
        wire = await connect_control(relay.url, tls_ca=files.authority)
        welcome, _ = await log_in(wire, acme().technician(), relay.relay_id)
        assert welcome.subject_id == "ada"
        await wire.close()


async def test_hsk_10_a_relay_of_another_id_is_not_told_who_we_are(tmp_path: Path) -> None:
    """A good certificate and somebody else's relay: the pinned id is checked before anything is signed."""
    async with HostileRelay(relay_id="somebody-else") as relay:
        for identity in (acme().device(), acme().technician()):
            wire = await connect_control(relay.url)
            assert await refusal_of(log_in(wire, identity, "relay-1")) == E.E_RELAY_ID
            await wire.close()
            heard = relay.overheard.spoken()
            assert all(certificate not in heard for certificate in identity.chain)
        assert relay.links == {}


@pytest.mark.parametrize("pinned", ["", "somebody-else"])
async def test_hsk_10_an_agent_holds_its_pin_even_when_it_is_empty(pinned: str) -> None:
    """Only who has no organisation takes whatever relay answers; the control is the right pin."""
    async with HostileRelay() as relay:
        device = acme().device()
        for relay_id, state, code in ((pinned, "refused", E.E_RELAY_ID), (relay.relay_id, "connected", "")):
            parts = LinkParts(
                identity=device,
                relay=RelayAddress(relay.url, relay_id),
                tls_ca=None,
                facts=DeviceFacts("reception-pc", "linux", "1"),
                on_policy=lambda _: None,
                on_status=lambda _: None,
                on_successors=lambda _: None,
                on_offer=AsyncMock(),
            )
            link = RelayLink(parts, Backoff())
            running = asyncio.create_task(link.run())
            async with asyncio.timeout(5):
                await link.settled.wait()
            assert (link.state, link.code) == (state, code)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@contextlib.contextmanager
def listening() -> Iterator[tuple[int, list[bytes]]]:
    """A bystander's port, and everything that anybody sends to it."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connected, _ = server.accept()
                    with connected:
                        heard.append(connected.recv(4096))

        threading.Thread(target=take, daemon=True).start()
        yield server.getsockname()[1], heard
        server.shutdown(socket.SHUT_RDWR)


@contextlib.asynccontextmanager
async def answering(status: int, location: str) -> AsyncIterator[str]:
    """A relay that answers every request with a redirect; its address."""

    def redirect(connection: ServerConnection, _request: Request) -> Response:
        answer = connection.respond(status, "this way")
        answer.headers["Location"] = location
        return answer

    async def unused(_connection: ServerConnection) -> None:
        raise AssertionError("nothing is served here")

    async with serve(unused, "127.0.0.1", 0, process_request=redirect) as server:
        [listener] = server.sockets
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_hsk_10_a_relay_cannot_send_its_clients_somewhere_else_by_a_redirect(status: int) -> None:
    with listening() as (port, heard):
        async with answering(status, f"ws://127.0.0.1:{port}/") as relay_url:
            assert await refusal_of(connect_control(relay_url)) == E.E_RELAY_UNREACHABLE
        assert heard == []


@pytest.mark.parametrize(
    "path", ["@127.0.0.1:PORT/", ":PORT/", ".evil.example/", "", "?a", "#/", "/a b", "/\r\nX: y"]
)
async def test_hsk_10_a_relay_cannot_send_its_clients_somewhere_else_by_a_path(path: str) -> None:
    with listening() as (port, heard):
        route = SessionRoute(0, path.replace("PORT", str(port)))
        for relay_url in ("http://127.0.0.1:1", "https://relay.example"):
            refused = await refusal_of(open_session_wire(relay_url, route, b"ticket"))
            assert refused == E.E_PROTOCOL
        assert heard == []


# -- HSK-13: what nobody can switch off


PLAIN = (
    *("http://relay.example", "ws://relay.example", "http://192.0.2.1:8470", "ftp://relay.example"),
    *("relay.example", "//relay", "https://", "http://0.0.0.0:1"),
    *("http://localhost.evil.example", "http://127.0.0.1.evil.example"),
)


@pytest.mark.parametrize("url", PLAIN)
def test_hsk_13_an_address_without_encryption_is_no_address(url: str) -> None:
    with pytest.raises(SupportError) as refused:
        socket_url(url, "/v1/control")
    assert refused.value.code == E.E_CONFIG
    assert socket_url("https://relay.example", "/v1/control") == "wss://relay.example/v1/control"


@pytest.mark.parametrize(
    "more", [{"verify": False}, {"insecure": True}, {"tls_verify": "no"}, {"tls_ca": None}, {"relay_id": 1}]
)
def test_hsk_13_a_file_that_wants_the_check_switched_off_is_refused(
    tmp_path: Path, more: dict[str, object]
) -> None:
    good = {"url": "https://relay.example", "relay_id": "relay-1"}
    (tmp_path / "relay.json").write_text(json.dumps(good | more))
    for read in (DataDir(tmp_path).read_relay, lambda: read_relay(TechnicianConfig(tmp_path))):
        with pytest.raises(SupportError) as refused:
            read()
        assert refused.value.code == E.E_CONFIG
    (tmp_path / "relay.json").write_text(json.dumps(good))
    assert DataDir(tmp_path).read_relay().url == checked_relay(read_relay(TechnicianConfig(tmp_path))).url


def test_hsk_13_so_is_such_a_setting_of_the_agent(tmp_path: Path) -> None:
    settings = tmp_path / "agent.toml"
    settings.write_text("verify = false\n")
    with pytest.raises(SupportError) as refused:
        load_config(tmp_path, settings, {})
    assert refused.value.code == E.E_CONFIG


async def test_hsk_13_a_join_token_of_an_unencrypted_relay_is_not_used(tmp_path: Path) -> None:
    from agent.given_token import GivenToken
    from agent.joining import WayToRelay, join_organisation

    given = GivenToken(acme().token(relay_url="http://192.0.2.1:8470"), was_shown=False)
    refused = await refusal_of(join_organisation(DataDir(tmp_path / "agent"), given, "pc", WayToRelay()))
    assert refused == E.E_CONFIG
    assert not (tmp_path / "agent" / "identity.pem").exists()


async def test_hsk_13_the_environment_has_no_say_in_whom_we_trust_and_where_keys_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, keys = server_files(tmp_path / "evil"), tmp_path / "keys.log"
    for name, value in {
        "SSL_CERT_FILE": files.authority,
        "SSL_CERT_DIR": files.authority.parent,
        "REQUESTS_CA_BUNDLE": files.authority,
        "CURL_CA_BUNDLE": files.authority,
        "PYTHONHTTPSVERIFY": "0",
        "SSLKEYLOGFILE": keys,
        "OPENSSL_CONF": tmp_path / "openssl.cnf",
    }.items():
        monkeypatch.setenv(name, str(value))
    (tmp_path / "openssl.cnf").write_text("[default]\nMinProtocol = TLSv1\nCipherString = ALL:@SECLEVEL=0\n")
    context = ssl.create_default_context()  # what a program does that believes its environment
    assert context.cert_store_stats()["x509_ca"] == 1
    assert keys.exists()
    keys.unlink()
    async with HostileRelay(tls=files.context()) as relay:
        assert await refusal_of(connect_control(relay.url)) == E.E_RELAY_TLS
        assert relay.overheard.size == 0
        wire = await connect_control(relay.url, tls_ca=files.authority)  # the control: it was named
        await log_in(wire, acme().technician(), relay.relay_id)
        await wire.close()
    device, technician = (
        Tunnel(TunnelEnd.DEVICE, acme().device()),
        Tunnel(TunnelEnd.TECHNICIAN, acme().technician()),
    )
    device.start()
    technician.start()
    for _ in range(3):
        for sender, receiver in ((technician, device), (device, technician)):
            for piece in sender.outgoing():
                receiver.feed(piece)
    technician.send(b"it stands")
    assert not keys.exists()


# -- HSK-11 and HSK-18: the relay's own port


@pytest.fixture(scope="module")
def tls_relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RelayProcess, ServerFiles, Path]]:
    """A real relay that serves TLS, started where SSLKEYLOGFILE is set; and that file."""
    folder = tmp_path_factory.mktemp("tls")
    files, keys = server_files(folder / "files"), folder / "keys.log"
    arguments = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSLKEYLOGFILE", str(keys))
        with RelayProcess(folder / "data", arguments=arguments) as relay:
            yield relay, files, keys


def handshake(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Connect, with whatever this context allows."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=5)
    try:
        return context.wrap_socket(plain, server_hostname="127.0.0.1")
    except BaseException:
        plain.close()
        raise


def any_client(files: ServerFiles, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that speaks this version alone, and would take any cipher."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(files.authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with contextlib.suppress(ValueError):
        context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_hsk_11_a_scan_of_both_ports_of_a_relay_finds_tls_1_3_alone(
    tls_relay: tuple[RelayProcess, ServerFiles, Path],
) -> None:
    relay, files, keys = tls_relay
    versions = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2)
    for port in (relay.control_port, relay.session_port):
        for version in versions:
            with pytest.raises((ssl.SSLError, OSError)):
                handshake(port, any_client(files, version))
        with handshake(port, any_client(files, ssl.TLSVersion.TLSv1_3)) as connected:
            assert connected.version() == "TLSv1.3"
    # a library of ours makes the file when it is imported; what must not be in it is a secret
    assert not keys.exists() or b"SECRET" not in keys.read_bytes(), "HSK-13"


async def test_hsk_18_a_tunnel_that_is_led_to_a_relays_port_never_stands(
    tls_relay: tuple[RelayProcess, ServerFiles, Path],
) -> None:
    """ALPACA: TLS to TLS, but another protocol. Our end trusts no certificate that a web server can have."""
    relay, _, _ = tls_relay
    for port in (relay.control_port, relay.session_port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        technician = Tunnel(TunnelEnd.TECHNICIAN, acme().technician())
        technician.start()
        with pytest.raises(SupportError) as refused:
            await _exchange(technician, reader, writer)
        assert refused.value.code in (E.E_CERT_CHAIN, E.E_CERT_ROLE, E.E_HANDSHAKE)
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


async def _exchange(tunnel: Tunnel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async with asyncio.timeout(5):
        while True:
            for piece in tunnel.outgoing():
                writer.write(piece)
            assert not tunnel.feed(await reader.read(1 << 16)), "it stands, with a web server"


def test_hsk_18_a_web_client_that_is_led_to_an_agents_tunnel_is_refused(tmp_path: Path) -> None:
    """With the technician's own certificate, even: what it does not speak is `alongside/1`."""
    from tests.attacks.test_hsk_stream import client_context, is_let_in

    context = client_context(tmp_path, acme().technician())
    context.set_alpn_protocols(["http/1.1"])
    assert not is_let_in(context)


async def test_hsk_10_what_connects_over_tls_only_speaks_1_3(tmp_path: Path) -> None:
    files = server_files(tmp_path / "good")
    async with HostileRelay(tls=files.context(ssl.TLSVersion.TLSv1_2)) as relay:
        url = socket_url(relay.url, "/v1/control")
        refused = await refusal_of(connect_wire(url, limit_bytes=1 << 20, tls_ca=files.authority))
        assert refused in (E.E_RELAY_TLS, E.E_RELAY_UNREACHABLE)
        assert relay.overheard.size == 0
