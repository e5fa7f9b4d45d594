"""What holds for every test."""

import signal
from collections.abc import Generator, Iterator

import pytest
import structlog
from aiohttp import web_app

from tests.support.postgres import IS_THERE, PostgresServer, running_postgres

ID_LIMIT = 60


def pytest_configure() -> None:
    """Programs that tests start notice Ctrl-C, also of a pytest in the background, which ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Two at a time: a real test runs beside pure ones, which stay in their files, never beside another."""
    is_grouped = config.getoption("loadgroup", default=False)
    for item in items if is_grouped else []:
        is_real = item.get_closest_marker("real") is not None
        item.add_marker(pytest.mark.xdist_group("real" if is_real else item.path.name))
    yield
    if is_grouped and not all("@" in item.nodeid for item in items):
        raise pytest.UsageError("this pytest ignores the groups of pytest-xdist: see pyproject.toml")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long texts are counted, not spelled out: keys in them are new in each process, names are not."""
    return argname if isinstance(val, str | bytes) and len(val) > ID_LIMIT else None


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """No test inherits the log settings of a command line that an earlier one ran in this process."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def servers_that_ended_are_forgotten() -> Iterator[None]:
    """aiohttp remembers a thousand applications, and so every server of a test with all its pictures."""
    yield
    web_app._cached_build_middleware.cache_clear()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests that need one; each takes a database of its own."""
    if not IS_THERE:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    with running_postgres() as server:
        yield server
