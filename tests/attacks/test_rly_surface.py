"""RLY-09, RLY-19, RLY-20, SEC-04, SEC-05: what a relay shows and believes, and what its copy is worth."""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.aio.log_in import open_session_wire
from protocol.errors import ErrorCode, SupportError
from protocol.messages.control import SessionRoute
from tests.bench.preauth import Stranger, frame
from tests.relay.test_sessions import meeting
from tests.support.organisation import acme
from tests.support.relay_process import RelayProcess, claim_relay, running_relay

pytestmark = [pytest.mark.real, pytest.mark.beside]

LIMIT_S = 30.0
TELLING = (b"server:", b"python", b"aiohttp", b"picows", b"traceback", b'file "', b"x-powered-by", b"version")


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """One claimed relay with a worker for this module."""
    with running_relay(tmp_path_factory.mktemp("surface") / "data") as relay:
        asyncio.run(claim_relay(relay, acme()))
        yield relay


def answer_to(port: int, request: bytes) -> bytes:
    """Everything that comes back for these bytes, until the relay closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as connected:
        connected.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := connected.recv(65536):
                answer += piece
    return answer


def get(target: str, more: str = "") -> bytes:
    """A request as it goes out."""
    return f"GET {target} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n{more}\r\n".encode("latin-1")


async def code_of_ticket(relay: RelayProcess, route: SessionRoute, ticket: bytes) -> ErrorCode:
    """What somebody with this in the place of a ticket is told."""
    with pytest.raises(SupportError) as caught:
        await open_session_wire(relay.relay_url, route, ticket)
    return caught.value.code


HIDDEN = ("metrics", "debug", "debug/pprof/", "openapi.json", "docs", "redoc", "swagger.json", "stats",
          "server-status", "actuator", "version", "healthz/metrics", ".git/config", "login")  # fmt: skip


@pytest.mark.parametrize("where", ["control", "session"])
def test_rly_19_nothing_tells_how_the_relay_is_made_and_how_it_fares(relay: RelayProcess, where: str) -> None:
    port = relay.control_port if where == "control" else relay.session_port
    for path in HIDDEN:
        answer = answer_to(port, get(f"/{path}"))
        assert answer.split()[1:2] in ([b"404"], [b"400"]), path
        assert not [word for word in TELLING if word in answer.lower()], (path, answer)
    assert not [word for word in TELLING if word in answer_to(port, get("/healthz")).lower()]
    assert answer_to(port, get("/healthz")).startswith(b"HTTP/1.1 200"), "the control"
    assert "Traceback" not in relay.log_text()


SMUGGLED = get("/healthz")
SMUGGLING = {
    "two lengths": b"GET /readyz HTTP/1.1\r\nHost: r\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n"
    + SMUGGLED,
    "length and chunks": b"POST /healthz HTTP/1.1\r\nHost: r\r\nContent-Length: 4\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a hidden encoding": b"POST /healthz HTTP/1.1\r\nHost: r\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "a huge extension": b"POST /healthz HTTP/1.1\r\nHost: r\r\nTransfer-Encoding: chunked\r\n\r\n1;"
    + b"x" * 20_000
    + b"\r\na\r\n0\r\n\r\n"
    + SMUGGLED,
    "bare line feeds": b"GET /healthz HTTP/1.1\nHost: r\n\n" + SMUGGLED,
    "HTTP/0.9": b"GET /healthz\r\n" + SMUGGLED,
}


@pytest.mark.parametrize("kind", SMUGGLING)
def test_rly_20_behind_one_request_there_is_never_another(relay: RelayProcess, kind: str) -> None:
    assert answer_to(relay.control_port, SMUGGLED).count(b"HTTP/1.1 200") == 1, "the control"
    for port in (relay.control_port, relay.session_port):
        assert answer_to(port, SMUGGLING[kind]).count(b"HTTP/1.1 200") <= 1


def refused_from(relay: RelayProcess, forwarded: str) -> str:
    """The line of the log about a bad log-in that came with this header."""
    before = len(relay.log_text())
    one = Stranger(socket.create_connection(("127.0.0.1", relay.control_port), timeout=LIMIT_S))
    one.upgrade("/v1/control", f"X-Forwarded-For: {forwarded}\r\n")
    one.say(frame(2, b"\xff" * 20))
    one.connected.settimeout(LIMIT_S)
    with contextlib.suppress(ConnectionError):
        while one.connected.recv(65536):
            pass
    one.connected.close()
    [line] = [one for one in relay.log_text()[before:].splitlines() if "login.refused" in one]
    return line


async def test_rly_20_nobody_names_his_own_address(relay: RelayProcess, tmp_path: Path) -> None:
    line = await asyncio.to_thread(refused_from, relay, "203.0.113.9")
    assert "203.0.113.9" not in line
    assert "127.0.0.1" in line
    with RelayProcess(tmp_path / "data", workers=0, arguments=("--behind-proxy",)) as behind:
        line = await asyncio.to_thread(refused_from, behind, "198.51.100.1, 203.0.113.9")
    assert "203.0.113.9" in line, "what the proxy itself appended"
    assert "198.51.100.1" not in line, "what the client had said to the proxy"


async def test_rly_09_no_id_is_a_ticket(relay: RelayProcess) -> None:
    both = await meeting(relay)
    await both.offer()
    opened = both.opened
    names = (opened.session_id, both.device.welcome.subject_id, both.device.welcome.organisation_id,
             relay.relay_id)  # fmt: skip
    for name in names:
        assert await code_of_ticket(relay, opened.route, name.encode()) == ErrorCode.E_TICKET
    for wire in await both.meet():  # the control
        await wire.close()
    await both.close()


async def test_sec_04_05_tickets_are_used_once_kept_nowhere_and_worth_nothing_to_a_backup(
    tmp_path: Path,
) -> None:
    with RelayProcess(tmp_path / "data") as relay:
        await claim_relay(relay, acme())
        secret_file = Path(relay.claim_secret_file)
        both = await meeting(relay)
        for wire in await both.meet():
            await wire.close()
        first = both.opened
        assert await code_of_ticket(relay, first.route, first.ticket) == ErrorCode.E_TICKET, "used before"
        await both.offer()
        unused = both.opened
        assert unused.ticket != first.ticket
        await both.close()
        assert await asyncio.to_thread(relay.stop) == 0
        backup = tmp_path / "backup"
        shutil.copytree(relay.data, backup)
        kept = b"".join(one.read_bytes() for one in backup.rglob("*") if one.is_file())
        assert acme().root_der in kept, "the control: this is what is kept"
        for ticket in (first.ticket, unused.ticket):
            assert ticket[-32:] not in kept
        assert b"PRIVATE KEY" not in kept
        assert not secret_file.exists()
    with RelayProcess(backup) as thief:
        route = SessionRoute(thief.session_port, unused.route.path)
        assert await code_of_ticket(thief, route, unused.ticket) == ErrorCode.E_TICKET
