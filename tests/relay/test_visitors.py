"""Ends without an organisation at a real relay: only where it was told so, and for nothing but a meeting."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from protocol.aio.log_in import connect_control, log_in
from protocol.aio.wire import Wire
from protocol.certificates import Role
from protocol.errors import ErrorCode, SupportError
from protocol.identity import visitor_identity
from protocol.messages import control
from protocol.version import PROTOCOL_VERSION
from tests.support.relay_process import RelayProcess

pytestmark = pytest.mark.real


async def visit(relay: RelayProcess, role: Role) -> Wire:
    wire = await connect_control(relay.relay_url)
    welcome, _ = await log_in(wire, visitor_identity(role, now=datetime.now(UTC)), None)
    assert (welcome.organisation_id, welcome.role) == ("", role.value)
    return wire


async def say(wire: Wire, message: control.FromClient) -> None:
    await wire.send(control.FROM_CLIENT_CODEC.encode(message))


async def hear(wire: Wire) -> control.FromRelay:
    async with asyncio.timeout(5):
        while True:
            message = control.FROM_RELAY_CODEC.decode(await wire.receive())
            if not isinstance(message, control.Ping):
                return message


async def test_without_visitors_nobody_gets_in_without_a_certificate(tmp_path: Path) -> None:
    with RelayProcess(tmp_path / "relay", workers=0) as relay:
        with pytest.raises(SupportError) as refused:
            await visit(relay, Role.DEVICE)
        assert refused.value.code is ErrorCode.E_CODE_VISITOR


async def test_two_visitors_meet_and_can_do_nothing_else(tmp_path: Path) -> None:
    with RelayProcess(tmp_path / "relay", workers=0, arguments=["--visitors"]) as relay:
        device, technician = await visit(relay, Role.DEVICE), await visit(relay, Role.TECHNICIAN)
        await say(device, control.HoldNameplate(1, "0417", b"h" * 16))
        assert await hear(device) == control.Done(1)
        await say(technician, control.OpenCodeSession(2, "0417"))
        opened, offered = await hear(technician), await hear(device)
        assert isinstance(opened, control.SessionOpened)
        assert isinstance(offered, control.SessionOffered)
        assert opened.is_visitor
        assert (offered.session_id, offered.nameplate) == (opened.session_id, "0417")
        for request in (
            control.ListDevices(3),
            control.OpenSession(3, "d-" + "a" * 20),
            control.ListTokens(3),
            control.SetDeviceStatus(3, "d-" + "a" * 20, "approved"),
            control.PublishPolicy(3, 1, b"{}"),
            control.HoldNameplate(3, "0418", b"h" * 16),
        ):
            await say(technician, request)
            assert await hear(technician) == control.Refused(3, ErrorCode.E_CERT_ROLE)
        await say(technician, control.OpenCodeSession(4, "9999"))
        assert await hear(technician) == control.Refused(4, ErrorCode.E_CODE_UNKNOWN)
        await device.close()
        await asyncio.sleep(0.1)
        await say(technician, control.OpenCodeSession(5, "0417"))
        assert await hear(technician) == control.Refused(5, ErrorCode.E_CODE_UNKNOWN)
        await technician.close()


async def test_visits_from_one_address_are_counted(tmp_path: Path) -> None:
    with RelayProcess(tmp_path / "relay", workers=0, arguments=["--visitors"]) as relay:
        codes = []
        for _ in range(24):
            wire = await connect_control(relay.relay_url)
            try:
                challenge = control.FROM_RELAY_CODEC.decode(await wire.receive())
                assert isinstance(challenge, control.Challenge)
                await wire.send(control.PRE_LOGIN_CODEC.encode(control.Visit(PROTOCOL_VERSION, "technician")))
                answer = control.FROM_RELAY_CODEC.decode(await wire.receive())
                codes.append(answer.code if isinstance(answer, control.Refused) else "")
            finally:
                await wire.close()
        assert codes[:20] == [""] * 20
        assert codes[-1] == ErrorCode.E_RATE
