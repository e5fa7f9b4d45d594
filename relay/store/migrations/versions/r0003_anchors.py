"""Anchors of devices' audit logs: opaque to the relay."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "anchors",
        sa.Column(
            "organisation_id",
            sa.String(64),
            sa.ForeignKey("organisations.organisation_id"),
            primary_key=True,
        ),
        sa.Column("device_id", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("anchor", sa.LargeBinary, nullable=False),
        sa.Column("kept_at_utc", sa.DateTime, nullable=False),
    )


def downgrade() -> None:
    """Drop it again."""
    op.drop_table("anchors")
