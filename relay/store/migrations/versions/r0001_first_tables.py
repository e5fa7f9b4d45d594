"""Settings, organisations, enrollers, devices and policies."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ORGANISATION = "organisations.organisation_id"


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "settings",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.String(256), nullable=False),
    )
    op.create_table(
        "organisations",
        sa.Column("organisation_id", sa.String(64), primary_key=True),
        sa.Column("root_der", sa.LargeBinary, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("claimed_at_utc", sa.DateTime, nullable=False),
    )
    op.create_table(
        "enrollers",
        sa.Column("organisation_id", sa.String(64), sa.ForeignKey(_ORGANISATION), primary_key=True),
        sa.Column("serial", sa.String(64), primary_key=True),
        sa.Column("uses", sa.Integer, nullable=False),
        sa.Column("is_revoked", sa.Boolean, nullable=False),
        sa.Column("first_seen_at_utc", sa.DateTime, nullable=False),
    )
    op.create_table(
        "devices",
        sa.Column("organisation_id", sa.String(64), sa.ForeignKey(_ORGANISATION), primary_key=True),
        sa.Column("device_id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("group", sa.String(64), nullable=False),
        sa.Column("platform", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("enroller_serial", sa.String(64), nullable=False),
        sa.Column("first_seen_at_utc", sa.DateTime, nullable=False),
        sa.Column("last_seen_at_utc", sa.DateTime, nullable=False),
    )
    op.create_table(
        "policies",
        sa.Column("organisation_id", sa.String(64), sa.ForeignKey(_ORGANISATION), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        sa.Column("published_at_utc", sa.DateTime, nullable=False),
    )


def downgrade() -> None:
    """Drop them again."""
    for table in ("policies", "devices", "enrollers", "organisations", "settings"):
        op.drop_table(table)
