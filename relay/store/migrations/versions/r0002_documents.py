"""Signed documents beside the policy: status lists."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "documents",
        sa.Column(
            "organisation_id",
            sa.String(64),
            sa.ForeignKey("organisations.organisation_id"),
            primary_key=True,
        ),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        sa.Column("published_at_utc", sa.DateTime, nullable=False),
    )


def downgrade() -> None:
    """Drop it again."""
    op.drop_table("documents")
