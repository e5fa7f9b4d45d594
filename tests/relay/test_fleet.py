"""Devices, tokens, presence and policies at a real relay."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from protocol.certificates import Role, Scope, Subject, issue, spki
from protocol.errors import ErrorCode, SupportError, Unreachable
from protocol.identity import Identity
from protocol.ids import SubjectId, device_id
from protocol.messages.control import (
    DeviceFacts,
    Done,
    ListDevices,
    ListTokens,
    OpenSession,
    PolicyPublished,
    PublishPolicy,
    Refused,
    RevokeToken,
    SessionOpened,
    SetDeviceStatus,
    TokenList,
    TokenRow,
)
from protocol.messages.presence import DeviceList, DeviceRow, PresenceChanged
from tests.support.at_the_relay import outcome_of_log_in, refusal_of_log_in
from tests.support.organisation import acme, der, intruders, new_key
from tests.support.relay_process import ControlClient, RelayProcess, claim_relay, log_in_client

pytestmark = pytest.mark.real


async def _code_of_opening(technician: ControlClient, device_id: str) -> str:
    await technician.send(OpenSession(99, device_id))
    refused = await technician.wait_for(Refused)
    assert refused.request_no == 99
    return refused.code


async def _row(client: ControlClient, device_id: str) -> DeviceRow | None:
    await client.send(ListDevices(1))
    rows = (await client.wait_for(DeviceList)).devices
    return next((row for row in rows if row.device_id == device_id), None)


async def _closes(client: ControlClient) -> bool:
    try:
        async with asyncio.timeout(5):
            while True:
                await client.receive()
    except Unreachable:
        return True
    except TimeoutError:
        return False


async def test_people_see_devices_come_and_go(shared_relay: RelayProcess) -> None:
    technician = await log_in_client(shared_relay, acme().technician())
    identity = acme().device("front-desk", group="shops")
    device = await log_in_client(shared_relay, identity)
    assert (await technician.wait_for(PresenceChanged)).device.is_present
    await device.send(DeviceFacts("Front \u202edesk", "Linux", "0.1.0"))
    changed = (await technician.wait_for(PresenceChanged)).device
    assert (changed.name, changed.platform, changed.group) == ("Front \ufffddesk", "Linux", "shops")
    assert changed == await _row(technician, identity.subject_id)
    await device.close()
    assert not (await technician.wait_for(PresenceChanged)).device.is_present
    assert await _code_of_opening(technician, identity.subject_id) == ErrorCode.E_DEVICE_AWAY
    await technician.close()


async def test_enr_02_a_token_admits_as_many_devices_as_it_says_and_the_same_ones_again(
    relay: RelayProcess,
) -> None:
    enroller = acme().enroller(uses_limit=2)
    identities = [acme().device(enroller=enroller) for _ in range(3)]
    for identity in identities[:2]:
        await (await log_in_client(relay, identity)).close()
    assert await refusal_of_log_in(relay, identities[2]) == ErrorCode.E_TOKEN_USED
    await (await log_in_client(relay, identities[0])).close()
    admin = await log_in_client(relay, acme().admin())
    await admin.send(ListTokens(1))
    assert [row.uses for row in (await admin.wait_for(TokenList)).tokens] == [2]
    await admin.close()


async def test_enr_02_devices_that_join_at_once_do_not_exceed_the_tokens_limit(relay: RelayProcess) -> None:
    enroller = acme().enroller(uses_limit=3)
    identities = [acme().device(enroller=enroller) for _ in range(10)]

    outcomes = await asyncio.gather(*(outcome_of_log_in(relay, identity) for identity in identities))
    assert sorted(outcomes) == [*[ErrorCode.E_TOKEN_USED] * 7, *["in"] * 3]


async def test_enr_03_a_revoked_token_admits_no_further_device(relay: RelayProcess) -> None:
    enroller = acme().enroller()
    known, late = acme().device(enroller=enroller), acme().device(enroller=enroller)
    await (await log_in_client(relay, known)).close()
    admin = await log_in_client(relay, acme().admin())
    serial = f"{enroller.certificate.serial_number:x}"
    await admin.send(RevokeToken(1, serial.upper()))
    await admin.wait_for(Done)
    assert await refusal_of_log_in(relay, late) == ErrorCode.E_TOKEN_REVOKED
    await (await log_in_client(relay, known)).close()
    await admin.send(ListTokens(2))
    assert (await admin.wait_for(TokenList)).tokens == [TokenRow(serial, 1, True)]
    await admin.close()


async def test_enr_03_a_token_can_be_revoked_before_it_was_ever_used(relay: RelayProcess) -> None:
    enroller = acme().enroller()
    admin = await log_in_client(relay, acme().admin())
    await admin.send(RevokeToken(1, f"{enroller.certificate.serial_number:x}"))
    await admin.wait_for(Done)
    assert await refusal_of_log_in(relay, acme().device(enroller=enroller)) == ErrorCode.E_TOKEN_REVOKED
    await admin.close()


async def test_enr_03_a_token_past_its_day_admits_nobody(relay: RelayProcess) -> None:
    over = acme().enroller(join_until=datetime.now(UTC) - timedelta(seconds=1))
    assert await refusal_of_log_in(relay, acme().device(enroller=over)) == ErrorCode.E_TOKEN_EXPIRED


async def test_enr_03_a_token_of_one_group_brings_nobody_into_another(relay: RelayProcess) -> None:
    kiosks, servers = acme().enroller("kiosks"), acme().enroller("servers")
    honest = acme().device(enroller=kiosks)
    key = new_key()
    subject = Subject(
        Role.DEVICE, SubjectId(device_id(spki(key.public_key()))), "pc", Scope(frozenset({"servers"}))
    )
    wishful = issue(
        kiosks.certificate, kiosks.key, subject, key.public_key(), now=acme().now, lifetime=timedelta(days=9)
    )
    scoped = Identity(key, (der(wishful), der(kiosks.certificate)), acme().root_der)
    spliced = Identity(honest.key, (honest.chain[0], der(servers.certificate)), acme().root_der)
    assert await refusal_of_log_in(relay, scoped) == ErrorCode.E_CERT_SCOPE
    assert await refusal_of_log_in(relay, spliced) == ErrorCode.E_CERT_CHAIN
    # the control: the same device with its own chain, which says the token's group
    device = await log_in_client(relay, honest)
    admin = await log_in_client(relay, acme().admin())
    row = await _row(admin, honest.subject_id)
    assert row is not None
    assert row.group == "kiosks"
    assert await _row(admin, scoped.subject_id) is None
    await device.close()
    await admin.close()


async def test_enr_04_a_bulk_device_waits_for_approval(relay: RelayProcess) -> None:
    identity = acme().device(enroller=acme().enroller(is_bulk=True))
    device = await log_in_client(relay, identity)
    assert device.welcome.status == "pending"
    technician = await log_in_client(relay, acme().technician())
    assert await _code_of_opening(technician, identity.subject_id) == ErrorCode.E_DEVICE_PENDING
    admin = await log_in_client(relay, acme().admin())
    await admin.send(SetDeviceStatus(1, identity.subject_id, "approved"))
    await admin.wait_for(Done)
    assert (await technician.wait_for(PresenceChanged)).device.status == "approved"
    await technician.send(OpenSession(2, identity.subject_id))
    await technician.wait_for(SessionOpened)
    for client in (device, technician, admin):
        await client.close()


async def test_a_removed_device_is_cut_off_and_stays_out(relay: RelayProcess) -> None:
    identity = acme().device()
    device = await log_in_client(relay, identity)
    admin = await log_in_client(relay, acme().admin())
    await admin.send(SetDeviceStatus(1, identity.subject_id, "removed"))
    assert await device.wait_for(Refused) == Refused(0, ErrorCode.E_DEVICE_REMOVED)
    assert await _closes(device)
    assert await refusal_of_log_in(relay, identity) == ErrorCode.E_DEVICE_REMOVED
    technician = await log_in_client(relay, acme().technician())
    assert await _code_of_opening(technician, identity.subject_id) == ErrorCode.E_DEVICE_UNKNOWN
    for client in (device, technician, admin):
        await client.close()


@pytest.mark.parametrize("status", ["", "pending", "owned"])
async def test_no_other_status_can_be_set(shared_relay: RelayProcess, status: str) -> None:
    admin = await log_in_client(shared_relay, acme().admin())
    await admin.send(SetDeviceStatus(4, "d-" + "a" * 20, status))
    assert await admin.wait_for(Refused) == Refused(4, ErrorCode.E_MESSAGE_FORMAT)
    await admin.send(SetDeviceStatus(5, "d-" + "a" * 20, "removed"))
    assert await admin.wait_for(Refused) == Refused(5, ErrorCode.E_DEVICE_UNKNOWN)
    await admin.close()


async def test_the_newer_link_of_a_device_wins(shared_relay: RelayProcess) -> None:
    identity = acme().device()
    older = await log_in_client(shared_relay, identity)
    newer = await log_in_client(shared_relay, identity)
    assert await older.wait_for(Refused) == Refused(0, ErrorCode.E_BUSY)
    assert await _closes(older)
    technician = await log_in_client(shared_relay, acme().technician())
    row = await _row(technician, identity.subject_id)
    assert row is not None
    assert row.is_present
    for client in (older, newer, technician):
        await client.close()


async def test_a_policy_reaches_those_who_are_there_and_those_who_come(relay: RelayProcess) -> None:
    device_identity = acme().device()
    device = await log_in_client(relay, device_identity)
    technician = await log_in_client(relay, acme().technician())
    admin = await log_in_client(relay, acme().admin())
    large = b"\x00\xff" * (250 << 10)
    await admin.send(PublishPolicy(1, 3, large))
    await admin.wait_for(Done)
    assert await device.wait_for(PolicyPublished) == PolicyPublished(3, large)
    assert await technician.wait_for(PolicyPublished) == PolicyPublished(3, large)
    for version in (3, 2, 1):
        await admin.send(PublishPolicy(2, version, b"older"))
        assert await admin.wait_for(Refused) == Refused(2, ErrorCode.E_POLICY_VERSION)
    for version in (0, -1, 2**40):
        await admin.send(PublishPolicy(2, version, b"absurd"))
        assert await admin.wait_for(Refused) == Refused(2, ErrorCode.E_MESSAGE_FORMAT)
    late = await log_in_client(relay, acme().device())
    assert await late.wait_for(PolicyPublished) == PolicyPublished(3, large)
    for client in (device, technician, admin, late):
        await client.close()


async def test_devices_policies_and_claim_survive_a_killed_relay(relay: RelayProcess) -> None:
    identity, pending = acme().device(), acme().device(enroller=acme().enroller(is_bulk=True))
    for one in (identity, pending):
        await (await log_in_client(relay, one)).close()
    admin = await log_in_client(relay, acme().admin())
    await admin.send(PublishPolicy(1, 5, b"policy"))
    await admin.wait_for(Done)
    relay_id = relay.relay_id
    relay.kill()
    assert await _closes(admin)
    relay.restart()
    assert (relay.relay_id, relay.claim_secret_file) == (relay_id, "")
    technician = await log_in_client(relay, acme().technician())
    assert await technician.wait_for(PolicyPublished) == PolicyPublished(5, b"policy")
    await technician.send(ListDevices(1))
    rows = {row.device_id: row for row in (await technician.wait_for(DeviceList)).devices}
    assert rows[identity.subject_id].status == "approved"
    assert rows[pending.subject_id].status == "pending"
    assert not any(row.is_present for row in rows.values())
    await technician.close()
    await admin.close()


async def test_organisations_do_not_share_a_relay_that_one_claimed(relay: RelayProcess) -> None:
    assert await refusal_of_log_in(relay, intruders().device()) == ErrorCode.E_ORG_UNKNOWN
    relay.claim_secret_file = str(relay.data / "claim-secret")
    (relay.data / "claim-secret").write_text("a" * 32)
    with pytest.raises(SupportError) as caught:
        await claim_relay(relay, intruders())
    assert caught.value.code == ErrorCode.E_ORG_CLAIMED
