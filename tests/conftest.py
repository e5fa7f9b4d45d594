"""What holds for every test."""

import os
import signal
from collections.abc import Generator, Iterator

import pytest
import structlog
from aiohttp import web_app
from hypothesis import HealthCheck, settings

from tests.support.postgres import IS_THERE, PostgresServer, running_postgres

ID_LIMIT = 60
BESIDE_NICE = 10
NO_SCREEN = {"loopback", "protocol", "relay"}  # folders whose real tests are all as if marked `beside`

# how long one example takes says how busy the machine is; what hangs meets the test's own limit
settings.register_profile("counted", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("counted")


def pytest_configure() -> None:
    """Programs that tests start notice Ctrl-C, also of a pytest in the background, which ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Side by side: what needs a screen, a browser or the whole system never runs beside its like."""
    is_grouped = config.getoption("loadgroup", default=False)
    for item in items if is_grouped else []:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    if is_grouped:
        items.sort(key=_turn)
    yield
    if is_grouped and not all("@" in item.nodeid for item in items):
        raise pytest.UsageError("this pytest ignores the groups of pytest-xdist: see pyproject.toml")


def _group(item: pytest.Item) -> str:
    """Those with a screen follow each other in one process; the others stay in their files."""
    return "real" if _turn(item) == 0 else item.path.name


def _turn(item: pytest.Item) -> int:
    """The longest first: with a screen, then other real ones beside them, then pure ones."""
    if item.get_closest_marker("real") is None:
        return 2
    return int(item.get_closest_marker("beside") is not None or item.path.parent.name in NO_SCREEN)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Whoever runs beside those with a screen leaves them the processor: they type, click and measure."""
    is_beside = hasattr(item.config, "workerinput") and not item.nodeid.endswith("@real")
    if is_beside and os.name == "posix" and os.getpriority(os.PRIO_PROCESS, 0) == 0:
        os.nice(BESIDE_NICE)


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
