"""RLY: every address of a real relay by every spelling, every message by everybody, injection.

The matrix is made from the relay's own tables: a route or a message without an entry here fails.
"""

import asyncio
import contextlib
import socket
import sqlite3
import typing
from collections.abc import Callable, Iterator

import msgspec
import pytest

from protocol.aio.log_in import connect_control
from protocol.certificates import Role
from protocol.errors import ErrorCode, SupportError
from protocol.identity import Identity
from protocol.messages import control
from protocol.messages.control import FROM_CLIENT_CODEC
from protocol.messages.presence import DeviceList
from relay.access import ACCESS
from tests.support.at_the_relay import refusal_of_log_in
from tests.support.forged import expired_technician
from tests.support.organisation import acme, intruders
from tests.support.relay_process import ControlClient, RelayProcess, claim_relay, log_in_client, running_relay

pytestmark = [pytest.mark.real, pytest.mark.beside]

E = ErrorCode
ABSENT = "d-" + "a" * 20
SERIAL = "ab" * 8
ROUTES = ("/v1/control", "/v1/session", "/healthz", "/readyz")
OPEN = {"/healthz": b"ok\n", "/readyz": b"ready\n"}


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """A relay whose one process serves every route there is, claimed by `acme()`."""
    with running_relay(tmp_path_factory.mktemp("routes") / "data", workers=0) as relay:
        asyncio.run(claim_relay(relay, acme()))
        yield relay


@pytest.fixture(scope="module")
def with_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """A relay whose sessions are served by a worker of its own."""
    with running_relay(tmp_path_factory.mktemp("routes") / "data") as relay:
        asyncio.run(claim_relay(relay, acme()))
        yield relay


def ask(port: int, target: str, method: str = "GET", headers: str = "") -> tuple[int, bytes]:
    """Status and body of one request whose target goes out exactly as it is written."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connected:
        request = f"{method} {target} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n{headers}\r\n"
        connected.sendall(request.encode("latin-1"))
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := connected.recv(65536):
                answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head.startswith(b"HTTP/") else 0), body


SETUP = [
    "setup",
    "install",
    "wizard",
    "admin",
    "init",
    "first-run",
    "claim",
    "SetupWizard.aspx",
    "debug",
    "metrics",
]
SETUP += ["docs", "openapi.json", ".env", "console", "login", "api", "v1", "v1/claim", "v1/admin"]
SPELLINGS: list[Callable[[str], str]] = [
    lambda name: f"/{name}",
    lambda name: f"/{name.title()}",
    lambda name: f"/{name}/",
    lambda name: f"//{name}",
    lambda name: f"/{name}%2f",
    lambda name: f"/{name};x",
    lambda name: f"/./{name}",
    lambda name: f"/healthz/../{name}",
    lambda name: f"/%2e/{name}",
    lambda name: f"/{name}?claim=1",
]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_rly_01_there_is_no_set_up_page_in_any_spelling(one_process: RelayProcess, method: str) -> None:
    for name in SETUP:
        for spelled in SPELLINGS:
            status, body = ask(one_process.control_port, spelled(name), method)
            assert status in (400, 404), spelled(name)
            assert b"relay" not in body.lower()


MISSPELLED: list[Callable[[str], str]] = [
    lambda path: path + "/",
    lambda path: "/" + path,
    lambda path: path.upper(),
    lambda path: path + "%00",
    lambda path: path + "%20",
    lambda path: path + ";x=1",
    lambda path: path + "/..",
    lambda path: path + ".json",
    lambda path: path.replace("/", "%2f"),
    lambda path: "/x/.." + path,
    lambda path: path + "\\",
]
SAME: list[Callable[[str], str]] = [
    lambda path: path + "?x=1",
    lambda path: path.replace("z", "%7a").replace("l", "%6c"),
]


@pytest.mark.parametrize("path", ROUTES)
def test_rly_02_a_route_answers_to_its_own_spelling_alone(one_process: RelayProcess, path: str) -> None:
    as_is = ask(one_process.control_port, path)
    assert as_is[0] == (200 if path in OPEN else 400), "without an upgrade a socket's path is a bad request"
    for misspelled in MISSPELLED:
        assert ask(one_process.control_port, misspelled(path))[0] in (400, 404), misspelled(path)
    for same in SAME:
        assert ask(one_process.control_port, same(path))[0] in (as_is[0], 404), same(path)
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"):
        assert ask(one_process.control_port, path, method)[0] in (400, 404, 405), method
    for header in ("X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override"):
        assert ask(one_process.control_port, "/nothing", headers=f"{header}: {path}\r\n")[0] == 404


@pytest.mark.parametrize(
    "path",
    ["/../relay.sqlite", "/..%2frelay.sqlite", "/%2e%2e/claim-secret", "/healthz/../../etc/passwd",
     "/etc/passwd",
     "/relay.sqlite", "/claim-secret", "/static/../../etc/passwd", "/static/%2e%2e%5cetc", "//etc/passwd",
     "file:///etc/passwd", "/v1/session/../../etc/passwd", "/v1/session/%2e%2e/etc"],
)  # fmt: skip
@pytest.mark.parametrize("relay_name", ["one_process", "with_worker"])
def test_rly_03_no_file_is_served(relay_name: str, path: str, request: pytest.FixtureRequest) -> None:
    relay: RelayProcess = request.getfixturevalue(relay_name)
    for port in {relay.control_port, relay.session_port}:
        status, body = ask(port, path)
        assert status in (0, 400, 404)
        assert b"root:" not in body
        assert b"SQLite" not in body


def test_rly_04_the_routes_of_the_relay_are_the_ones_of_this_matrix() -> None:
    from relay.http_server import HttpServer
    from relay.worker.forwarder import Forwarder
    from relay.worker.tickets import TicketGate

    class NoGateway:
        """Only its name is looked at."""

        async def serve(self, request: object) -> None:
            """Never called."""

    server = HttpServer(
        typing.cast(typing.Any, NoGateway()),
        typing.cast(typing.Any, None),
        Forwarder(TicketGate(b"k" * 32, 0), lambda: 0.0),
    )
    resources = server._runner.app.router.resources()
    assert sorted(one.canonical for one in resources) == sorted(ROUTES)


MESSAGES: dict[type[control.FromClient], control.FromClient] = {
    control.DeviceFacts: control.DeviceFacts("n", "linux", "1"),
    control.SessionDeclined: control.SessionDeclined("s-" + "a" * 26, "E_BUSY"),
    control.OpenSession: control.OpenSession(1, ABSENT),
    control.OpenCodeSession: control.OpenCodeSession(1, "0000"),
    control.HoldNameplate: control.HoldNameplate(1, "1234", b"h" * 16),
    control.ReleaseNameplate: control.ReleaseNameplate("1234"),
    control.ListDevices: control.ListDevices(1),
    control.SetDeviceStatus: control.SetDeviceStatus(1, ABSENT, "approved"),
    control.RevokeToken: control.RevokeToken(1, SERIAL),
    control.ListTokens: control.ListTokens(1),
    control.PublishPolicy: control.PublishPolicy(1, 0, b"{}"),
    control.PublishStatus: control.PublishStatus(1, 0, b"{}"),
    control.KeepAnchor: control.KeepAnchor(1, b"anchor"),
    control.ListAnchors: control.ListAnchors(1, ABSENT),
    control.Ping: control.Ping(1),
    control.Pong: control.Pong(1),
}
FAMILY = typing.get_args(control.FromClient)


def test_rly_04_every_message_that_a_client_may_send_has_an_example_and_a_rule() -> None:
    assert set(FAMILY) == set(MESSAGES) == set(ACCESS)


def _members(role: Role) -> Identity:
    return {Role.DEVICE: acme().device, Role.TECHNICIAN: acme().technician, Role.ADMIN: acme().admin}[role]()


async def _answers(client: ControlClient, message: control.FromClient) -> list[control.FromRelay]:
    """All that the relay says to this, up to the answer of a ping behind it."""
    await client.send(message)
    await client.send(control.Ping(4711))
    heard: list[control.FromRelay] = []
    while control.Pong(4711) not in heard:
        heard.append(await client.receive())
    return heard


@pytest.mark.parametrize("role", [Role.DEVICE, Role.TECHNICIAN, Role.ADMIN])
async def test_rly_04_07_each_message_of_each_role_is_as_in_the_table(
    one_process: RelayProcess, role: Role
) -> None:
    for kind, message in MESSAGES.items():
        client = await log_in_client(one_process, _members(role))
        may = role in ACCESS[kind]
        refusals: list[control.FromRelay] = []
        try:
            async with asyncio.timeout(20):
                refusals = await _answers(client, message)
        except SupportError:
            refusals = client.seen  # a message without a number is refused with its link
        number = getattr(message, "request_no", 0)
        is_barred = control.Refused(number, E.E_CERT_ROLE) in refusals
        assert is_barred is not may, (role, kind.__name__, refusals)
        await client.close()


async def test_rly_04_anybody_else_gets_nothing_but_a_refusal(one_process: RelayProcess) -> None:
    for identity, code in (
        (intruders().technician(), E.E_ORG_UNKNOWN),
        (intruders().admin(), E.E_ORG_UNKNOWN),
        (acme().person(Role.POLICY, "signer"), E.E_CERT_ROLE),
        (expired_technician(acme()), E.E_CERT_EXPIRED),
    ):
        assert await refusal_of_log_in(one_process, identity) == code
    for kind, message in MESSAGES.items():  # whoever did not log in has no message at all
        wire = await connect_control(one_process.relay_url)
        await wire.receive()
        await wire.send(FROM_CLIENT_CODEC.encode(message))
        answer = control.FROM_RELAY_CODEC.decode(await wire.receive())
        assert answer == control.Refused(0, E.E_MESSAGE_UNKNOWN), kind.__name__
        await wire.close()


@pytest.mark.parametrize(
    "more",
    [{"role": "admin"}, {"organisation_id": "0" * 64}, {"status": "approved"}, {"subject_id": "root"},
     {"is_admin": True}, {"device_id": ABSENT}],
)  # fmt: skip
async def test_rly_10_a_field_that_a_message_does_not_have_ends_the_link_and_changes_nothing(
    one_process: RelayProcess, more: dict[str, object]
) -> None:
    device = acme().device()
    client = await log_in_client(one_process, device)
    facts = msgspec.to_builtins(control.DeviceFacts("changed", "linux", "1"))
    await client.wire.send(msgspec.msgpack.encode(facts | more))
    assert await client.wait_for(control.Refused) == control.Refused(0, E.E_MESSAGE_FORMAT)
    await client.close()
    wire = await connect_control(one_process.relay_url)
    await wire.receive()
    await wire.send(msgspec.msgpack.encode({"type": "control.visit", "version": 1, "role": "device"} | more))
    answer = control.FROM_RELAY_CODEC.decode(await wire.receive())
    assert isinstance(answer, control.Refused)
    await wire.close()
    admin = await log_in_client(one_process, acme().admin())
    await admin.send(control.ListDevices(1))
    rows = (await admin.wait_for(DeviceList)).devices
    assert not [row for row in rows if row.name == "changed"]
    await admin.close()


INJECTED = ["' OR '1'='1", "'; DROP TABLE devices; --", '" OR ""="', "%", "_" * 20, "d-%", "\\",
            "1 UNION SELECT 1",
            "$(id)", "`id`", "{{7*7}}", "%s%n", "../../etc/passwd", "\x00", "a\nb", "*",
            "'||pg_sleep(9)--"]  # fmt: skip


def _rows(relay: RelayProcess) -> dict[str, list[tuple[object, ...]]]:
    with contextlib.closing(sqlite3.connect(relay.data / "relay.sqlite", timeout=10)) as database:
        names = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        return {name: sorted(database.execute(f"select * from {name}"), key=repr) for name in names}


async def test_rly_17_what_looks_like_sql_is_an_unknown_name_or_a_text_in_every_parameter(
    with_worker: RelayProcess,
) -> None:
    relay = with_worker
    device = acme().device()
    link = await log_in_client(relay, device)
    admin = await log_in_client(relay, acme().admin())
    technician = await log_in_client(relay, acme().technician())
    before = _rows(relay)
    for text in INJECTED:
        for client, message, code in (
            (admin, control.SetDeviceStatus(1, text, "removed"), E.E_DEVICE_UNKNOWN),
            (admin, control.SetDeviceStatus(1, device.subject_id, text), E.E_MESSAGE_FORMAT),
            (admin, control.RevokeToken(1, text), E.E_MESSAGE_FORMAT),
        ):
            assert control.Refused(1, code) in await _answers(client, message), message
        assert control.AnchorList(1, []) in await _answers(admin, control.ListAnchors(1, text))
    for text in INJECTED[:8]:
        heard = await _answers(technician, control.OpenSession(1, text))
        assert control.Refused(1, E.E_DEVICE_UNKNOWN) in heard
    assert _rows(relay) == before
    for text in INJECTED[:5]:
        await _answers(link, control.DeviceFacts(text, text, text))
        listed = [one for one in await _answers(admin, control.ListDevices(2)) if isinstance(one, DeviceList)]
        assert [row.name for one in listed for row in one.devices if row.device_id == device.subject_id] == [
            text
        ]
    assert "Traceback" not in relay.log_text()
    for client in (link, admin, technician):
        await client.close()
