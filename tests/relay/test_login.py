"""Who gets in at a real relay, and who does not."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from protocol.aio.log_in import claim, connect_control, log_in
from protocol.certificates import Role
from protocol.errors import ErrorCode, PeerViolation, SupportError, Unreachable
from protocol.identity import Identity
from protocol.messages.control import (
    FROM_RELAY_CODEC,
    PRE_LOGIN_CODEC,
    Challenge,
    ListDevices,
    LogIn,
    OpenSession,
    Refused,
    SetDeviceStatus,
    Welcome,
    login_transcript,
)
from protocol.messages.presence import DeviceList
from protocol.version import PROTOCOL_VERSION
from tests.support.organisation import Organisation, acme, intruders
from tests.support.relay_process import ControlClient, RelayProcess, claim_relay, log_in_client

pytestmark = pytest.mark.real


class NeverSent:
    """No message is of this kind."""


async def _answer_of(relay: RelayProcess, message: bytes) -> tuple[Challenge, object]:
    wire = await connect_control(relay.relay_url)
    try:
        challenge = FROM_RELAY_CODEC.decode(await wire.receive())
        assert isinstance(challenge, Challenge)
        await wire.send(message)
        return challenge, FROM_RELAY_CODEC.decode(await wire.receive())
    finally:
        await wire.close()


async def _refusal_of(relay: RelayProcess, identity: Identity) -> ErrorCode:
    wire = await connect_control(relay.relay_url)
    with pytest.raises(SupportError) as caught:
        await log_in(wire, identity, relay.relay_id)
    await wire.close()
    return caught.value.code


@pytest.mark.parametrize("role", ["device", "technician", "admin"])
async def test_each_role_of_the_organisation_logs_in(shared_relay: RelayProcess, role: str) -> None:
    makers = {"device": acme().device, "technician": acme().technician, "admin": acme().admin}
    identity = makers[role]()
    client = await log_in_client(shared_relay, identity)
    assert client.welcome == Welcome(
        acme().organisation_id,
        identity.subject_id,
        role,
        client.welcome.heartbeat_s,
        "approved" if role == "device" else "",
    )
    await client.close()


@pytest.mark.parametrize("role", [Role.POLICY])
async def test_a_role_that_has_no_business_here_is_refused(shared_relay: RelayProcess, role: Role) -> None:
    assert await _refusal_of(shared_relay, acme().person(role, "x")) == ErrorCode.E_CERT_ROLE


async def test_a_signature_by_another_key_is_refused(shared_relay: RelayProcess) -> None:
    known, other = acme().technician(), acme().technician("eve")
    wire = await connect_control(shared_relay.relay_url)
    challenge = FROM_RELAY_CODEC.decode(await wire.receive())
    assert isinstance(challenge, Challenge)
    forged = other.sign(login_transcript(challenge.nonce, challenge.relay_id))
    await wire.send(PRE_LOGIN_CODEC.encode(LogIn(PROTOCOL_VERSION, list(known.chain), forged)))
    assert FROM_RELAY_CODEC.decode(await wire.receive()) == Refused(0, ErrorCode.E_LOGIN_SIGNATURE)
    await wire.close()


async def test_a_log_in_seen_on_another_connection_is_refused(shared_relay: RelayProcess) -> None:
    identity = acme().technician()
    wire = await connect_control(shared_relay.relay_url)
    challenge = FROM_RELAY_CODEC.decode(await wire.receive())
    assert isinstance(challenge, Challenge)
    signature = identity.sign(login_transcript(challenge.nonce, challenge.relay_id))
    message = PRE_LOGIN_CODEC.encode(LogIn(PROTOCOL_VERSION, list(identity.chain), signature))
    await wire.send(message)
    assert isinstance(FROM_RELAY_CODEC.decode(await wire.receive()), Welcome)
    _, answer = await _answer_of(shared_relay, message)
    assert answer == Refused(0, ErrorCode.E_LOGIN_SIGNATURE)
    await wire.close()


async def test_a_signature_for_another_relay_is_refused(shared_relay: RelayProcess) -> None:
    identity = acme().technician()
    wire = await connect_control(shared_relay.relay_url)
    challenge = FROM_RELAY_CODEC.decode(await wire.receive())
    assert isinstance(challenge, Challenge)
    signature = identity.sign(login_transcript(challenge.nonce, "another-relay"))
    await wire.send(PRE_LOGIN_CODEC.encode(LogIn(PROTOCOL_VERSION, list(identity.chain), signature)))
    assert FROM_RELAY_CODEC.decode(await wire.receive()) == Refused(0, ErrorCode.E_LOGIN_SIGNATURE)
    await wire.close()


async def test_an_expired_certificate_is_refused(unclaimed_relay: RelayProcess) -> None:
    now = datetime.now(UTC)
    old = Organisation("Old", now=now - timedelta(days=30))
    wire = await connect_control(unclaimed_relay.relay_url)
    await claim(wire, old.person(Role.ADMIN, now=now), unclaimed_relay.claim_secret())
    await wire.close()
    assert await _refusal_of(unclaimed_relay, old.technician()) == ErrorCode.E_CERT_EXPIRED
    await (await log_in_client(unclaimed_relay, old.technician(now=now))).close()


async def test_an_organisation_that_did_not_claim_the_relay_is_refused(shared_relay: RelayProcess) -> None:
    assert await _refusal_of(shared_relay, intruders().technician()) == ErrorCode.E_ORG_UNKNOWN


async def test_another_protocol_version_is_refused(shared_relay: RelayProcess) -> None:
    message = PRE_LOGIN_CODEC.encode(LogIn(PROTOCOL_VERSION + 1, [b"x"], b""))
    _, answer = await _answer_of(shared_relay, message)
    assert answer == Refused(0, ErrorCode.E_VERSION)


async def test_garbage_instead_of_a_log_in_is_refused(shared_relay: RelayProcess) -> None:
    _, answer = await _answer_of(shared_relay, b"\xff" * 100)
    assert answer == Refused(0, ErrorCode.E_MESSAGE_FORMAT)


async def test_an_oversized_log_in_is_refused(shared_relay: RelayProcess) -> None:
    _, answer = await _answer_of(shared_relay, b"\0" * (17 << 10))
    assert answer == Refused(0, ErrorCode.E_MESSAGE_SIZE)


async def test_a_huge_message_before_log_in_ends_the_connection_unread(shared_relay: RelayProcess) -> None:
    with pytest.raises(Unreachable):
        await _answer_of(shared_relay, b"\0" * (900 << 10))


async def _send_and_wait(client: ControlClient, message: bytes) -> None:
    """A client hands over no more than the kernel takes, so it may be told while it is still sending."""
    await client.wire.send(message)
    await client.wait_for(NeverSent)


async def test_an_oversized_message_after_log_in_ends_that_link_alone(shared_relay: RelayProcess) -> None:
    loud, quiet = acme().technician("loud"), acme().technician("quiet")
    noisy = await log_in_client(shared_relay, loud)
    other = await log_in_client(shared_relay, quiet)
    with pytest.raises((Unreachable, PeerViolation)):
        await _send_and_wait(noisy, b"\0" * ((1 << 20) + 1))
    await other.send(ListDevices(1))
    assert (await other.wait_for(DeviceList)).request_no == 1
    await other.close()
    await noisy.close()


async def test_a_message_of_another_role_is_refused_and_the_link_goes_on(shared_relay: RelayProcess) -> None:
    technician = await log_in_client(shared_relay, acme().technician())
    await technician.send(SetDeviceStatus(7, "d-" + "a" * 20, "removed"))
    assert await technician.wait_for(Refused) == Refused(7, ErrorCode.E_CERT_ROLE)
    await technician.send(ListDevices(8))
    assert (await technician.wait_for(DeviceList)).request_no == 8
    admin = await log_in_client(shared_relay, acme().admin())
    await admin.send(OpenSession(9, "d-" + "a" * 20))
    assert await admin.wait_for(Refused) == Refused(9, ErrorCode.E_CERT_ROLE)
    await technician.close()
    await admin.close()


async def test_a_relay_is_claimed_once(unclaimed_relay: RelayProcess) -> None:
    secret_file = unclaimed_relay.claim_secret_file
    secret = unclaimed_relay.claim_secret()
    wire = await connect_control(unclaimed_relay.relay_url)
    welcome, relay_id = await claim(wire, acme().admin(), secret)
    assert (welcome.role, relay_id) == ("admin", unclaimed_relay.relay_id)
    await wire.close()
    with pytest.raises(FileNotFoundError):
        open(secret_file)  # noqa: SIM115, PTH123, ASYNC230 - it is expected to fail
    for organisation in (acme(), intruders()):
        wire = await connect_control(unclaimed_relay.relay_url)
        with pytest.raises(SupportError) as caught:
            await claim(wire, organisation.admin(), secret)
        assert caught.value.code == ErrorCode.E_ORG_CLAIMED
        await wire.close()


async def test_a_wrong_secret_claims_nothing(unclaimed_relay: RelayProcess) -> None:
    wire = await connect_control(unclaimed_relay.relay_url)
    with pytest.raises(SupportError) as caught:
        await claim(wire, acme().admin(), "a" * 32)
    assert caught.value.code == ErrorCode.E_CLAIM_SECRET
    await wire.close()
    assert await _refusal_of(unclaimed_relay, acme().admin()) == ErrorCode.E_ORG_UNKNOWN


async def test_a_technician_cannot_claim(unclaimed_relay: RelayProcess) -> None:
    wire = await connect_control(unclaimed_relay.relay_url)
    with pytest.raises(SupportError) as caught:
        await claim(wire, acme().technician(), unclaimed_relay.claim_secret())
    assert caught.value.code == ErrorCode.E_CERT_ROLE
    await wire.close()
    await claim_relay(unclaimed_relay, acme())


async def test_rly_18_guessing_from_one_address_is_slowed_down(relay: RelayProcess) -> None:
    stranger = intruders().technician()
    # at once: one after the other, a busy machine guesses as slowly as anybody may
    codes = await asyncio.gather(*(_refusal_of(relay, stranger) for _ in range(120)))
    assert ErrorCode.E_ORG_UNKNOWN in codes
    assert ErrorCode.E_RATE in codes
