"""HSK-14, RLY-07, RLY-08, RLY-12 (P2): whoever owns the relay, and all admin log-ins, starts no session.

The agent and the relay are real processes. The thief has the relay's data folder and writes into its
database, logs in as the organisation's own admin and as everybody of an organisation of its own, sends every
message there is, and then takes the relay's place, with its address and its id; outer TLS, whose key would be
stolen too, is not even there. The person at the device would allow everything, so that nothing but
cryptography stands in the way.
"""

import asyncio
import contextlib
import json
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from agent.desktop import ipc_messages as ipc
from agent.local_client import ask_status
from protocol.aio.log_in import open_session_wire
from protocol.aio.tunnel_io import TunnelIO
from protocol.audit import read_record
from protocol.certificates import Role
from protocol.channels import Channels
from protocol.errors import ErrorCode, SupportError
from protocol.grantables import Grantable
from protocol.identity import Identity, load_identity
from protocol.ids import DeviceId, new_session_id
from protocol.limits import NAMEPLATE_HOLDER_BYTES
from protocol.messages import control, session
from protocol.messages.consent import Ask
from protocol.tunnel import Tunnel, TunnelEnd
from technician_client.opening import open_session
from tests.support import forged
from tests.support.attacked import WAIT_S, technician_link, typed, until
from tests.support.desktop import FakeDesktop
from tests.support.device_end import QuietAudit
from tests.support.hostile_middle import Direction
from tests.support.hostile_relay import HostileRelay
from tests.support.hostile_sessions import AttackedSession
from tests.support.office import Office, open_office
from tests.support.organisation import Organisation, der
from tests.support.relay_process import ControlClient, log_in_client, wait_until_gone

pytestmark = [pytest.mark.real, pytest.mark.beside]

E = ErrorCode
CONTROL = Grantable.INPUT_CONTROL
REFUSALS = {"session.offered", "session.refused", "policy.refused", "status.refused"}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A relay, its organisation and one running agent."""
    with open_office(tmp_path_factory.mktemp("stolen")) as opened:
        deadline_s = time.monotonic() + WAIT_S
        while not {"policy.accepted", "status.accepted"} <= {one.kind for one in agent_records(opened)}:
            assert time.monotonic() < deadline_s, "the agent got no documents"
            time.sleep(0.02)
        yield opened


@contextlib.asynccontextmanager
async def desktop_of(office: Office) -> AsyncIterator[FakeDesktop]:
    """The person in front of the real agent, and the record of what happens to their computer."""
    async with FakeDesktop(office.agent / "run" / "agent.sock") as desktop:
        yield desktop


def agent_records(office: Office) -> list[Any]:
    """The agent's own audit log."""
    return [read_record(line) for line in (office.agent / "audit.jsonl").read_bytes().splitlines()]


def stolen(office: Office, folder: Path) -> dict[str, Any]:
    """What is in the relay's database: everything it knows."""
    shutil.copytree(office.relay.data, folder)
    with contextlib.closing(sqlite3.connect(folder / "relay.sqlite")) as database:
        settings = dict(database.execute("select name, value from settings"))
        roots = [row[0] for row in database.execute("select root_der from organisations")]
        devices = [row[0] for row in database.execute("select device_id from devices")]
    return {
        "relay_id": settings["relay_id"],
        "roots": roots,
        "devices": devices,
    }


def write_into_database(office: Office, thief: Organisation) -> None:
    """While the relay runs: the thief's root is one of its organisations, and the device is one of theirs."""
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(" ")
    with contextlib.closing(sqlite3.connect(office.relay.data / "relay.sqlite", timeout=5)) as database:
        database.execute(
            "insert into organisations (organisation_id, root_der, name, claimed_at_utc) values (?, ?, ?, ?)",
            (thief.organisation_id, thief.root_der, "Office", now),
        )
        columns = [row[1] for row in database.execute("pragma table_info(devices)")]
        names = ", ".join(f'"{column}"' for column in columns)
        values = ", ".join("?" if column == "organisation_id" else f'"{column}"' for column in columns)
        database.execute(
            f"insert into devices ({names}) select {values} from devices", (thief.organisation_id,)
        )
        database.execute("update devices set status = 'approved'")
        database.commit()
    time.sleep(1.2)  # a relay asks its database once a second whether it serves somebody else by now


def everything(device_id: str, forged_envelope: bytes) -> dict[type, list[control.FromClient]]:
    """Every message that there is for a relay; a new kind of message has to be added here."""
    ticket_of = new_session_id()
    return {
        control.OpenSession: [control.OpenSession(1, device_id)],
        control.ListDevices: [control.ListDevices(2)],
        control.SetDeviceStatus: [control.SetDeviceStatus(3, device_id, "approved")],
        control.RevokeToken: [control.RevokeToken(4, "0" * 16)],
        control.ListTokens: [control.ListTokens(5)],
        control.PublishPolicy: [control.PublishPolicy(6, 1000, forged_envelope)],
        control.PublishStatus: [control.PublishStatus(7, 1000, forged_envelope)],
        control.SessionDeclined: [control.SessionDeclined(ticket_of, "E_BUSY")],
        control.DeviceFacts: [control.DeviceFacts("the-same-device", "linux", "1")],
        control.OpenCodeSession: [control.OpenCodeSession(10, "0000"), control.OpenCodeSession(11, "1234")],
        control.HoldNameplate: [control.HoldNameplate(12, "1234", b"h" * NAMEPLATE_HOLDER_BYTES)],
        control.ReleaseNameplate: [control.ReleaseNameplate("1234")],
        control.KeepAnchor: [control.KeepAnchor(13, b"an anchor of nobody")],
        control.ListAnchors: [control.ListAnchors(14, device_id)],
        control.Ping: [control.Ping(8)],
        control.Pong: [control.Pong(9)],
    }


async def send_everything(client: ControlClient, messages: list[control.FromClient]) -> None:
    """Send all of it, and hear everything that is answered within a moment."""
    for message in messages:
        await client.send(message)
    with contextlib.suppress(TimeoutError, SupportError):
        async with asyncio.timeout(0.5):
            while True:
                await client.receive()


def assert_nothing_but_refusals(office: Office, desktop: FakeDesktop, before: int) -> list[Any]:
    """The oracle: the desktop was told nothing, and the agent's log has refusals alone."""
    records = agent_records(office)[before:]
    assert {record.kind for record in records} <= REFUSALS
    assert all(not record.succeeded for record in records if record.kind != "session.offered")
    assert (desktop.orders, desktop.injected) == ([], [])
    return records


async def test_hsk_14_rly_08_every_message_of_every_admin_starts_no_session(office: Office) -> None:
    thief, organisation = Organisation("Office"), office.organisation()
    write_into_database(office, thief)
    async with desktop_of(office) as desktop:
        await connected(office)
        before, version = len(agent_records(office)), (await status_of(office)).policy_version
        for identity in (organisation.admin(), thief.admin(), thief.technician(), thief.device()):
            envelope = thief.policy_envelope(version=1000, groups={"default": "unattended"})
            messages = everything(office.device_id, envelope)
            assert set(messages) == set(get_args(control.FromClient)), (
                "a message nobody has attacked with yet"
            )
            client = await log_in_client(office.relay, identity)
            await send_everything(client, [one for kind in messages.values() for one in kind])
            opened = [one for one in client.seen if isinstance(one, control.SessionOpened)]
            assert opened == []
            await client.close()
        records = assert_nothing_but_refusals(office, desktop, before)
        # the admin's relay handed both forged documents on, and the agent took neither
        assert {record.kind for record in records} == {"policy.refused", "status.refused"}
        status = await status_of(office)
        assert (status.sessions, status.policy_version) == ([], version)


async def status_of(office: Office) -> ipc.Status:
    """What the agent says of itself."""
    return await ask_status(office.agent / "run" / "agent.sock")


async def connected(office: Office) -> None:
    """Wait for the agent's link; a test before this one may have moved its relay."""
    async with asyncio.timeout(2 * WAIT_S):
        while (await status_of(office)).link != "connected":  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("role", [Role.POLICY, Role.ENROLLER])
async def test_hsk_18_rly_07_a_certificate_that_is_for_something_else_does_not_log_in(
    office: Office, role: Role
) -> None:
    organisation = office.organisation()
    if role is Role.POLICY:
        identity = organisation.policy_signer()
    else:
        enroller = organisation.enroller()
        identity = Identity(enroller.key, (der(enroller.certificate),), organisation.root_der)
    with pytest.raises(SupportError) as refused:
        await log_in_client(office.relay, identity)
    assert refused.value.code in (E.E_CERT_ROLE, E.E_CERT_CHAIN)


# -- the thief's own relay in the place of the stolen one


def thieves(organisation: Organisation) -> dict[str, Identity]:
    """Everybody that the thief can be: their own people, and what was stolen of the organisation's."""
    own = Organisation("Office")
    made = {
        "own technician": own.technician(),
        "own device": own.device(),
        "own admin": own.admin(),
        "the organisation's admin": organisation.admin(),
        "another of its devices": organisation.device("other-pc"),
        "its policy signer": organisation.policy_signer(),
        "a technician of yesterday": forged.expired_technician(organisation),
    }
    return {
        who: Identity(identity.key, identity.chain, organisation.root_der) for who, identity in made.items()
    }


async def try_a_session(attacked: AttackedSession, identity: Identity, frames: bytes) -> None:
    """Be the technician: shake hands with this identity, and say this whether it was accepted or not."""
    tunnel = Tunnel(TunnelEnd.TECHNICIAN, identity)
    tunnel.start()
    heard = 0
    for _ in range(40):
        for piece in tunnel.outgoing():
            await attacked.send(Direction.TO_DEVICE, piece)
        answers = attacked.frames[Direction.TO_TECHNICIAN]
        if attacked.is_over.is_set() and heard == len(answers):
            return
        try:
            for content in answers[heard:]:
                heard += 1
                if tunnel.feed(content):
                    tunnel.send(frames)
        except SupportError:
            return
        await asyncio.sleep(0.005)


def action() -> bytes:
    """An ask and, without waiting for anything, a keystroke; framed as a technician's end does."""
    channels = Channels()
    channels.send(0, session.FROM_TECHNICIAN_CODEC.encode(Ask(1, ["input.control"], "thief", "", 60)))
    return channels.next_frames(1 << 14)


async def test_hsk_14_a_thief_in_the_relays_place_has_refusals_alone_to_show(
    office: Office, tmp_path: Path
) -> None:
    loot, organisation = stolen(office, tmp_path / "loot"), office.organisation()
    assert organisation.root_der in loot["roots"]
    assert office.device_id in loot["devices"]
    children = office.relay.child_pids()
    office.relay.kill()
    assert all(wait_until_gone(pid) for pid in children), "they hold its ports"
    try:
        relay = HostileRelay(port=office.relay.control_port, relay_id=loot["relay_id"])
        async with relay, desktop_of(office) as desktop:
            await _until_logged_in(relay, office)
            before = len(agent_records(office))
            tried = 0
            for identity in thieves(organisation).values():
                for payload in (action(), typed("thief"), b""):
                    attacked = await relay.offer(office.device_id)
                    await try_a_session(attacked, identity, payload)
                    await attacked.cut()
                    tried += 1
            await until(lambda: len(_ends(office, before)) == tried)
            records = assert_nothing_but_refusals(office, desktop, before)
            codes = {record.facts["code"] for record in records if record.kind == "session.refused"}
            assert codes <= {E.E_CERT_CHAIN, E.E_CERT_ROLE, E.E_CERT_EXPIRED, E.E_HANDSHAKE, E.E_LINK_LOST}
            await _the_control(office, relay, desktop, tmp_path)
    finally:
        office.relay.restart()


def _ends(office: Office, before: int) -> list[Any]:
    return [one for one in agent_records(office)[before:] if one.kind in ("session.refused", "session.ended")]


async def _until_logged_in(relay: HostileRelay, office: Office) -> None:
    await until(lambda: office.device_id in relay.rows, 2 * WAIT_S)


async def _the_control(office: Office, relay: HostileRelay, desktop: FakeDesktop, folder: Path) -> None:
    """The organisation's technician has a session, over the very same relay: it can only carry."""
    ada = load_identity(office.technician / "identity.pem")
    async with technician_link(relay, ada, folder / "ada") as link:
        device_id = DeviceId(office.device_id)
        opened = await open_session(link, device_id, identity=ada, audit=QuietAudit())
        await opened.ask([CONTROL])
        stream = await opened.open_channel(CONTROL)
        await stream.receive()
        await stream.send(typed("by Ada"))
        await desktop.order(ipc.Inject)
        await opened.end()


async def test_hsk_14_tickets_that_were_made_with_a_stolen_key_open_nothing_at_the_agent(
    office: Office, tmp_path: Path
) -> None:
    """The relay's own secrets let one meet a device, and meeting is not being let in."""
    thief = Organisation("Office").technician()
    organisation = office.organisation()
    async with desktop_of(office) as desktop:
        await connected(office)
        client = await log_in_client(office.relay, organisation.technician("mallory"))
        before = len(agent_records(office))
        await client.send(control.OpenSession(1, office.device_id))
        opened = await client.wait_for(control.SessionOpened)
        wire = await open_session_wire(office.relay.relay_url, opened.route, opened.ticket)
        borrowed = Identity(thief.key, thief.chain, organisation.root_der)
        tunnel = TunnelIO(wire, Tunnel(TunnelEnd.TECHNICIAN, borrowed))
        with contextlib.suppress(SupportError):
            await tunnel.handshake()
            await tunnel.send(action())
            await tunnel.receive()
        await tunnel.close()
        await client.close()
        await until(lambda: len(_ends(office, before)) == 1)
        assert_nothing_but_refusals(office, desktop, before)
    assert json.loads((office.technician / "relay.json").read_text())["relay_id"] == office.relay.relay_id
