"""RES-05: places for the requests of each organisation, and how fast one link is read."""

import asyncio

import pytest

from protocol.ids import OrganisationId
from relay.ratelimit import Pace, Rate
from relay.turns import REQUESTS_AT_ONCE_LIMIT, Turns

NOISY, QUIET = OrganisationId("a" * 64), OrganisationId("b" * 64)


async def settle() -> None:
    """Let every task come as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_res_05_a_flood_of_one_organisation_takes_no_place_of_another() -> None:
    turns, gate = Turns(), asyncio.Event()
    inside: list[OrganisationId] = []

    async def ask(organisation: OrganisationId) -> None:
        async with turns.one_of(organisation):
            inside.append(organisation)
            await gate.wait()

    flood = [asyncio.create_task(ask(NOISY)) for _ in range(500)]
    await settle()
    assert inside == [NOISY] * REQUESTS_AT_ONCE_LIMIT
    quiet = asyncio.create_task(ask(QUIET))
    await settle()
    assert inside[-1] == QUIET, "behind none of the five hundred"
    gate.set()
    await asyncio.gather(quiet, *flood)
    assert inside.count(NOISY) == 500, "those who waited had their turn"
    assert turns.organisations == 0


@pytest.mark.parametrize("is_inside", [True, False])
async def test_who_leaves_in_the_line_or_in_a_place_leaves_nothing_behind(is_inside: bool) -> None:
    turns, gate = Turns(at_once=1), asyncio.Event()

    async def ask() -> None:
        async with turns.one_of(NOISY):
            await gate.wait()

    tasks = [asyncio.create_task(ask()) for _ in range(3)]
    await settle()
    tasks[0 if is_inside else 1].cancel()
    await settle()
    gate.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in ended].count(True) == 1
    assert turns.organisations == 0


def test_res_05_who_sends_faster_than_the_rate_is_read_at_the_rate() -> None:
    pace = Pace(Rate(burst=3, per_second=2))
    assert [pace.wait_s(10.0) for _ in range(3)] == [0, 0, 0]
    assert pace.wait_s(10.0) == 0.5
    assert pace.wait_s(10.5) == 0.5
    assert pace.wait_s(100.0) == 0, "a pause is given back"
    assert [pace.wait_s(100.0) for _ in range(3)] == [0, 0, 0.5]
