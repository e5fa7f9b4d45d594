"""Alembic migrations; they run by themselves when the relay starts."""
