"""What holds for every test."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """No test inherits the log settings of a command line that an earlier one ran in this process."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()
