"""A claimed relay for tests that only use it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.organisation import acme
from tests.support.relay_process import RelayProcess, claim_relay, running_relay


@pytest.fixture(scope="session")
def shared_relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """One relay with one worker, claimed for `acme()`; tests leave it as they found it."""
    with running_relay(tmp_path_factory.mktemp("relay") / "data") as relay:
        asyncio.run(claim_relay(relay, acme()))
        yield relay


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[RelayProcess]:
    """A fresh relay of this test alone, claimed for `acme()`."""
    with running_relay(tmp_path / "data") as relay:
        asyncio.run(claim_relay(relay, acme()))
        yield relay


@pytest.fixture
def unclaimed_relay(tmp_path: Path) -> Iterator[RelayProcess]:
    """A fresh relay that nobody claimed."""
    with running_relay(tmp_path / "data") as relay:
        yield relay
