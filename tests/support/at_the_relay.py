"""What tests ask a relay, as somebody who logs in."""

import pytest

from protocol.aio.log_in import connect_control, log_in
from protocol.errors import ErrorCode, SupportError
from protocol.identity import Identity
from protocol.messages.control import (
    Done,
    FromClient,
    ListDevices,
    ListTokens,
    OpenSession,
    Refused,
    RevokeToken,
    SessionOpened,
    SetDeviceStatus,
    TokenList,
)
from protocol.messages.presence import DeviceList, DeviceRow
from tests.support.organisation import acme
from tests.support.relay_process import ControlClient, RelayProcess, log_in_client


async def refusal_of_log_in(relay: RelayProcess, identity: Identity) -> ErrorCode:
    """The code with which this identity is not let in; fails where it is."""
    wire = await connect_control(relay.relay_url)
    try:
        with pytest.raises(SupportError) as caught:
            await log_in(wire, identity, relay.relay_id)
    finally:
        await wire.close()
    return caught.value.code


async def outcome_of_log_in(relay: RelayProcess, identity: Identity) -> str:
    """ "in", or the code."""
    try:
        client = await log_in_client(relay, identity)
    except SupportError as exc:
        return exc.code
    await client.close()
    return "in"


async def refusal_of(client: ControlClient, message: FromClient) -> str:
    """The code of the refusal; fails where the message is carried out."""
    await client.send(message)
    while True:
        answer = await client.receive()
        if isinstance(answer, Refused):
            return answer.code
        assert not isinstance(answer, Done | DeviceList | TokenList | SessionOpened), answer


async def opening(technician: ControlClient, device_id: str) -> str:
    """ "opened", or the code with which the relay refuses."""
    await technician.send(OpenSession(77, device_id))
    while True:
        answer = await technician.receive()
        if isinstance(answer, SessionOpened):
            return "opened"
        if isinstance(answer, Refused):
            return answer.code


async def device_rows(relay: RelayProcess) -> dict[str, DeviceRow]:
    """Every device, as an admin sees it."""
    admin = await log_in_client(relay, acme().admin())
    await admin.send(ListDevices(1))
    rows = (await admin.wait_for(DeviceList)).devices
    await admin.close()
    return {row.device_id: row for row in rows}


async def uses_of(relay: RelayProcess, serial: str) -> int:
    """How often the relay counted this token; 0 where it has not seen it."""
    admin = await log_in_client(relay, acme().admin())
    await admin.send(ListTokens(1))
    tokens = (await admin.wait_for(TokenList)).tokens
    await admin.close()
    return next((token.uses for token in tokens if token.enroller_serial == serial), 0)


async def revoke(relay: RelayProcess, serial: str) -> None:
    """An admin revokes a token."""
    await _order(relay, RevokeToken(1, serial))


async def approve(relay: RelayProcess, device_id: str) -> None:
    """An admin approves a device."""
    await _order(relay, SetDeviceStatus(1, device_id, "approved"))


async def _order(relay: RelayProcess, order: FromClient) -> None:
    admin = await log_in_client(relay, acme().admin())
    await admin.send(order)
    await admin.wait_for(Done)
    await admin.close()
