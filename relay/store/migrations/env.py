"""Run by Alembic: migrates over the connection that `relay.store.sql` hands over."""

from alembic import context

from relay.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite changes a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
