"""What holds for every test."""

from collections.abc import Iterator

import pytest
import structlog

from tests.support.postgres import IS_THERE, PostgresServer, running_postgres


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """No test inherits the log settings of a command line that an earlier one ran in this process."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests that need one; each takes a database of its own."""
    if not IS_THERE:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    with running_postgres() as server:
        yield server
