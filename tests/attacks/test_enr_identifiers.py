"""Identifiers are no secrets, and a device is nobody but a device (THREATS.md, ENR-01, ENR-05, ENR-10)."""

import asyncio
import io
import typing
from dataclasses import replace

import pytest
from rich.console import Console

from protocol.aio.log_in import connect_control, open_session_wire
from protocol.aio.tunnel_io import TunnelIO
from protocol.certificates import Role, verify_chain
from protocol.errors import ErrorCode, SupportError, UsageError
from protocol.identity import Identity
from protocol.messages import control
from protocol.messages.control import FROM_RELAY_CODEC, PRE_LOGIN_CODEC, login_transcript
from protocol.tunnel import Tunnel, TunnelEnd
from protocol.version import PROTOCOL_VERSION
from relay.access import ACCESS
from technician_client.cli.tables import device_table
from technician_client.device_match import match_device
from tests.support import forged
from tests.support.at_the_relay import device_rows, opening, refusal_of, refusal_of_log_in
from tests.support.console_fakes import AWAY, DESK, HOSTILE, device_row
from tests.support.organisation import acme, der, intruders, new_key
from tests.support.relay_process import ControlClient, RelayProcess, log_in_client
from tests.support.wires import wire_pair

pytestmark = [pytest.mark.real, pytest.mark.beside]

C = ErrorCode


async def answer_of(
    relay: RelayProcess, chain: tuple[bytes, ...], signer: Identity, nonce: bytes = b""
) -> str:
    """The code for a log-in with this chain, signed by somebody over the relay's nonce or another one."""
    wire = await connect_control(relay.relay_url)
    try:
        challenge = FROM_RELAY_CODEC.decode(await wire.receive())
        assert isinstance(challenge, control.Challenge)
        signature = signer.sign(login_transcript(nonce or challenge.nonce, challenge.relay_id))
        await wire.send(PRE_LOGIN_CODEC.encode(control.LogIn(PROTOCOL_VERSION, list(chain), signature)))
        answer = FROM_RELAY_CODEC.decode(await wire.receive())
    finally:
        await wire.close()
    return answer.code if isinstance(answer, control.Refused) else type(answer).__name__


def with_the_id_of(victim: Identity) -> tuple[bytes, ...]:
    """A device of a stolen token that calls itself like the victim."""
    enroller, key = acme().enroller(), new_key()
    uri = f"alongside://{acme().organisation_id}/device/{victim.subject_id}"
    forgery = replace(forged.device(acme(), key), uris=(uri,))
    return forgery.sign(enroller.certificate, enroller.key, key.public_key()), der(enroller.certificate)


async def test_enr_01_whoever_knows_a_devices_id_and_certificate_does_not_get_its_place(
    relay: RelayProcess,
) -> None:
    victim, thief = acme().device(), acme().device()
    device = await log_in_client(relay, victim)
    tries = {
        "its chain, another key": (victim.chain, thief, b"", C.E_LOGIN_SIGNATURE),
        "its chain and key, an old nonce": (victim.chain, victim, b"n" * 32, C.E_LOGIN_SIGNATURE),
        "its id under a stolen token": (with_the_id_of(victim), thief, b"", C.E_CERT_SUBJECT),
        "its id under another root": (
            (forged.signed_by_root(intruders(), forged.person(acme(), Role.DEVICE, victim.subject_id)),),
            thief, b"", C.E_CERT_CHAIN,
        ),
    }  # fmt: skip
    for name, (chain, signer, nonce, code) in tries.items():
        assert await answer_of(relay, chain, signer, nonce) == code, name
    # nobody took its place: the link that was there is still the one that sessions are offered on
    technician = await log_in_client(relay, acme().technician())
    assert await opening(technician, victim.subject_id) == "opened"
    assert (await device.wait_for(control.SessionOffered)).session_id
    for client in (technician, device):
        await client.close()


async def test_enr_01_guessed_ids_tell_nothing_and_open_nothing(relay: RelayProcess) -> None:
    real = acme().device()
    device = await log_in_client(relay, real)
    technician = await log_in_client(relay, acme().technician("scanner"))
    guesses = [f"d-{letter * 20}" for letter in "abcdefgh"] + [
        intruders().device().subject_id,
        "",
        "x",
        "' OR 1=1",
    ]
    assert {await opening(technician, guess) for guess in guesses} == {C.E_DEVICE_UNKNOWN}
    assert await opening(technician, real.subject_id) == "opened"
    codes = [await opening(technician, f"d-{'z' * 20}") for _ in range(30)]
    assert C.E_RATE in codes
    for client in (technician, device):
        await client.close()


async def test_enr_01_a_stranger_with_the_organisations_id_and_a_devices_id_is_nobody(
    relay: RelayProcess,
) -> None:
    assert await refusal_of_log_in(relay, intruders().device()) == C.E_ORG_UNKNOWN
    uri = forged.person(acme(), Role.ADMIN, "olga")
    key = new_key()
    stranger = Identity(key, (forged.signed_by_root(intruders(), uri, key),), intruders().root_der)
    assert await refusal_of_log_in(relay, stranger) == C.E_CERT_CHAIN


async def test_enr_01_a_session_id_without_its_ticket_opens_nothing(relay: RelayProcess) -> None:
    """What a session's socket wants is the relay's ticket; the id is in every log and grants nothing."""
    victim = acme().device()
    device = await log_in_client(relay, victim)
    technician = await log_in_client(relay, acme().technician("holder"))
    await technician.send(control.OpenSession(1, victim.subject_id))
    opened = await technician.wait_for(control.SessionOpened)
    for guess in (opened.session_id.encode(), opened.ticket[:-1], opened.ticket[::-1], b""):
        with pytest.raises(SupportError) as refused:
            await open_session_wire(relay.relay_url, opened.route, guess)
        assert refused.value.code in (C.E_TICKET, C.E_LINK_LOST)
    for client in (technician, device):
        await client.close()


def orders_of_people(device_id: str) -> list[control.FromClient]:
    """One of each message that only people may send."""
    return [
        control.ListDevices(1),
        control.SetDeviceStatus(1, device_id, "approved"),
        control.SetDeviceStatus(1, device_id, "removed"),
        control.RevokeToken(1, "ab"),
        control.ListTokens(1),
        control.PublishPolicy(1, 2_000_000, b"policy"),
        control.PublishStatus(1, 2_000_000, b"status"),
        control.OpenSession(1, device_id),
        control.OpenCodeSession(1, "1234"),
        control.ListAnchors(1, device_id),
    ]


def test_enr_05_the_list_of_what_only_people_may_send_is_whole() -> None:
    people_only = {kind for kind in typing.get_args(control.FromClient) if Role.DEVICE not in ACCESS[kind]}
    assert {type(order) for order in orders_of_people("")} == people_only


async def test_enr_05_a_devices_credential_moves_nothing_that_is_for_people(relay: RelayProcess) -> None:
    waiting = acme().device(enroller=acme().enroller(is_bulk=True))
    other = acme().device()
    clients = [await log_in_client(relay, identity) for identity in (waiting, other)]
    before = await device_rows(relay)
    for order in orders_of_people(waiting.subject_id):
        for client in clients:
            assert await refusal_of(client, order) == C.E_CERT_ROLE, order
    after = await device_rows(relay)
    assert after[waiting.subject_id].status == "pending"
    assert {row.device_id: row.status for row in before.values()} == {
        row.device_id: row.status for row in after.values()
    }
    late = await log_in_client(relay, acme().technician("reader"))
    await late.send(control.Ping(1))
    assert isinstance(await late.receive(), control.Pong)  # and no policy came before it
    for client in (*clients, late):
        await client.close()


async def test_enr_05_a_technicians_credential_changes_no_fleet(relay: RelayProcess) -> None:
    device = await log_in_client(relay, acme().device())
    technician = await log_in_client(relay, acme().technician("eager"))
    wanted = (
        control.SetDeviceStatus,
        control.RevokeToken,
        control.ListTokens,
        control.PublishPolicy,
        control.PublishStatus,
    )
    for order in orders_of_people(device.welcome.subject_id):
        if isinstance(order, wanted):
            assert await refusal_of(technician, order) == C.E_CERT_ROLE, order
    for client in (technician, device):
        await client.close()


async def test_enr_05_what_a_join_token_carries_is_no_identity_to_log_in_with(relay: RelayProcess) -> None:
    enroller = acme().enroller()
    identity = Identity(enroller.key, (der(enroller.certificate),), acme().root_der)
    assert await refusal_of_log_in(relay, identity) == C.E_CERT_ROLE


@pytest.mark.parametrize("credential", ["technician", "device", "enroller", "admin"])
async def test_enr_05_only_a_technicians_credential_gets_into_a_device(credential: str) -> None:
    enroller = acme().enroller()
    identity = {
        "technician": acme().technician(),
        "device": acme().device(),
        "enroller": Identity(enroller.key, (der(enroller.certificate),), acme().root_der),
        "admin": acme().admin(),
    }[credential]
    near, far = wire_pair()
    attacker = TunnelIO(far, Tunnel(TunnelEnd.TECHNICIAN, identity))
    device = TunnelIO(near, Tunnel(TunnelEnd.DEVICE, acme().device()))
    trying = asyncio.create_task(attacker.handshake())
    try:
        done = await device.handshake()
        verify_chain(done.peer_chain, acme().root_der, roles={Role.TECHNICIAN}, now=acme().now)
    except SupportError as refused:
        assert credential != "technician"
        assert refused.code in (C.E_CERT_ROLE, C.E_CERT_CHAIN)
    else:
        assert credential == "technician"
    finally:
        trying.cancel()
        await asyncio.gather(trying, return_exceptions=True)


async def test_enr_10_a_device_under_anothers_host_name_is_somebody_else(relay: RelayProcess) -> None:
    clients: list[ControlClient] = []
    for _ in range(2):
        identity = acme().device("reception-pc")
        clients.append(await log_in_client(relay, identity))
        await clients[-1].send(control.DeviceFacts("reception-pc", "Linux", "0.1.0"))
    one, other = (client.welcome.subject_id for client in clients)
    assert one != other
    technician = await log_in_client(relay, acme().technician("picker"))
    assert await opening(technician, other) == "opened"
    offered = await clients[1].wait_for(control.SessionOffered)
    assert offered.session_id
    assert not [message for message in clients[0].seen if isinstance(message, control.SessionOffered)]
    for client in (*clients, technician):
        await client.close()


def test_enr_10_a_name_that_several_devices_bear_is_shown_as_such_and_never_chosen_by() -> None:
    rows = [
        device_row(DESK, "Reception"), device_row(HOSTILE, "reception"), device_row(AWAY, "\uff52eception"),
    ]  # fmt: skip
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(device_table([*rows, device_row(DESK, "Till")]))
    shown = console.export_text()
    assert shown.count("(one of 3 of this name)") == 3
    assert "Till (" not in shown
    with pytest.raises(UsageError) as refused:
        match_device("Reception", rows)
    assert DESK in refused.value.detail
    assert HOSTILE in refused.value.detail
