"""What attacks share: a claimed relay, the desktop process, and the console in a browser."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.agent.conftest import desktop, display, person
from tests.support.organisation import acme
from tests.support.relay_process import RelayProcess, claim_relay, running_relay
from tests.technician_client.conftest import browser, desk

__all__ = ["browser", "desk", "desktop", "display", "person"]


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """A real relay with SQLite, claimed for `acme()`; what is attacked is made by each test anew."""
    with running_relay(tmp_path_factory.mktemp("relay") / "data") as started:
        asyncio.run(claim_relay(started, acme()))
        yield started
