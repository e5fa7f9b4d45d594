"""The tables, as the newest migration leaves them."""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

METADATA = sa.MetaData()


class UtcMoment(sa.types.TypeDecorator[datetime]):
    """Aware UTC in Python, naive UTC in the database, which SQLite cannot do by itself."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        return None if value is None else value.replace(tzinfo=UTC)


SETTINGS = sa.Table(
    "settings",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.String(256), nullable=False),
)

ORGANISATIONS = sa.Table(
    "organisations",
    METADATA,
    sa.Column("organisation_id", sa.String(64), primary_key=True),
    sa.Column("root_der", sa.LargeBinary, nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("claimed_at_utc", UtcMoment, nullable=False),
)

ENROLLERS = sa.Table(
    "enrollers",
    METADATA,
    sa.Column("organisation_id", sa.ForeignKey("organisations.organisation_id"), primary_key=True),
    sa.Column("serial", sa.String(64), primary_key=True),
    sa.Column("uses", sa.Integer, nullable=False),
    sa.Column("is_revoked", sa.Boolean, nullable=False),
    sa.Column("first_seen_at_utc", UtcMoment, nullable=False),
)

DEVICES = sa.Table(
    "devices",
    METADATA,
    sa.Column("organisation_id", sa.ForeignKey("organisations.organisation_id"), primary_key=True),
    sa.Column("device_id", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("group", sa.String(64), nullable=False),
    sa.Column("platform", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("enroller_serial", sa.String(64), nullable=False),
    sa.Column("first_seen_at_utc", UtcMoment, nullable=False),
    sa.Column("last_seen_at_utc", UtcMoment, nullable=False),
)

POLICIES = sa.Table(
    "policies",
    METADATA,
    sa.Column("organisation_id", sa.ForeignKey("organisations.organisation_id"), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("envelope", sa.LargeBinary, nullable=False),
    sa.Column("published_at_utc", UtcMoment, nullable=False),
)

ANCHORS = sa.Table(
    "anchors",
    METADATA,
    sa.Column("organisation_id", sa.ForeignKey("organisations.organisation_id"), primary_key=True),
    sa.Column("device_id", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("anchor", sa.LargeBinary, nullable=False),
    sa.Column("kept_at_utc", UtcMoment, nullable=False),
)

DOCUMENTS = sa.Table(
    "documents",
    METADATA,
    sa.Column("organisation_id", sa.ForeignKey("organisations.organisation_id"), primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("envelope", sa.LargeBinary, nullable=False),
    sa.Column("published_at_utc", UtcMoment, nullable=False),
)
