"""Run several coroutines until one of them ends; the others are cancelled and waited for."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def first_of(*running: Coroutine[Any, Any, None]) -> None:
    """Return when the first one returns; raise what it raised. Nothing runs on afterwards."""
    tasks = [asyncio.create_task(each) for each in running]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if task in done:
            task.result()
