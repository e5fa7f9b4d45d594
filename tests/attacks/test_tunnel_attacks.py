"""Somebody between the ends of a session (THREATS.md 3.1)."""

import asyncio

import pytest

from protocol.aio.tunnel_io import TunnelIO
from protocol.errors import ErrorCode, SupportError
from protocol.tunnel import Tunnel, TunnelEnd
from tests.support.organisation import acme, intruders
from tests.support.wires import wire_pair


async def test_hsk_02_a_device_of_another_organisation_hears_why_it_is_refused() -> None:
    near, far = wire_pair()
    device = TunnelIO(near, Tunnel(TunnelEnd.DEVICE, intruders().device()))
    technician = TunnelIO(far, Tunnel(TunnelEnd.TECHNICIAN, acme().technician()))
    hearing = asyncio.create_task(device.handshake())
    with pytest.raises(SupportError) as refused:
        await technician.handshake()
    assert refused.value.code is ErrorCode.E_CERT_CHAIN
    async with asyncio.timeout(3):
        with pytest.raises(SupportError) as heard:
            await hearing
    assert heard.value.code is ErrorCode.E_HANDSHAKE


async def test_hsk_02_a_refusal_does_not_wait_for_a_peer_that_reads_nothing() -> None:
    near, far = wire_pair(capacity_messages=1)
    device = TunnelIO(near, Tunnel(TunnelEnd.DEVICE, intruders().device()))
    technician = TunnelIO(far, Tunnel(TunnelEnd.TECHNICIAN, acme().technician()))
    hearing = asyncio.create_task(device.handshake())
    async with asyncio.timeout(5):
        with pytest.raises(SupportError):
            await technician.handshake()
    hearing.cancel()
    await asyncio.gather(hearing, return_exceptions=True)
