"""REL-04, REL-13 and REL-16: the relay's database is locked, away, torn, or of another version."""

import asyncio
import shutil
import sqlite3
from base64 import b32encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig

from protocol.errors import EnvironmentFault, ErrorCode, SupportError
from protocol.ids import OrganisationId
from protocol.messages.control import ListDevices, Refused
from protocol.messages.presence import DeviceList
from relay.store import sql
from relay.store.interface import AnchorRecord, DeviceArrival, DeviceRecord, OrganisationRecord
from relay.store.sql import open_sql_store
from tests.relay.test_sessions import meeting
from tests.support.organisation import acme
from tests.support.postgres import IS_THERE, running_postgres
from tests.support.relay_process import RelayProcess, log_in_client
from tests.support.said import said

pytestmark = pytest.mark.real

FLEET = 100
OURS = OrganisationId("acme")
PAGE_BYTES = 4096
NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def refusal_of_log_in(relay: RelayProcess) -> ErrorCode:
    """With what code the relay turns away a device that it would take."""
    with pytest.raises(SupportError) as refused:
        await log_in_client(relay, acme().device())
    return refused.value.code


async def status_of(relay: RelayProcess, path: str) -> str:
    """What a load balancer gets."""
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.control_port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: relay\r\n\r\n".encode())
    answer = await reader.read(4096)
    writer.close()
    return answer.split()[1].decode()


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another program writes to the database, and does not come to an end."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_rel_04_a_locked_database_refuses_what_is_new_by_name_keeps_sessions_and_charges_nobody(
    relay: RelayProcess,
) -> None:
    both = await meeting(relay)
    device, technician = await both.meet()
    with locked(relay.data / "relay.sqlite"):
        fleet = asyncio.gather(*(refusal_of_log_in(relay) for _ in range(FLEET)))
        await both.technician.send(ListDevices(7))
        await device.send(b"meanwhile")
        assert await technician.receive() == b"meanwhile"
        assert await status_of(relay, "/healthz") == "200"
        assert await both.technician.wait_for(Refused) == Refused(7, ErrorCode.E_RELAY_STORE)
        assert set(await fleet) == {ErrorCode.E_RELAY_STORE}
    # the control, and by itself: the same fleet at the same address gets in, and nothing was counted
    back = await asyncio.gather(*(log_in_client(relay, acme().device()) for _ in range(FLEET)))
    await both.technician.send(ListDevices(8))
    assert len((await both.technician.wait_for(DeviceList)).devices) > FLEET
    assert await status_of(relay, "/readyz") == "200"
    for each in (*back, device, technician, both):
        await each.close()
    assert "Traceback" not in relay.log_text()


@pytest.mark.skipif(not IS_THERE, reason="install PostgreSQL's server: the case is that it goes away")
async def test_rel_04_a_database_server_that_goes_away_is_told_by_name_and_taken_up_again() -> None:
    with running_postgres() as server:
        store = await open_sql_store(server.new_database())
        before = await store.relay_id()
        server.stop()
        for _ in range(2):  # the connection that was there, and a new one
            with pytest.raises(EnvironmentFault) as fault:
                await store.relay_id()
            assert fault.value.code is ErrorCode.E_RELAY_STORE
        server.start()
        assert await store.relay_id() == before
        await store.close()


# -- REL-16


async def filled(file: Path, devices: int = 24) -> list[DeviceRecord]:
    """A database with something on every page; what it lists."""
    store = await open_sql_store(f"sqlite+aiosqlite:///{file}")
    await store.add_first_organisation(OrganisationRecord(OURS, b"root" * 200, "Acme", NOW))
    for number in range(devices):
        arrival = DeviceArrival(OURS, f"d-{number}", "pc" * 20, "group", "77", NOW, 0, False, NOW)
        await store.admit_device(arrival)
        await store.keep_anchor(OURS, f"d-{number}", AnchorRecord(b"a" * 250, NOW))
    kept = await store.devices(OURS)
    await store.close()
    with closing(sqlite3.connect(file)) as outside:
        outside.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return kept


async def opening(file: Path) -> ErrorCode | None:
    """With what code it is refused, or None."""
    try:
        store = await open_sql_store(f"sqlite+aiosqlite:///{file}")
    except EnvironmentFault as exc:
        return exc.code
    await store.close()
    return None


async def test_rel_16_a_page_that_was_torn_or_exchanged_is_found_at_the_start_wherever_it_lies(
    tmp_path: Path,
) -> None:
    whole = tmp_path / "whole.sqlite"
    kept = await filled(whole)
    content = whole.read_bytes()
    pages = len(content) // PAGE_BYTES
    unnoticed = []
    for number in range(pages):
        at = number * PAGE_BYTES
        other = content[((number + 3) % pages) * PAGE_BYTES :][:PAGE_BYTES]
        torn = tmp_path / "torn.sqlite"
        for name, page in (("noise", b"\xa5" * PAGE_BYTES), ("exchanged", other)):
            torn.write_bytes(content[:at] + page + content[at + PAGE_BYTES :])
            if await opening(torn) is not ErrorCode.E_STORE_DAMAGED:
                unnoticed.append((number, name))
    assert (unnoticed, pages > 15) == ([], True)
    store = await open_sql_store(f"sqlite+aiosqlite:///{whole}")  # the control
    assert await store.devices(OURS) == kept
    await store.close()


async def test_rel_16_a_relay_refuses_a_damaged_database_and_goes_on_from_a_backup(
    relay: RelayProcess, tmp_path: Path
) -> None:
    device, before = acme().device(), relay.relay_id
    await (await log_in_client(relay, device)).close()
    file, backup = relay.data / "relay.sqlite", tmp_path / "backup.sqlite"
    with closing(sqlite3.connect(file)) as running, closing(sqlite3.connect(backup)) as kept:
        running.backup(kept)  # as `sqlite3 relay.sqlite .backup` does, while the relay runs
    assert relay.stop() == 0
    with closing(sqlite3.connect(file)) as stopped:  # what is in the log of writes would be read instead
        stopped.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = file.read_bytes()
    file.write_bytes(content[: 2 * PAGE_BYTES] + b"\xa5" * PAGE_BYTES + content[3 * PAGE_BYTES :])
    words = ("serve", "--listen", "127.0.0.1:0", "--data", str(relay.data), "--json")
    refused = await asyncio.to_thread(said, "alongside-relay", *words)
    refused.assert_fault(ErrorCode.E_STORE_DAMAGED)
    for beside in relay.data.glob("relay.sqlite*"):
        beside.rename(tmp_path / f"damaged-{beside.name}")
    shutil.copy(backup, file)
    relay.restart()
    assert relay.relay_id == before
    await (await log_in_client(relay, device)).close()


async def test_rel_16_a_log_of_writes_that_was_torn_by_a_crash_loses_its_tail_alone(tmp_path: Path) -> None:
    file = tmp_path / "relay.sqlite"
    kept = await filled(file)
    store = await open_sql_store(f"sqlite+aiosqlite:///{file}")
    arrival = DeviceArrival(OURS, "d-last", "pc", "group", "77", NOW, 0, False, NOW)
    await store.admit_device(arrival)
    database, log = file.read_bytes(), Path(f"{file}-wal").read_bytes()
    await store.close()
    for cut_bytes in (1, 100, 5000):
        crashed = tmp_path / f"crashed-{cut_bytes}.sqlite"  # the last write is half on the disk
        crashed.write_bytes(database)
        Path(f"{crashed}-wal").write_bytes(log[:-cut_bytes])
        after = await open_sql_store(f"sqlite+aiosqlite:///{crashed}")
        assert [one for one in await after.devices(OURS) if one.device_id != "d-last"] == kept
        await after.admit_device(arrival)
        assert len(await after.devices(OURS)) == len(kept) + 1
        await after.close()


# -- REL-13: the database of another version


async def test_rel_13_a_database_of_a_newer_version_is_refused_by_name_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "relay.sqlite"
    await filled(file)
    with closing(sqlite3.connect(file)) as newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
        newer.commit()
    before = file.read_bytes()
    assert await opening(file) is ErrorCode.E_STORE_VERSION
    assert file.read_bytes()[100:] == before[100:], "but for the file's own counters"


@pytest.mark.parametrize("revision", ["0001", "0002"])
async def test_rel_13_a_database_of_an_older_version_is_brought_up_with_what_is_in_it(
    tmp_path: Path, revision: str
) -> None:
    file = tmp_path / "relay.sqlite"
    engine = sa.create_engine(f"sqlite:///{file}")
    config = AlembicConfig()
    config.set_main_option("script_location", str(sql._MIGRATIONS))
    relay_id = b32encode(b"an older relay.").decode().lower()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.execute(
            sa.text("INSERT INTO settings (name, value) VALUES ('relay_id', :id)"), {"id": relay_id}
        )
    engine.dispose()
    store = await open_sql_store(f"sqlite+aiosqlite:///{file}")
    assert await store.relay_id() == relay_id
    assert await store.anchors(OURS, "d-1") == []
    await store.close()
