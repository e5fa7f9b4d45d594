"""Several coroutines that belong together: when one is over, so are the others."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def until_first_end(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all until the first returns or raises its exception; the others are cancelled and awaited."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
