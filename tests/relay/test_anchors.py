"""Anchors at the relay: opaque, bounded, never pushed out at once, and there after a restart."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from protocol.errors import ErrorCode
from protocol.ids import OrganisationId
from protocol.limits import ANCHOR_LIMIT_BYTES, ANCHORS_PER_DAY_LIMIT
from protocol.messages.control import AnchorList, Done, KeepAnchor, ListAnchors, Refused
from relay.ratelimit import ANCHOR_RATE
from relay.store import sql
from relay.store.interface import AnchorRecord, OrganisationRecord
from relay.store.sql import SqlStore, open_sql_store
from tests.support.organisation import acme
from tests.support.relay_process import RelayProcess, log_in_client

LIMIT = 5
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OURS = OrganisationId("1" * 64)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    """A store of one organisation."""
    opened = await open_sql_store(f"sqlite+aiosqlite:///{tmp_path / 'relay.sqlite'}")
    assert await opened.add_first_organisation(OrganisationRecord(OURS, b"root", "Acme", NOW))
    yield opened
    await opened.close()


async def test_a_device_leaves_so_many_a_day_and_its_old_ones_stay(store: SqlStore) -> None:
    for number in range(ANCHORS_PER_DAY_LIMIT):
        at = NOW + timedelta(seconds=number)
        assert await store.keep_anchor(OURS, "d-1", AnchorRecord(b"%d" % number, at))
    late = NOW + timedelta(hours=23)
    assert not await store.keep_anchor(OURS, "d-1", AnchorRecord(b"flood", late))
    assert await store.keep_anchor(OURS, "d-2", AnchorRecord(b"another device", late))
    assert [one.anchor for one in await store.anchors(OURS, "d-1")] == [
        b"%d" % number for number in range(ANCHORS_PER_DAY_LIMIT)
    ]
    assert await store.keep_anchor(OURS, "d-1", AnchorRecord(b"next day", NOW + timedelta(days=2)))


async def test_beyond_the_limit_the_oldest_goes(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "ANCHORS_PER_DEVICE_LIMIT", LIMIT)
    for number in range(LIMIT + 2):
        at = NOW + timedelta(hours=number)
        assert await store.keep_anchor(OURS, "d-1", AnchorRecord(b"%d" % number, at))
    kept = await store.anchors(OURS, "d-1")
    assert len(kept) == LIMIT
    assert (kept[0].anchor, kept[-1].anchor) == (b"2", b"%d" % (LIMIT + 1))


@pytest.mark.real
async def test_what_a_device_leaves_is_handed_to_its_technicians_unread_over_a_restart(
    relay: RelayProcess,
) -> None:
    identity = acme().device()
    device = await log_in_client(relay, identity)
    noise = bytes(range(256))[:ANCHOR_LIMIT_BYTES]
    await device.send(KeepAnchor(1, noise))
    assert (await device.wait_for(Done)).request_no == 1
    await device.close()
    relay.kill()
    relay.restart()
    technician = await log_in_client(relay, acme().technician())
    await technician.send(ListAnchors(2, identity.subject_id))
    [row] = (await technician.wait_for(AnchorList)).anchors
    assert row.anchor == noise
    await technician.send(ListAnchors(3, acme().device().subject_id))
    assert (await technician.wait_for(AnchorList)).anchors == []
    await technician.close()


@pytest.mark.real
async def test_only_devices_leave_and_only_people_read(relay: RelayProcess) -> None:
    technician = await log_in_client(relay, acme().technician())
    await technician.send(KeepAnchor(1, b"forged"))
    assert await technician.wait_for(Refused) == Refused(1, ErrorCode.E_CERT_ROLE)
    await technician.close()
    identity = acme().device()
    device = await log_in_client(relay, identity)
    await device.send(ListAnchors(2, identity.subject_id))
    assert await device.wait_for(Refused) == Refused(2, ErrorCode.E_CERT_ROLE)
    for number in range(int(ANCHOR_RATE.burst) + 2):
        await device.send(KeepAnchor(10 + number, b"again"))
    assert (await device.wait_for(Refused)).code == ErrorCode.E_RATE
    await device.close()
