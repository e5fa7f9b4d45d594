"""The SQL store: migrations, transactions, faults."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from protocol.errors import EnvironmentFault, ErrorCode, SupportError
from protocol.ids import OrganisationId
from relay.store.interface import (
    DeviceArrival,
    DeviceChange,
    DocumentKind,
    DocumentRecord,
    OrganisationRecord,
    PolicyRecord,
)
from relay.store.sql import SqlStore, open_sql_store
from relay.store.tables import METADATA
from tests.support.postgres import PostgresServer

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OURS, THEIRS = OrganisationId("1" * 64), OrganisationId("2" * 64)
ARRIVAL = DeviceArrival(
    organisation_id=OURS,
    device_id="d-1",
    name="desk",
    group="shops",
    enroller_serial="ab",
    join_until=NOW + timedelta(days=1),
    uses_limit=0,
    is_bulk=False,
    at_utc=NOW,
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind, by its URL."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'relay.sqlite'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
async def store(database: str) -> AsyncIterator[SqlStore]:
    opened = await open_sql_store(database)
    assert await opened.add_first_organisation(OrganisationRecord(OURS, b"root", "Acme", NOW))
    yield opened
    await opened.close()


async def _code(arrival: DeviceArrival, store: SqlStore) -> ErrorCode:
    with pytest.raises(SupportError) as caught:
        await store.admit_device(arrival)
    return caught.value.code


async def test_a_second_opening_finds_everything_as_it_was(database: str) -> None:
    url = database
    first = await open_sql_store(url)
    relay_id = await first.relay_id()
    record = OrganisationRecord(OURS, b"\x00root", "Acme", NOW)
    assert await first.add_first_organisation(record)
    device = await first.admit_device(ARRIVAL)
    await first.close()
    second = await open_sql_store(url)
    assert await second.relay_id() == relay_id
    assert await second.organisation() == await second.organisation(OURS) == record
    assert await second.devices(OURS) == [device]
    await second.close()


async def test_the_migrations_make_exactly_the_tables_of_the_code(tmp_path: Path) -> None:
    file = tmp_path / "relay.sqlite"
    await (await open_sql_store(f"sqlite+aiosqlite:///{file}")).close()
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


async def test_the_database_is_in_wal_mode(tmp_path: Path) -> None:
    await (await open_sql_store(f"sqlite+aiosqlite:///{tmp_path / 'relay.sqlite'}")).close()
    connection = sqlite3.connect(tmp_path / "relay.sqlite")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


async def test_the_relay_belongs_to_the_first_organisation_alone(store: SqlStore) -> None:
    assert not await store.add_first_organisation(OrganisationRecord(THEIRS, b"x", "Acme", NOW))
    assert await store.organisation(THEIRS) is None


async def test_a_known_device_counts_no_second_use(store: SqlStore) -> None:
    once = replace(ARRIVAL, uses_limit=1)
    first = await store.admit_device(once)
    assert await store.admit_device(replace(once, at_utc=NOW + timedelta(days=9))) == first
    [enroller] = await store.enrollers(OURS)
    assert enroller.uses == 1
    assert await _code(replace(once, device_id="d-2"), store) == ErrorCode.E_TOKEN_USED


async def test_enr_02_joins_at_the_same_moment_never_exceed_the_limit(store: SqlStore) -> None:
    arrivals = [replace(ARRIVAL, device_id=f"d-{number}", uses_limit=4) for number in range(20)]
    outcomes = await asyncio.gather(*map(store.admit_device, arrivals), return_exceptions=True)
    assert sum(isinstance(outcome, SupportError) for outcome in outcomes) == 16
    assert len(await store.devices(OURS)) == 4


async def test_enr_02_two_relays_on_one_database_never_exceed_the_limit_together(database: str) -> None:
    """Two processes' worth of connections: nothing but the database stands between them."""
    one, other = await open_sql_store(database), await open_sql_store(database)
    try:
        assert await one.add_first_organisation(OrganisationRecord(OURS, b"root", "Acme", NOW))
        for number in range(30):
            fresh = replace(ARRIVAL, enroller_serial=f"{number:x}", uses_limit=1)
            tries = [
                store.admit_device(replace(fresh, device_id=f"d-{number}-{name}"))
                for store, name in ((one, "a"), (other, "b"), (one, "c"), (other, "d"))
            ]
            outcomes = await asyncio.gather(*tries, return_exceptions=True)
            refusals = [outcome for outcome in outcomes if isinstance(outcome, SupportError)]
            assert [refusal.code for refusal in refusals] == [ErrorCode.E_TOKEN_USED] * 3
            assert len(outcomes) == 4
    finally:
        await one.close()
        await other.close()


async def test_one_device_at_two_links_at_once_counts_once(store: SqlStore) -> None:
    for number in range(20):
        arrival = replace(ARRIVAL, device_id=f"d-{number}", enroller_serial=f"{number:x}", uses_limit=1)
        first, *others = await asyncio.gather(*(store.admit_device(arrival) for _ in range(3)))
        assert others == [first, first]
    assert {enroller.uses for enroller in await store.enrollers(OURS)} == {1}


async def test_a_revocation_and_a_join_at_once_leave_no_join_after_it(store: SqlStore) -> None:
    for number in range(20):
        arrival = replace(ARRIVAL, device_id=f"d-{number}", enroller_serial=f"{number:x}")
        await asyncio.gather(
            store.revoke_enroller(OURS, arrival.enroller_serial),
            store.admit_device(arrival),
            return_exceptions=True,
        )
        late = replace(arrival, device_id=f"late-{number}")
        assert await _code(late, store) == ErrorCode.E_TOKEN_REVOKED


async def test_two_organisations_that_claim_at_once_do_not_both_get_the_relay(database: str) -> None:
    one, other = await open_sql_store(database), await open_sql_store(database)
    claims = [
        store.add_first_organisation(OrganisationRecord(organisation, b"root", "Acme", NOW))
        for store, organisation in ((one, OURS), (other, THEIRS), (one, THEIRS), (other, OURS))
    ]
    assert sorted(await asyncio.gather(*claims)) == [False, False, False, True]
    await one.close()
    await other.close()


async def test_policies_published_at_once_leave_the_newest(store: SqlStore) -> None:
    for start in range(1, 60, 6):
        versions = [start + 3, start + 1, start + 5, start + 5, start]
        records = [PolicyRecord(version, str(version).encode()) for version in versions]
        outcomes = await asyncio.gather(*(store.publish_policy(OURS, record) for record in records))
        assert outcomes[2] + outcomes[3] == 1
        newest = await store.newest_policy(OURS)
        assert newest is not None
        assert newest.version == start + 5


async def test_crt_15_of_two_successors_that_come_at_once_one_is_kept(store: SqlStore) -> None:
    await store.publish_policy(OURS, PolicyRecord(7, b"of the former root"))
    rivals = [DocumentRecord(1, bytes([number])) for number in range(4)]
    outcomes = await asyncio.gather(*(store.succeed(OURS, None, each) for each in rivals))
    assert sorted(outcomes) == [False, False, False, True]
    winner = rivals[outcomes.index(True)]
    assert await store.newest_document(OURS, DocumentKind.SUCCESSORS) == winner
    assert await store.newest_policy(OURS) is None
    await store.publish_policy(OURS, PolicyRecord(1, b"of the new root"))
    assert await store.succeed(OURS, None, winner), "brought again, it is no news"
    assert not await store.succeed(OURS, None, DocumentRecord(2, b"from elsewhere"))
    assert (await store.newest_policy(OURS)) == PolicyRecord(1, b"of the new root")
    assert await store.succeed(OURS, winner, DocumentRecord(2, b"next"))


async def test_a_refused_device_leaves_no_row(store: SqlStore) -> None:
    late = replace(ARRIVAL, at_utc=ARRIVAL.join_until + timedelta(seconds=1))
    assert await _code(late, store) == ErrorCode.E_TOKEN_EXPIRED
    await store.revoke_enroller(OURS, "ab")
    assert await _code(ARRIVAL, store) == ErrorCode.E_TOKEN_REVOKED
    assert await store.devices(OURS) == []


async def test_enr_04_a_bulk_device_starts_pending(store: SqlStore) -> None:
    assert (await store.admit_device(replace(ARRIVAL, is_bulk=True))).status == "pending"
    changed = await store.update_device(OURS, "d-1", DeviceChange(status="approved"))
    assert changed is not None
    assert (await store.admit_device(replace(ARRIVAL, is_bulk=True))).status == "approved"


async def test_a_removed_device_is_refused(store: SqlStore) -> None:
    await store.admit_device(ARRIVAL)
    await store.update_device(OURS, "d-1", DeviceChange(status="removed"))
    assert await _code(ARRIVAL, store) == ErrorCode.E_DEVICE_REMOVED


async def test_nothing_of_one_organisation_is_reached_through_another(store: SqlStore) -> None:
    await store.admit_device(ARRIVAL)
    await store.publish_policy(OURS, PolicyRecord(1, b"x"))
    assert await store.device(THEIRS, "d-1") is None
    assert await store.devices(THEIRS) == []
    assert await store.enrollers(THEIRS) == []
    assert await store.newest_policy(THEIRS) is None
    assert await store.update_device(THEIRS, "d-1", DeviceChange(status="removed")) is None
    unchanged = await store.device(OURS, "d-1")
    assert unchanged is not None
    assert unchanged.status == "approved"


async def test_a_policy_version_only_rises(store: SqlStore) -> None:
    assert await store.publish_policy(OURS, PolicyRecord(2, b"two"))
    for version in (1, 2):
        assert not await store.publish_policy(OURS, PolicyRecord(version, b"older"))
    assert await store.newest_policy(OURS) == PolicyRecord(2, b"two")
    assert await store.publish_policy(OURS, PolicyRecord(7, b"seven"))
    assert await store.newest_policy(OURS) == PolicyRecord(7, b"seven")


async def test_text_that_looks_like_sql_is_text(store: SqlStore) -> None:
    name = "x'); DROP TABLE devices; --"
    await store.admit_device(replace(ARRIVAL, name=name, device_id="' OR 1=1 --"))
    assert (await store.devices(OURS))[0].name == name
    assert await store.device(OURS, "' OR ''='") is None


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a broken file leaves the driver's cursor open
async def test_a_database_that_breaks_while_running_is_a_fault_with_a_code(tmp_path: Path) -> None:
    file = tmp_path / "relay.sqlite"
    store = await open_sql_store(f"sqlite+aiosqlite:///{file}")
    outside = sqlite3.connect(file)
    outside.execute("DROP TABLE devices")
    outside.commit()
    outside.close()
    with pytest.raises(EnvironmentFault) as caught:
        await store.devices(OURS)
    assert caught.value.code == ErrorCode.E_RELAY_STORE
    await store.close()
