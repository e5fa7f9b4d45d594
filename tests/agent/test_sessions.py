"""The sessions of one device: how many there may be, and that a failing one leaves the others alone."""

import asyncio
from pathlib import Path

import pytest

from agent.sessions import OFFERS_PER_MINUTE_LIMIT, Sessions
from protocol.aio.wire import Wire
from protocol.errors import ErrorCode, PeerViolation, Unreachable
from protocol.ids import new_session_id
from protocol.limits import SESSION_LIMIT_PER_DEVICE
from protocol.messages.control import SessionDeclined, SessionOffered, SessionRoute
from tests.support.device_end import DeviceEnd
from tests.support.organisation import acme
from tests.support.wires import wire_pair


class Relay:
    """Opens wires whose other end never speaks, and hears what was declined."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.declined: list[SessionDeclined] = []
        self.opened = 0
        self._failure = failure

    async def open_wire(self, _offer: SessionOffered) -> Wire:
        """See `OpenWire`."""
        self.opened += 1
        if self._failure is not None:
            raise self._failure
        return wire_pair()[0]

    async def decline(self, declined: SessionDeclined) -> None:
        """See `Decline`."""
        self.declined.append(declined)


def offer(session_id: str = "") -> SessionOffered:
    """One offer."""
    return SessionOffered(session_id or new_session_id(), SessionRoute(port=0, path="/v1/session"), b"ticket")


async def test_one_session_too_many_is_declined_as_busy(tmp_path: Path) -> None:
    device, relay = DeviceEnd(acme(), tmp_path), Relay()
    sessions = Sessions(device.side, relay.open_wire)
    for _ in range(SESSION_LIMIT_PER_DEVICE):
        await sessions.offered(offer(), relay.decline)
    await sessions.offered(offer(), relay.decline)
    await asyncio.sleep(0)
    assert [declined.code for declined in relay.declined] == [ErrorCode.E_BUSY]
    assert len(sessions.status()) == SESSION_LIMIT_PER_DEVICE
    for runner in list(sessions._running):
        runner.cancel()
    await asyncio.gather(*sessions._running, return_exceptions=True)
    assert sessions.status() == []


async def test_a_session_that_cannot_be_opened_is_recorded_and_forgotten(tmp_path: Path) -> None:
    device, relay = DeviceEnd(acme(), tmp_path), Relay(Unreachable("no", code=ErrorCode.E_TICKET))
    sessions = Sessions(device.side, relay.open_wire)
    await sessions.offered(offer(), relay.decline)
    await asyncio.gather(*list(sessions._running))
    assert device.kinds() == ["session.offered", "session.refused"]
    assert sessions.status() == []


async def test_a_fault_of_ours_in_one_session_is_recorded_and_raises_nothing(tmp_path: Path) -> None:
    device, relay = DeviceEnd(acme(), tmp_path), Relay(RuntimeError("a bug"))
    sessions = Sessions(device.side, relay.open_wire)
    await sessions.offered(offer(), relay.decline)
    await asyncio.gather(*list(sessions._running))
    assert device.kinds() == ["session.offered", "session.ended"]


async def test_when_the_audit_log_cannot_be_written_no_session_starts(tmp_path: Path) -> None:
    device, relay = DeviceEnd(acme(), tmp_path), Relay()
    device.audit_path.mkdir()
    sessions = Sessions(device.side, relay.open_wire)
    await sessions.offered(offer(), relay.decline)
    assert [declined.code for declined in relay.declined] == [ErrorCode.E_AUDIT_WRITE]
    assert relay.opened == 0


async def test_a_malformed_session_id_is_the_relay_s_violation(tmp_path: Path) -> None:
    device, relay = DeviceEnd(acme(), tmp_path), Relay()
    with pytest.raises(PeerViolation):
        await Sessions(device.side, relay.open_wire).offered(offer("../../etc"), relay.decline)


async def test_a_relay_that_floods_offers_cannot_fill_the_audit_log(tmp_path: Path) -> None:
    device, relay = DeviceEnd(acme(), tmp_path), Relay(Unreachable("no", code=ErrorCode.E_TICKET))
    sessions = Sessions(device.side, relay.open_wire)
    for _ in range(OFFERS_PER_MINUTE_LIMIT + 10):
        await sessions.offered(offer(), relay.decline)
        await asyncio.gather(*list(sessions._running))
    assert device.kinds().count("session.offered") == OFFERS_PER_MINUTE_LIMIT
    assert [declined.code for declined in relay.declined] == [ErrorCode.E_RATE] * 10


async def test_ending_all_sessions_leaves_none(tmp_path: Path) -> None:
    device, relay = DeviceEnd(acme(), tmp_path), Relay()
    sessions = Sessions(device.side, relay.open_wire)
    await sessions.offered(offer(), relay.decline)
    await asyncio.sleep(0)
    async with asyncio.timeout(3):
        await sessions.end_all("finished")
    assert sessions.status() == []
