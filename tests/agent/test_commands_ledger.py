"""A few commands at a time, a few waiting, the rest busy."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from agent.capabilities.commands.ledger import CommandLedger
from protocol.errors import ErrorCode, Refused
from protocol.limits import COMMANDS_AT_ONCE_LIMIT, COMMANDS_WAITING_LIMIT
from tests.support.approved_commands import fresh_book


async def test_one_more_than_may_wait_is_busy_and_a_place_that_comes_back_goes_to_the_first_in_line() -> None:
    ledger = CommandLedger(fresh_book())
    order: list[int] = []

    async def wait_for_a_place(number: int) -> None:
        async with ledger.place():
            order.append(number)

    async with AsyncExitStack() as held:
        for _ in range(COMMANDS_AT_ONCE_LIMIT):
            await held.enter_async_context(ledger.place())
        waiting = [asyncio.create_task(wait_for_a_place(number)) for number in range(COMMANDS_WAITING_LIMIT)]
        await asyncio.sleep(0)
        with pytest.raises(Refused) as caught:
            await wait_for_a_place(99)
        assert caught.value.code is ErrorCode.E_BUSY
        assert order == []
    await asyncio.gather(*waiting)
    assert order == list(range(COMMANDS_WAITING_LIMIT))


async def test_who_stops_waiting_takes_no_place() -> None:
    ledger = CommandLedger(fresh_book())
    async with AsyncExitStack() as held:
        for _ in range(COMMANDS_AT_ONCE_LIMIT):
            await held.enter_async_context(ledger.place())
        waiting = [asyncio.create_task(_hold(ledger)) for _ in range(COMMANDS_WAITING_LIMIT)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    async with AsyncExitStack() as held:
        for _ in range(COMMANDS_AT_ONCE_LIMIT):
            await held.enter_async_context(ledger.place())


async def _hold(ledger: CommandLedger) -> None:
    async with ledger.place():
        await asyncio.sleep(0)
