"""Of many log-ins at once a few are judged, and the others wait in line: who gave up costs nothing."""

import asyncio
from datetime import datetime
from typing import cast

from protocol.errors import ErrorCode, SupportError
from protocol.messages.control import PRE_LOGIN_CODEC, LogIn
from protocol.version import PROTOCOL_VERSION
from relay.gateway import Gateway
from relay.presence import Presence
from relay.registry import Admitted, Registry, Visitor
from relay.requests import RequestDesk
from tests.support.organisation import acme
from tests.support.virtual_time import run_virtually

ONE_TAKES_S, FLEET = 0.1, 2000


class SlowRegistry:
    """A database that does one thing after the other, also for those who wait no more, as aiosqlite does."""

    def __init__(self) -> None:
        self.under_way = 0
        self.most_under_way = 0
        self._free_at_s = 0.0

    async def log_in(self, message: LogIn, nonce: bytes, now: datetime) -> Admitted:
        """See `Registry.log_in`."""
        loop = asyncio.get_running_loop()
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self._free_at_s = max(self._free_at_s, loop.time()) + ONE_TAKES_S
        try:
            await asyncio.sleep(self._free_at_s - loop.time())
        finally:
            self.under_way -= 1
        return Admitted(Visitor(acme().device().role, "d"), "approved")


async def come_back(registry: SlowRegistry, rounds: int) -> int:
    """A fleet that is far too large for the database tries so often; how many were let in."""
    gateway = Gateway(cast(Registry, registry), cast(RequestDesk, None), Presence(), behind_proxy=False)
    log_in = PRE_LOGIN_CODEC.encode(LogIn(PROTOCOL_VERSION, [b"chain"], b"signature"))
    admitted = 0
    for number in range(rounds):
        tries = (gateway._judge_in_time(log_in, b"", f"{number}-{one}") for one in range(FLEET))
        for outcome in await asyncio.gather(*tries, return_exceptions=True):
            if isinstance(outcome, SupportError):
                assert outcome.code is ErrorCode.E_RELAY_STORE
            admitted += isinstance(outcome, Admitted)
    return admitted


def test_rel_03_a_fleet_that_is_too_large_for_the_database_gets_in_as_fast_as_it_can() -> None:
    registry = SlowRegistry()
    rounds = 5
    admitted = run_virtually(come_back(registry, rounds))
    could = rounds * 8.0 / ONE_TAKES_S  # each round is given up after eight seconds
    assert admitted >= 0.8 * could
    assert registry.most_under_way <= 8
