"""RLY-05: two organisations on one relay; ids of one mean nothing to the other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from protocol.identity import Identity
from protocol.messages import control
from protocol.messages.presence import DeviceList
from tests.support.organisation import Organisation, acme
from tests.support.relay_process import ControlClient, RelayProcess, log_in_client
from tests.support.two_tenants import serve_two

pytestmark = [pytest.mark.real, pytest.mark.beside]

NEIGHBOUR = Organisation("Neighbour")
ABSENT = "d-" + "a" * 20


@pytest_asyncio.fixture
async def shared(tmp_path: Path) -> AsyncIterator[tuple[RelayProcess, ControlClient, Identity]]:
    """A relay of two organisations (the second by a hand in its database), and a device of the first."""
    with RelayProcess(tmp_path / "relay", workers=0) as relay:
        await serve_two(relay, NEIGHBOUR)
        device = acme().device()
        link = await log_in_client(relay, device)
        yield relay, link, device
        await link.close()


async def answer(client: ControlClient, message: control.FromClient) -> control.FromRelay:
    """What the relay says to this."""
    await client.send(message)
    return await client.receive()


async def test_rly_05_what_another_organisation_asks_for_is_answered_as_if_it_did_not_exist(
    shared: tuple[RelayProcess, ControlClient, Identity],
) -> None:
    relay, _, device = shared
    for identity, make in (
        (NEIGHBOUR.technician(), lambda name: control.OpenSession(1, name)),
        (NEIGHBOUR.admin(), lambda name: control.SetDeviceStatus(1, name, "removed")),
    ):
        client = await log_in_client(relay, identity)
        for_theirs = await answer(client, make(str(device.subject_id)))
        assert for_theirs == await answer(client, make(ABSENT))
        assert isinstance(for_theirs, control.Refused)
        listed = await answer(client, control.ListDevices(2))
        assert isinstance(listed, DeviceList)
        assert listed.devices == []
        await client.close()
    owner = await log_in_client(relay, acme().technician())
    listed = await answer(owner, control.ListDevices(3))
    assert isinstance(listed, DeviceList)
    assert [(one.status, one.is_present) for one in listed.devices] == [("approved", True)]
    assert isinstance(
        await answer(owner, control.OpenSession(4, str(device.subject_id))), control.SessionOpened
    )
    await owner.close()


async def test_rly_05_tokens_and_documents_of_one_organisation_do_not_reach_the_other(
    shared: tuple[RelayProcess, ControlClient, Identity],
) -> None:
    relay, link, _ = shared
    admin = await log_in_client(relay, NEIGHBOUR.admin())
    listed = await answer(admin, control.ListTokens(1))
    assert isinstance(listed, control.TokenList)
    assert listed.tokens == []
    await admin.send(control.PublishPolicy(2, 7, NEIGHBOUR.policy_envelope(version=7)))
    await admin.wait_for(control.Done)
    await admin.close()
    await link.send(control.Ping(9))
    await link.wait_for(control.Pong)  # whatever was handed on before has come by now
    assert not [one for one in link.seen if isinstance(one, control.PolicyPublished)]
    own = await log_in_client(relay, acme().admin())
    await own.send(control.PublishPolicy(3, 1, acme().policy_envelope(version=1)))
    await own.wait_for(control.Done)
    await own.close()
    assert (await link.wait_for(control.PolicyPublished)).version == 1, "the control"


async def test_res_05_a_neighbour_that_floods_is_served_after_whoever_asks_little(
    shared: tuple[RelayProcess, ControlClient, Identity],
) -> None:
    """By order, not by time: all of the flood is with the relay before the one question comes."""
    relay, _, device = shared
    questions = 1500
    flood = [await log_in_client(relay, NEIGHBOUR.technician(f"t{number}")) for number in range(4)]
    for number in range(questions):
        for client in flood:
            await client.send(control.Ping(number) if number % 3 else control.ListDevices(number))
    asked = await log_in_client(relay, acme().technician())
    for number in range(5):
        await asked.send(control.ListDevices(number + 1))
        rows = (await asked.wait_for(DeviceList)).devices
        assert [row.device_id for row in rows] == [device.subject_id]
    answered = [await answers_so_far(client) for client in flood]
    assert max(answered) < questions, "none of the flood's links had all of its answers by then"
    assert min(answered) > 50, "the control: they are read, only more slowly"
    for client in (*flood, asked):
        await client.close()


async def answers_so_far(client: ControlClient) -> int:
    """How many answers are here already."""
    count = 0
    with contextlib.suppress(TimeoutError):
        while True:
            async with asyncio.timeout(0.02):
                await client.receive()
            count += 1
    return count
