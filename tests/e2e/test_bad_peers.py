"""Attacks on every socket while a session runs: each is refused with its code, and the session goes on."""

import contextlib
import copy
import json
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from agent.desktop.ipc_messages import TO_COMMAND_LINE_CODEC, IpcRefused
from protocol.aio.log_in import connect_control, log_in, open_session_wire
from protocol.aio.tunnel_io import TunnelIO
from protocol.aio.wire import Wire
from protocol.certificates import Scope
from protocol.errors import ErrorCode, SupportError
from protocol.identity import Identity
from protocol.ids import DeviceId
from protocol.limits import CONTROL_MESSAGE_LIMIT_BYTES
from protocol.messages import control
from protocol.tunnel import Tunnel, TunnelEnd
from protocol.version import PROTOCOL_VERSION
from technician_client.organisation import OrganisationFolder
from tests.e2e.steps import until
from tests.support.forged import expired_device, expired_technician
from tests.support.office import organisation_with
from tests.support.organisation import Organisation
from tests.support.person import PROMPT, Person
from tests.support.relay_process import ControlClient
from tests.support.running_session import ConsolePage, RunningSession
from tests.support.said import Said
from tests.support.system import WholeSystem

pytestmark = pytest.mark.real

E = ErrorCode
SOCKET_TIMEOUT_S = 5.0
ANSWER_LIMIT_BYTES = 1 << 20
TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True, slots=True)
class Target:
    """The running system, its organisation's real root, and the session that has to go on."""

    system: WholeSystem
    organisation: Organisation
    page: ConsolePage
    session: RunningSession
    person: Person

    @property
    def relay(self) -> dict[str, str]:
        """Address and id of the relay."""
        document: dict[str, str] = json.loads((self.system.technician_folder / "relay.json").read_text())
        return document

    async def log_in(self, identity: Identity) -> ControlClient:
        """A control link; raises the relay's refusal."""
        wire = await connect_control(self.relay["url"])
        try:
            welcome, _ = await log_in(wire, identity, self.relay["relay_id"])
        except BaseException:
            await wire.close()
            raise
        return ControlClient(wire, welcome)

    async def session_wire(self) -> tuple[Wire, str]:
        """A session socket to the device, by a technician whom the relay knows; and the session's id."""
        client = await self.log_in(self.organisation.technician("eve"))
        try:
            await client.send(control.OpenSession(1, DeviceId(self.system.device_id)))
            opened = await client.wait_for(control.SessionOpened)
            wire = await open_session_wire(self.relay["url"], opened.route, opened.ticket)
            return wire, opened.session_id
        finally:
            await client.close()

    def records(self, session_id: str = "") -> list[dict[str, Any]]:
        """The agent's audit records, of one session if it is named."""
        lines = (self.system.agent_folder / "audit.jsonl").read_bytes().splitlines()
        records = [json.loads(line) for line in lines]
        return [one for one in records if session_id in ("", one["session_id"])]

    def refusal(self, session_id: str) -> str:
        """The code with which the agent's audit log says that it refused or ended this session."""
        kinds = {"session.refused": "code", "session.ended": "cause"}

        def found() -> list[str]:
            records = self.records(session_id)
            return [str(one["facts"][kinds[one["kind"]]]) for one in records if one["kind"] in kinds]

        until(lambda: bool(found()))
        [code] = found()
        return code


@pytest.fixture(scope="module")
def target(system: WholeSystem) -> Iterator[Target]:
    """A session in which the person allowed the screen; it has to outlive this module."""
    person = Person(system.screen)
    page = ConsolePage(system.console_url())
    passphrase = (system.folder / "organisation-passphrase").read_bytes().strip()
    root = OrganisationFolder(system.technician_folder / "org").unlock(passphrase)
    organisation = organisation_with(root)
    with RunningSession(page, system.device_id) as session:
        session.ask()
        person.wait_for_prompt()
        person.allow()
        session.wait_for_picture()
        yield Target(system, organisation, page, session, person)
        session.assert_alive()
    for log in (system.folder / "log").glob("*.log"):
        assert TRACEBACK not in log.read_text(errors="replace"), log


@pytest.fixture(autouse=True)
def goes_on(target: Target) -> Iterator[None]:
    """After each attack the session still shows pictures, and the person was asked nothing."""
    yield
    target.session.assert_alive()
    assert not target.person.sees(PROMPT)


# -- certificates inside the tunnel


def borrowed(target: Target, chain_of: Identity) -> Identity:
    """An identity that gets past its own check of the device, whatever its own chain is."""
    return Identity(chain_of.key, chain_of.chain, target.organisation.root_der)


IMPOSTORS: dict[str, tuple[Callable[[Organisation], Identity], ErrorCode]] = {
    "a technician whose certificate has expired": (expired_technician, E.E_CERT_EXPIRED),
    "a device": (Organisation.device, E.E_CERT_ROLE),
    "an admin": (Organisation.admin, E.E_CERT_ROLE),
    "a technician of another organisation": (
        lambda _: Organisation("Quickstart").technician(),
        E.E_CERT_CHAIN,
    ),
    "a technician of other groups": (
        lambda one: one.technician(scope=Scope(frozenset({"lab"}), frozenset({"*"}))),
        E.E_CERT_SCOPE,
    ),
}


@pytest.mark.parametrize("who", IMPOSTORS)
async def test_an_impostor_in_the_tunnel_is_refused_and_nobody_is_asked(target: Target, who: str) -> None:
    make, code = IMPOSTORS[who]
    wire, session_id = await target.session_wire()
    tunnel = TunnelIO(wire, Tunnel(TunnelEnd.TECHNICIAN, borrowed(target, make(target.organisation))))
    with contextlib.suppress(SupportError):
        await tunnel.handshake()
        await tunnel.receive()
        await tunnel.receive()
    assert target.refusal(session_id) == code
    await tunnel.close()
    kinds = {record["kind"] for record in target.records(session_id)}
    assert kinds == {"session.offered", "session.refused"}
    assert not target.person.sees(PROMPT)


# -- messages inside the tunnel


def frame(kind: int, channel_no: int, payload: bytes) -> bytes:
    """A frame of `protocol.channels`, whatever is in it."""
    return struct.pack(">BHH", kind, channel_no, len(payload)) + payload


BROKEN = {
    "noise": (frame(1, 0, b"\xc1 noise"), E.E_MESSAGE_FORMAT),
    "a message of an unknown kind": (frame(1, 0, b"\x81\xa4type\xafsession.nothing"), E.E_MESSAGE_UNKNOWN),
    "a message over the limit": (frame(0, 0, b"\0" * 16_000) * 17, E.E_MESSAGE_SIZE),
    "a channel that is not open": (frame(1, 77, b"noise"), E.E_CHANNEL_UNKNOWN),
    "a frame of an unknown kind": (frame(9, 0, b"noise"), E.E_MESSAGE_FORMAT),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_what_breaks_the_protocol_ends_its_own_session_alone(target: Target, what: str) -> None:
    sent, code = BROKEN[what]
    wire, session_id = await target.session_wire()
    tunnel = TunnelIO(wire, Tunnel(TunnelEnd.TECHNICIAN, target.organisation.technician("eve")))
    await tunnel.handshake()
    with contextlib.suppress(SupportError):
        await tunnel.send(sent)
        while True:
            await tunnel.receive()
    await tunnel.close()
    assert target.refusal(session_id) == code


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01" + b"\xff" * 500, b"GET / HTTP/1.1\r\n\r\n", b"\0" * 4096]
)
async def test_garbage_instead_of_a_handshake_is_refused(target: Target, garbage: bytes) -> None:
    wire, session_id = await target.session_wire()
    await wire.send(garbage)
    assert target.refusal(session_id) == E.E_HANDSHAKE
    await wire.close()


# -- the relay's sockets


async def refusal_of_log_in(target: Target, identity: Identity) -> ErrorCode:
    """The code with which the relay turns this identity away."""
    with pytest.raises(SupportError) as raised:
        await target.log_in(identity)
    return raised.value.code


async def test_the_relay_turns_away_who_does_not_belong(target: Target) -> None:
    ours, other = target.organisation, Organisation("Other")
    assert await refusal_of_log_in(target, other.technician()) == E.E_ORG_UNKNOWN
    assert await refusal_of_log_in(target, other.device()) == E.E_ORG_UNKNOWN
    assert await refusal_of_log_in(target, expired_technician(ours)) == E.E_CERT_EXPIRED
    assert await refusal_of_log_in(target, expired_device(ours)) == E.E_CERT_EXPIRED
    assert await refusal_of_log_in(target, ours.policy_signer()) == E.E_CERT_ROLE


async def test_a_certificate_without_its_key_does_not_log_in(target: Target) -> None:
    ours = target.organisation
    copied, own = ours.technician(), ours.technician("eve")
    client = ControlClient(await connect_control(target.relay["url"]), control.Welcome("", "", "", 15.0, ""))
    challenge = await client.wait_for(control.Challenge)
    signature = own.sign(control.login_transcript(challenge.nonce, challenge.relay_id))
    log_in_message = control.LogIn(PROTOCOL_VERSION, list(copied.chain), signature)
    await client.wire.send(control.PRE_LOGIN_CODEC.encode(log_in_message))
    assert (await client.wait_for(control.Refused)).code == E.E_LOGIN_SIGNATURE
    await client.close()


async def test_a_role_may_send_its_own_messages_alone(target: Target) -> None:
    ours, device_id = target.organisation, DeviceId(target.system.device_id)
    for identity, message in (
        (ours.device(), control.OpenSession(7, device_id)),
        (ours.device(), control.ListDevices(7)),
        (ours.device(), control.SetDeviceStatus(7, device_id, "removed")),
        (ours.technician("eve"), control.SetDeviceStatus(7, device_id, "removed")),
        (ours.technician("eve"), control.PublishPolicy(7, 99, b"policy")),
        (ours.technician("eve"), control.DeviceFacts("name", "linux", "1")),
    ):
        client = await target.log_in(identity)
        await client.send(message)
        refused = await client.wait_for(control.Refused)
        assert refused.code == E.E_CERT_ROLE
        await client.close()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\xc1 noise", E.E_MESSAGE_FORMAT),
        (b"\x81\xa4type\xafcontrol.nothing", E.E_MESSAGE_UNKNOWN),
        (b"\0" * (CONTROL_MESSAGE_LIMIT_BYTES + 1), E.E_MESSAGE_SIZE),
    ],
    ids=["noise", "unknown", "oversized"],
)
@pytest.mark.parametrize("is_logged_in", [True, False])
async def test_a_broken_control_message_is_refused_with_its_code(
    target: Target, message: bytes, code: ErrorCode, is_logged_in: bool
) -> None:
    if is_logged_in:
        client = await target.log_in(target.organisation.technician("eve"))
    else:
        client = ControlClient(
            await connect_control(target.relay["url"]), control.Welcome("", "", "", 15.0, "")
        )
        await client.wait_for(control.Challenge)
    try:
        await client.wire.send(message)
        refused = await client.wait_for(control.Refused)
    except SupportError as exc:  # the WebSocket's own close can come first, RFC 6455 section 7.4.1
        assert exc.code in (code, E.E_LINK_LOST)
    else:
        assert (refused.request_no, refused.code) == (0, code)
    await client.close()


def session_port(target: Target) -> int:
    """Where the relay's session worker listens (quickstart takes a pair of ports)."""
    return int(target.relay["url"].rpartition(":")[2]) + 1


async def test_a_made_up_ticket_is_refused(target: Target) -> None:
    route = control.SessionRoute(session_port(target), "/v1/session")
    for ticket in (b"", b"noise", b"\0" * 600):
        with pytest.raises(SupportError) as raised:
            await open_session_wire(target.relay["url"], route, ticket)
        assert raised.value.code in (E.E_TICKET, E.E_MESSAGE_SIZE, E.E_LINK_LOST)


GARBAGE = {
    "nothing": b"",
    "noise": bytes(range(256)) * 16,
    "a megabyte of zeros": b"\0" * (1 << 20),
    "a line that never ends": b"GET /" + b"a" * (1 << 18),
    "a TLS hello": bytes.fromhex("1603010200010001fc0303") + b"\xaa" * 512,
    "a bad request": b"GET /%00%ff\r\nHost: \xff\r\nContent-Length: -1\r\n\r\n",
    "an upgrade and noise": (
        b"GET /v1/control HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" + b"\xff" * 4096
    ),
}


def throw(connected: socket.socket, garbage: bytes) -> None:
    """Write it, and see the other side end the connection or say something bounded about it."""
    with connected, contextlib.suppress(OSError):
        connected.settimeout(SOCKET_TIMEOUT_S)
        connected.sendall(garbage)
        connected.shutdown(socket.SHUT_WR)
        received = 0
        while piece := connected.recv(1 << 16):
            received += len(piece)
            assert received < ANSWER_LIMIT_BYTES


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_on_a_port_disturbs_nobody(target: Target, what: str) -> None:
    console_port = int(target.page.netloc.rpartition(":")[2])
    for port in (session_port(target) - 1, session_port(target), console_port):
        throw(socket.create_connection(("127.0.0.1", port), SOCKET_TIMEOUT_S), GARBAGE[what])


# -- the agent's own socket


def local(target: Target) -> socket.socket:
    """A connection to the agent's Unix socket."""
    connected = socket.socket(socket.AF_UNIX)
    connected.settimeout(SOCKET_TIMEOUT_S)
    connected.connect(str(target.system.agent_folder / "run" / "agent.sock"))
    return connected


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ((5).to_bytes(4, "big") + b"noise", E.E_MESSAGE_FORMAT),
        ((16).to_bytes(4, "big") + b"\x81\xa4type\xabipc.nothing"[:16], E.E_MESSAGE_FORMAT),
        ((1 << 30).to_bytes(4, "big"), E.E_MESSAGE_FORMAT),
    ],
    ids=["noise", "cut", "oversized"],
)
def test_a_broken_local_message_is_refused(target: Target, sent: bytes, code: ErrorCode) -> None:
    with local(target) as connected:
        connected.sendall(sent)
        answer = connected.makefile("rb").read()
    refused = TO_COMMAND_LINE_CODEC.decode(answer[4:])
    assert isinstance(refused, IpcRefused)
    assert refused.code == code
    assert target.system.agent("status", "--json").returncode == 0


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_on_the_agents_socket_disturbs_nobody(target: Target, what: str) -> None:
    throw(local(target), GARBAGE[what])


# -- the console


def test_a_console_address_works_once(target: Target) -> None:
    status, _, _ = target.page.get("/enter?key=made-up", cookie="")
    assert status == 403
    console = target.system.start_alongside("console", "--no-browser", "--json")
    try:
        assert console.stdout is not None
        url = json.loads(console.stdout.readline())["url"]
        page = ConsolePage(url)
        path = url.partition(page.netloc)[2]
        status, _, body = page.get(path, cookie="")
        assert status == 403
        assert b"alongside console" in body
        assert page.get("/api/me")[0] == 200
        assert page.get("/api/me", cookie="")[0] == 401
    finally:
        console.send_signal(signal.SIGINT)
        _, remarks = console.communicate(timeout=10)
    assert (console.returncode, TRACEBACK in remarks) == (130, False)


def test_a_socket_of_the_console_needs_cookie_and_origin(target: Target) -> None:
    for path in ("/api/live", f"/api/session?device={target.system.device_id}"):
        for header, value in (("origin", "http://evil.example"), ("cookie", "alongside_console=guess")):
            stranger = copy.copy(target.page)
            setattr(stranger, header, value)
            with pytest.raises(InvalidStatus) as raised, stranger.socket(path):
                pass
            assert raised.value.response.status_code in (401, 403)


@pytest.mark.parametrize("message", ["noise", '{"type":"nothing"}', "[" * 60_000, "x" * 70_000, b"bytes"])
def test_a_broken_message_of_a_page_ends_that_page_alone(target: Target, message: str | bytes) -> None:
    with target.page.socket("/api/session?device=no-device") as unknown:
        assert "E_DEVICE_UNKNOWN" in str(unknown.recv(SOCKET_TIMEOUT_S))
    with target.page.socket(f"/api/session?device={target.system.device_id}") as opened:
        assert json.loads(opened.recv(SOCKET_TIMEOUT_S))["type"] == "ready"
        opened.send(message)
        with contextlib.suppress(ConnectionClosed):
            while json.loads(opened.recv(SOCKET_TIMEOUT_S))["type"] != "over":
                pass


# -- a technician who gives up


def test_ctrl_c_while_the_person_is_asked_takes_the_prompt_away(target: Target) -> None:
    asking = target.system.start_alongside("diagnose", target.system.device_id, "--json")
    target.person.wait_for_prompt()
    asking.send_signal(signal.SIGINT)
    output, remarks = asking.communicate(timeout=10)
    assert (asking.returncode, output) == (130, "")
    assert TRACEBACK not in remarks
    until(lambda: not target.person.sees(PROMPT))


# -- a disk that fills up while all is running


@contextlib.contextmanager
def full_disk(pids: list[int]) -> Iterator[None]:
    """No file of these processes can grow any more, logs included."""
    processes = [psutil.Process(pid) for pid in pids]
    _, hard = processes[0].rlimit(psutil.RLIMIT_FSIZE)
    try:
        for process in processes:
            process.rlimit(psutil.RLIMIT_FSIZE, (0, hard))
        yield
    finally:
        for process in processes:
            process.rlimit(psutil.RLIMIT_FSIZE, (hard, hard))


def assert_fault(ended: "subprocess.CompletedProcess[str]", code: ErrorCode) -> None:
    """See `Said.assert_fault`."""
    Said(ended.returncode, ended.stdout, ended.stderr).assert_fault(code)


def test_a_full_disk_at_the_agent_lets_nothing_new_happen(target: Target) -> None:
    words = ("diagnose", target.system.device_id, "--json")
    with full_disk([target.system.pids["agent"]]):
        assert_fault(target.system.alongside(*words, status=None), E.E_AUDIT_WRITE)
        target.session.assert_alive()
        assert not target.person.sees(PROMPT)
    asking = target.system.start_alongside(*words)
    target.person.wait_for_prompt()
    target.person.refuse()
    output, remarks = asking.communicate(timeout=30)
    assert_fault(subprocess.CompletedProcess([], asking.returncode, output, remarks), E.E_CONSENT_DENIED)


def test_a_full_disk_at_the_relay_refuses_what_has_to_be_kept(target: Target) -> None:
    passphrase = ("--passphrase-file", str(target.system.folder / "organisation-passphrase"))
    target.system.alongside("policy", "sign", *passphrase)
    relay = psutil.Process(target.system.pids["relay"])
    with full_disk([relay.pid, *(child.pid for child in relay.children())]):
        assert_fault(target.system.alongside("policy", "publish", "--json", status=None), E.E_RELAY_STORE)
        target.session.assert_alive()
    target.system.alongside("policy", "publish", "--json")
