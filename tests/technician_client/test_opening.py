"""From the relay's ticket to a paired wire: what happens while the other end has not come."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from protocol.aio.backoff import Backoff
from protocol.errors import ErrorCode, SupportError
from protocol.ids import DeviceId
from protocol.messages import control
from technician_client import opening
from technician_client.config import TechnicianConfig
from technician_client.link import RelayLink
from technician_client.notices import SessionOver
from technician_client.policies import PolicyStore
from technician_client.relay_address import RelayAddress
from technician_client.session_audit import SessionAudit
from technician_client.sessions import TechnicianSession
from technician_client.status_store import StatusStore
from tests.support.audit_sink import RecordingSink
from tests.support.organisation import acme
from tests.support.scripted_agent import ScriptedAgent
from tests.support.scripted_relay import RELAY_ID, ScriptedRelay
from tests.support.statuses import revoked, signed_status
from tests.support.wires import MemoryWire, wire_pair

DEVICE, OTHER = acme().device(), acme().device()
SESSION = "s-" + "a" * 26


class Scene:
    """A connected link, and a session that a technician is opening; the pairing is the test's to finish."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.relay = ScriptedRelay()
        self.sink = RecordingSink()
        self.wire, self.far = wire_pair()
        self.is_paired = asyncio.Event()
        self.is_pairing = asyncio.Event()
        policies = PolicyStore(TechnicianConfig(folder), acme().root_der)
        address = RelayAddress("http://127.0.0.1:1", RELAY_ID)
        at_once = Backoff(draw=lambda least, most: 0.0)
        self.technician = acme().technician()
        audit = SessionAudit(self.sink, actor="ada", device_id="", session_id="")
        self.statuses = StatusStore(TechnicianConfig(folder), policies.trust, audit=audit)
        self.link = RelayLink(
            address,
            self.technician,
            policies,
            statuses=self.statuses,
            open_wire=self.relay.open_wire,
            backoff=at_once,
        )

        async def pair(*_: object, tls_ca: Path | None) -> MemoryWire:
            self.is_pairing.set()
            await self.is_paired.wait()
            return self.wire

        monkeypatch.setattr(opening, "open_session_wire", pair)

    async def run(self, then: Callable[[], object]) -> TechnicianSession:
        """Open a session; `then` is called once the pairing waits."""
        async with self.link:
            await self.relay.welcome()
            await self.link.connected()
            device_id = DeviceId(DEVICE.subject_id)
            work = asyncio.create_task(
                opening.open_session(self.link, device_id, identity=self.technician, audit=self.sink)
            )
            wish = await self.relay.receive()
            assert isinstance(wish, control.OpenSession)
            route = control.SessionRoute(0, "/v1/session")
            await self.relay.send(control.SessionOpened(wish.request_no, SESSION, route, b"ticket"))
            await self.is_pairing.wait()
            outcome = then()
            if asyncio.iscoroutine(outcome):
                await outcome
            if outcome == "cancel":
                work.cancel()
            return await work


async def test_a_device_that_declines_ends_the_waiting_with_its_reason(tmp_path, monkeypatch):
    scene = Scene(tmp_path, monkeypatch)
    with pytest.raises(SupportError) as caught:
        await scene.run(lambda: scene.relay.send(control.SessionDeclined(SESSION, ErrorCode.E_BUSY)))
    assert caught.value.code == ErrorCode.E_BUSY
    assert scene.sink.kinds == ["session.offered", "session.refused"]


async def test_a_cancelled_opening_leaves_no_task_and_no_wire(tmp_path, monkeypatch):
    scene = Scene(tmp_path, monkeypatch)
    with pytest.raises(asyncio.CancelledError):
        await scene.run(lambda: "cancel")
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_wire_that_closes_during_the_handshake_is_reported_and_recorded(tmp_path, monkeypatch):
    scene = Scene(tmp_path, monkeypatch)

    async def pair_and_leave() -> None:
        await scene.far.close()
        scene.is_paired.set()

    with pytest.raises(SupportError) as caught:
        await scene.run(pair_and_leave)
    assert caught.value.code == ErrorCode.E_LINK_LOST
    assert scene.sink.kinds == ["session.offered", "session.refused"]


async def test_crt_04_a_list_that_revokes_the_device_ends_the_session_with_it_and_no_other(
    tmp_path, monkeypatch
):
    scene = Scene(tmp_path, monkeypatch)

    async def pair() -> None:
        scene.is_paired.set()
        await agent.ready()

    async with ScriptedAgent(scene.far, DEVICE, SESSION) as agent:
        session = await scene.run(pair)
        scene.statuses.take(signed_status(acme(), revoked(OTHER)), now=datetime.now(UTC))
        assert session.notices.empty()
        both = (revoked(OTHER), revoked(DEVICE))
        scene.statuses.take(signed_status(acme(), *both, version=2), now=datetime.now(UTC))
        async with asyncio.timeout(5):
            while not isinstance(notice := await session.notices.get(), SessionOver):
                pass
        assert notice.code == ErrorCode.E_CERT_REVOKED
        await session.end()
    assert [kind for kind in scene.sink.kinds if kind.startswith("s")] == [
        "session.offered", "session.ready", "status.accepted", "status.accepted", "session.ended",
    ]  # fmt: skip
