"""Somebody between the ends of a session (THREATS.md 3.1)."""

import asyncio

import pytest

from protocol import tunnel
from protocol.aio.tunnel_io import TunnelIO
from protocol.errors import ErrorCode, PeerViolation, Refused, SupportError
from protocol.tunnel import Tunnel, TunnelEnd
from tests.protocol.test_tunnel import open_pair, pass_on
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


def test_rpl_10_who_sends_after_somebody_cut_in_hears_that_and_not_that_it_was_our_mistake() -> None:
    """Else a session that was attacked ends with E_STATE, whenever its writer comes before its reader."""
    device_end, technician_end = open_pair()
    technician_end.send(b"hello")
    changed = bytearray(b"".join(technician_end.outgoing()))
    changed[-1] ^= 1
    with pytest.raises(PeerViolation) as refusal:
        device_end.feed(bytes(changed))
    with pytest.raises(PeerViolation) as again:
        device_end.send(b"an answer")
    assert again.value is refusal.value
    assert refusal.value.code is ErrorCode.E_SEQ
    technician_end.feed(b"")
    with pytest.raises(PeerViolation) as heard:
        pass_on(device_end, technician_end)
    assert heard.value.code is ErrorCode.E_HANDSHAKE, "before the device's first word an alert is a refusal"


def test_rpl_07_keys_seal_no_more_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "TUNNEL_RECORDS_LIMIT", 3)
    device_end, technician_end = open_pair()
    device_end.send(b"x" * (16384 + 1))
    device_end.send(b"x")
    with pytest.raises(Refused) as refusal:
        device_end.send(b"x")
    assert refusal.value.code is ErrorCode.E_TUNNEL_SPENT
    assert sum(len(event.content) for event in pass_on(device_end, technician_end)) == 16384 + 2
