"""The store in a SQL database, by SQLAlchemy: SQLite by default, PostgreSQL by its URL.

What two transactions could do at once is decided by the database: a row's key, or a row's lock. SQLite has
one writer at a time; PostgreSQL runs at its default level (READ COMMITTED), with relays beside each other.
"""

import secrets
import sqlite3
from base64 import b32encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.util.exc import CommandError
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from protocol.errors import EnvironmentFault, ErrorCode, UsageError
from protocol.ids import OrganisationId
from protocol.limits import ANCHORS_PER_DAY_LIMIT, ANCHORS_PER_DEVICE_LIMIT, DEVICE_LIST_LIMIT
from relay.enrollment import REMOVED, check_known_device, status_of_new_device
from relay.store.interface import (
    AnchorRecord,
    DeviceArrival,
    DeviceChange,
    DeviceRecord,
    DocumentKind,
    DocumentRecord,
    EnrollerRecord,
    OrganisationRecord,
    PolicyRecord,
)
from relay.store.tables import ANCHORS, DEVICES, DOCUMENTS, ENROLLERS, ORGANISATIONS, POLICIES, SETTINGS

_MIGRATIONS = Path(__file__).parent / "migrations"
_RELAY_ID_BYTES = 15
_CLAIMED_BY = "claimed_by"
# the first two together are less than LOGIN_TIMEOUT_S: a driver that waits for a lock cannot be interrupted,
# and who logs in is to hear what is wrong while they listen
_LOCK_TIMEOUT_S = 5
_POOL_TIMEOUT_S = 4
_CONNECT_TIMEOUT_S = 5
_STATEMENT_TIMEOUT_S = 15
# primary result codes of SQLite for a file that is damaged, or none of SQLite's
_SQLITE_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# each knows INSERT ... ON CONFLICT DO NOTHING
_INSERTS: dict[str, Callable[[sa.Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class SqlStore:
    """Implements `relay.store.interface.Store`. Made by `open_sql_store`."""

    def __init__(self, engine: AsyncEngine, driver_faults: tuple[type[Exception], ...] = ()) -> None:
        """`driver_faults`: what the driver raises by itself, while it connects."""
        self._engine = engine
        self._faults: tuple[type[Exception], ...] = (PoolTimeoutError, OSError, *driver_faults)

    async def relay_id(self) -> str:
        """See `Store`."""
        made = b32encode(secrets.token_bytes(_RELAY_ID_BYTES)).decode().lower()
        async with self._transaction() as connection:
            await _insert_if_absent(connection, SETTINGS, {"name": "relay_id", "value": made})
            kept = sa.select(SETTINGS.c.value).where(SETTINGS.c.name == "relay_id")
            return str(await connection.scalar(kept))

    async def organisation(self, organisation_id: OrganisationId | None = None) -> OrganisationRecord | None:
        """See `Store`."""
        query = sa.select(ORGANISATIONS)
        if organisation_id is not None:
            query = query.where(ORGANISATIONS.c.organisation_id == organisation_id)
        async with self._transaction() as connection:
            row = (await connection.execute(query.limit(1))).first()
        return None if row is None else OrganisationRecord(**row._mapping)

    async def organisations(self) -> list[OrganisationRecord]:
        """See `Store`."""
        async with self._transaction() as connection:
            rows = await connection.execute(sa.select(ORGANISATIONS))
            return [OrganisationRecord(**row._mapping) for row in rows]

    async def add_first_organisation(self, record: OrganisationRecord) -> bool:
        """See `Store`."""
        async with self._transaction() as connection:
            if await connection.scalar(sa.select(sa.func.count()).select_from(ORGANISATIONS)):
                return False
            claim = {"name": _CLAIMED_BY, "value": record.organisation_id}
            if not await _insert_if_absent(connection, SETTINGS, claim):
                return False
            values = {
                "organisation_id": record.organisation_id,
                "root_der": record.root_der,
                "name": record.name,
                "claimed_at_utc": record.claimed_at_utc,
            }
            await connection.execute(ORGANISATIONS.insert().values(values))
            return True

    async def admit_device(self, arrival: DeviceArrival) -> DeviceRecord:
        """See `Store`."""
        key = (arrival.organisation_id, arrival.device_id)
        async with self._transaction() as connection:
            known = await _device(connection, *key)
            if known is None:
                enroller = await _locked_enroller(connection, arrival)
                # by another link of the same device, before the lock was ours
                known = await _device(connection, *key)
                if known is None:
                    return await _add_device(connection, arrival, enroller)
            check_known_device(known)
            seen = DEVICES.update().where(_is_device(*key)).values(last_seen_at_utc=arrival.at_utc)
            await connection.execute(seen)
            return known

    async def update_device(
        self, organisation_id: OrganisationId, device_id: str, change: DeviceChange
    ) -> DeviceRecord | None:
        """See `Store`."""
        wanted = {
            "name": change.name,
            "platform": change.platform,
            "status": change.status,
            "last_seen_at_utc": change.last_seen_at_utc,
        }
        values = {column: value for column, value in wanted.items() if value is not None}
        async with self._transaction() as connection:
            if values:
                where = _is_device(organisation_id, device_id)
                await connection.execute(DEVICES.update().where(where).values(values))
            return await _device(connection, organisation_id, device_id)

    async def device(self, organisation_id: OrganisationId, device_id: str) -> DeviceRecord | None:
        """See `Store`."""
        async with self._transaction() as connection:
            return await _device(connection, organisation_id, device_id)

    async def devices(self, organisation_id: OrganisationId) -> list[DeviceRecord]:
        """See `Store`."""
        query = (
            sa.select(DEVICES)
            .where(DEVICES.c.organisation_id == organisation_id)
            .order_by(DEVICES.c.status == REMOVED, DEVICES.c.name, DEVICES.c.device_id)
            .limit(DEVICE_LIST_LIMIT)
        )
        async with self._transaction() as connection:
            return [DeviceRecord(**row._mapping) for row in await connection.execute(query)]

    async def enrollers(self, organisation_id: OrganisationId) -> list[EnrollerRecord]:
        """See `Store`."""
        query = (
            sa.select(ENROLLERS.c.serial, ENROLLERS.c.uses, ENROLLERS.c.is_revoked)
            .where(ENROLLERS.c.organisation_id == organisation_id)
            .order_by(ENROLLERS.c.first_seen_at_utc.desc(), ENROLLERS.c.serial)
            .limit(DEVICE_LIST_LIMIT)
        )
        async with self._transaction() as connection:
            return [EnrollerRecord(**row._mapping) for row in await connection.execute(query)]

    async def revoke_enroller(self, organisation_id: OrganisationId, serial: str) -> None:
        """See `Store`."""
        where = sa.and_(ENROLLERS.c.organisation_id == organisation_id, ENROLLERS.c.serial == serial)
        async with self._transaction() as connection:
            await _insert_if_absent(connection, ENROLLERS, _fresh_enroller(organisation_id, serial))
            await connection.execute(ENROLLERS.update().where(where).values(is_revoked=True))

    async def newest_policy(self, organisation_id: OrganisationId) -> PolicyRecord | None:
        """See `Store`."""
        query = (
            sa.select(POLICIES.c.version, POLICIES.c.envelope)
            .where(POLICIES.c.organisation_id == organisation_id)
            .order_by(POLICIES.c.version.desc())
            .limit(1)
        )
        async with self._transaction() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else PolicyRecord(**row._mapping)

    async def publish_policy(self, organisation_id: OrganisationId, policy: PolicyRecord) -> bool:
        """See `Store`."""
        of_organisation = POLICIES.c.organisation_id == organisation_id
        values = {
            "organisation_id": organisation_id,
            "version": policy.version,
            "envelope": policy.envelope,
            "published_at_utc": datetime.now(UTC),
        }
        async with self._transaction() as connection:
            await _lock_organisation(connection, organisation_id)
            newest = await connection.scalar(
                sa.select(sa.func.max(POLICIES.c.version)).where(of_organisation)
            )
            if newest is not None and policy.version <= newest:
                return False
            # what agents hold is theirs; here only the newest is ever handed out
            await connection.execute(POLICIES.delete().where(of_organisation))
            await connection.execute(POLICIES.insert().values(values))
            return True

    async def newest_document(
        self, organisation_id: OrganisationId, kind: DocumentKind
    ) -> DocumentRecord | None:
        """See `Store`."""
        async with self._transaction() as connection:
            return await _newest_document(connection, organisation_id, kind)

    async def publish_document(
        self, organisation_id: OrganisationId, kind: DocumentKind, document: DocumentRecord
    ) -> bool:
        """See `Store`."""
        async with self._transaction() as connection:
            await _lock_organisation(connection, organisation_id)
            newest = await _newest_document(connection, organisation_id, kind)
            if newest is not None and document.version <= newest.version:
                return newest == document
            await _put_document(connection, organisation_id, kind, document)
            return True

    async def keep_anchor(
        self, organisation_id: OrganisationId, device_id: str, record: AnchorRecord
    ) -> bool:
        """See `Store`."""
        mine = sa.and_(ANCHORS.c.organisation_id == organisation_id, ANCHORS.c.device_id == device_id)
        async with self._transaction() as connection:
            # the device's row is locked, so that two links of one device cannot both take a number
            await connection.execute(
                sa.select(DEVICES.c.device_id).where(_is_device(organisation_id, device_id)).with_for_update()
            )
            since = record.kept_at_utc - timedelta(days=1)
            today = sa.select(sa.func.count()).where(mine, ANCHORS.c.kept_at_utc > since)
            if (await connection.scalar(today) or 0) >= ANCHORS_PER_DAY_LIMIT:
                return False
            newest = await connection.scalar(sa.select(sa.func.max(ANCHORS.c.number)).where(mine)) or 0
            too_old = sa.and_(mine, ANCHORS.c.number <= newest + 1 - ANCHORS_PER_DEVICE_LIMIT)
            await connection.execute(ANCHORS.delete().where(too_old))
            values = {
                "organisation_id": organisation_id,
                "device_id": device_id,
                "number": newest + 1,
                "anchor": record.anchor,
                "kept_at_utc": record.kept_at_utc,
            }
            await connection.execute(ANCHORS.insert().values(values))
            return True

    async def anchors(self, organisation_id: OrganisationId, device_id: str) -> list[AnchorRecord]:
        """See `Store`."""
        query = (
            sa.select(ANCHORS.c.anchor, ANCHORS.c.kept_at_utc)
            .where(ANCHORS.c.organisation_id == organisation_id, ANCHORS.c.device_id == device_id)
            .order_by(ANCHORS.c.number)
        )
        async with self._transaction() as connection:
            return [AnchorRecord(**row._mapping) for row in await connection.execute(query)]

    async def succeed(
        self, organisation_id: OrganisationId, before: DocumentRecord | None, successors: DocumentRecord
    ) -> bool:
        """See `Store`."""
        kind = DocumentKind.SUCCESSORS
        async with self._transaction() as connection:
            await _lock_organisation(connection, organisation_id)
            kept = await _newest_document(connection, organisation_id, kind)
            if kept == successors:
                return True
            if kept != before:
                return False
            if kept is None or kept.version < successors.version:
                await connection.execute(
                    POLICIES.delete().where(POLICIES.c.organisation_id == organisation_id)
                )
                of_status = _is_document(organisation_id, DocumentKind.STATUS)
                await connection.execute(DOCUMENTS.delete().where(of_status))
            await _put_document(connection, organisation_id, kind, successors)
            return True

    async def close(self) -> None:
        """See `Store`."""
        await self._engine.dispose()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.begin() as connection:
                yield connection
        except DBAPIError as exc:
            detail = f"{type(exc.orig).__name__}: {exc.orig}"[:200]
            raise EnvironmentFault(detail, code=ErrorCode.E_RELAY_STORE) from exc
        except self._faults as exc:
            raise EnvironmentFault(
                f"{type(exc).__name__}: {exc}"[:200], code=ErrorCode.E_RELAY_STORE
            ) from None


async def open_sql_store(url: str) -> SqlStore:
    """Connect, look whether the database is whole, migrate to the newest tables, and hand out the store.

    Raises:
        UsageError: E_CONFIG when the URL names no database that can be used.
        EnvironmentFault: E_DATA_DISK, E_STORE_DAMAGED, E_STORE_VERSION.
    """
    try:
        engine = _engine(url)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as exc:
        raise UsageError(f"database: {exc}"[:200], code=ErrorCode.E_CONFIG) from None
    store = SqlStore(engine, _driver_faults(engine.dialect.name))
    try:
        async with store._transaction() as connection:
            await connection.run_sync(_check_whole)
            await connection.run_sync(_migrate)
    except (EnvironmentFault, CommandError) as exc:
        await engine.dispose()
        if isinstance(exc, CommandError):  # alembic finds the revision of the tables in none of ours
            raise EnvironmentFault(f"database: {exc}"[:200], code=ErrorCode.E_STORE_VERSION) from None
        code = ErrorCode.E_STORE_DAMAGED if _is_damage(exc) else ErrorCode.E_DATA_DISK
        raise EnvironmentFault(f"database: {exc.detail}"[:200], code=code) from None
    return store


def _is_damage(fault: EnvironmentFault) -> bool:
    orig = getattr(fault.__cause__, "orig", None)
    is_said_by_driver = getattr(orig, "sqlite_errorcode", 0) & 0xFF in _SQLITE_DAMAGED
    return fault.code is ErrorCode.E_STORE_DAMAGED or is_said_by_driver


def _driver_faults(dialect: str) -> tuple[type[Exception], ...]:
    if dialect != "postgresql":
        return ()
    import asyncpg  # the driver of this database alone

    return (asyncpg.PostgresError, asyncpg.InterfaceError)


def _check_whole(connection: sa.Connection) -> None:
    """SQLite has no check sums of its own: a torn or exchanged page shows in how they fit together."""
    if connection.dialect.name != "sqlite":
        return
    said = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
    if said != "ok":
        raise EnvironmentFault(str(said), code=ErrorCode.E_STORE_DAMAGED)


def _engine(url: str) -> AsyncEngine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() not in _INSERTS:
        raise ArgumentError(f"{parsed.get_backend_name()} is not one of {', '.join(sorted(_INSERTS))}")
    if parsed.get_backend_name() != "sqlite":
        return create_async_engine(
            parsed,
            pool_pre_ping=True,
            pool_timeout=_POOL_TIMEOUT_S,
            connect_args={"timeout": _CONNECT_TIMEOUT_S, "command_timeout": _STATEMENT_TIMEOUT_S},
        )
    # one connection: SQLite has one writer anyway, and no call waits for a lock of our own
    engine = create_async_engine(parsed, pool_size=1, max_overflow=0, pool_timeout=_POOL_TIMEOUT_S)

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, record: Any) -> None:
        # transactions are begun by the line below, not by the driver's guess
        connection.isolation_level = None
        cursor = connection.cursor()
        patience = f"busy_timeout={_LOCK_TIMEOUT_S * 1000}"
        for pragma in (patience, "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _migrate(connection: sa.Connection) -> None:
    config = AlembicConfig()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _is_device(organisation_id: OrganisationId, device_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(DEVICES.c.organisation_id == organisation_id, DEVICES.c.device_id == device_id)


def _is_enroller(arrival: DeviceArrival) -> sa.ColumnElement[bool]:
    return sa.and_(
        ENROLLERS.c.organisation_id == arrival.organisation_id, ENROLLERS.c.serial == arrival.enroller_serial
    )


def _is_document(organisation_id: OrganisationId, kind: DocumentKind) -> sa.ColumnElement[bool]:
    return sa.and_(DOCUMENTS.c.organisation_id == organisation_id, DOCUMENTS.c.kind == kind.value)


async def _put_document(
    connection: AsyncConnection, organisation_id: OrganisationId, kind: DocumentKind, document: DocumentRecord
) -> None:
    """In place of the one before."""
    await connection.execute(DOCUMENTS.delete().where(_is_document(organisation_id, kind)))
    values = {
        "organisation_id": organisation_id,
        "kind": kind.value,
        "version": document.version,
        "envelope": document.envelope,
        "published_at_utc": datetime.now(UTC),
    }
    await connection.execute(DOCUMENTS.insert().values(values))


async def _newest_document(
    connection: AsyncConnection, organisation_id: OrganisationId, kind: DocumentKind
) -> DocumentRecord | None:
    query = (
        sa.select(DOCUMENTS.c.version, DOCUMENTS.c.envelope)
        .where(_is_document(organisation_id, kind))
        .order_by(DOCUMENTS.c.version.desc())
        .limit(1)
    )
    row = (await connection.execute(query)).first()
    return None if row is None else DocumentRecord(**row._mapping)


async def _lock_organisation(connection: AsyncConnection, organisation_id: OrganisationId) -> None:
    """One publisher at a time; devices may join meanwhile."""
    mine = sa.select(ORGANISATIONS.c.organisation_id).where(
        ORGANISATIONS.c.organisation_id == organisation_id
    )
    await connection.execute(mine.with_for_update(key_share=True))


async def _device(
    connection: AsyncConnection, organisation_id: OrganisationId, device_id: str
) -> DeviceRecord | None:
    query = sa.select(DEVICES).where(_is_device(organisation_id, device_id))
    row = (await connection.execute(query)).first()
    return None if row is None else DeviceRecord(**row._mapping)


async def _locked_enroller(connection: AsyncConnection, arrival: DeviceArrival) -> EnrollerRecord:
    """The enroller's row, made when it is new, and locked until the transaction ends."""
    fresh = _fresh_enroller(arrival.organisation_id, arrival.enroller_serial)
    await _insert_if_absent(connection, ENROLLERS, fresh)
    columns = (ENROLLERS.c.serial, ENROLLERS.c.uses, ENROLLERS.c.is_revoked)
    query = sa.select(*columns).where(_is_enroller(arrival)).with_for_update()
    return EnrollerRecord(**(await connection.execute(query)).one()._mapping)


async def _add_device(
    connection: AsyncConnection, arrival: DeviceArrival, enroller: EnrollerRecord
) -> DeviceRecord:
    """The new device, counted; the enroller's row is locked by this transaction."""
    status = status_of_new_device(arrival, enroller)
    counted = ENROLLERS.update().where(_is_enroller(arrival)).values(uses=ENROLLERS.c.uses + 1)
    await connection.execute(counted)
    await connection.execute(DEVICES.insert().values(_new_device(arrival, status)))
    added = await _device(connection, arrival.organisation_id, arrival.device_id)
    assert added is not None
    return added


async def _insert_if_absent(connection: AsyncConnection, table: sa.Table, values: dict[str, Any]) -> bool:
    """Whether the row is new. A transaction that inserts the same key at this moment is waited for."""
    insert = _INSERTS[connection.dialect.name](table).values(values).on_conflict_do_nothing()
    return (await connection.execute(insert)).rowcount == 1


def _fresh_enroller(organisation_id: OrganisationId, serial: str) -> dict[str, Any]:
    return {
        "organisation_id": organisation_id,
        "serial": serial,
        "uses": 0,
        "is_revoked": False,
        "first_seen_at_utc": datetime.now(UTC),
    }


def _new_device(arrival: DeviceArrival, status: str) -> dict[str, Any]:
    return {
        "organisation_id": arrival.organisation_id,
        "device_id": arrival.device_id,
        "name": arrival.name,
        "group": arrival.group,
        "platform": "",
        "status": status,
        "enroller_serial": arrival.enroller_serial,
        "first_seen_at_utc": arrival.at_utc,
        "last_seen_at_utc": arrival.at_utc,
    }
