"""What both session shells share: water marks, the path, and the tick."""

import asyncio
import contextlib
import re
import time

from relay.worker.forwarder import Forwarder

SESSION_PATH = "/v1/session"
# what a socket may hold before the other end is not read any more; small, so that pictures never pile up here
HIGH_WATER_BYTES = 256 << 10
LOW_WATER_BYTES = 64 << 10
# a closed socket gets this long to take what is queued and to answer the close
LINGER_S = 3.0
ABORT_S = 10.0
_TICK_S = 1.0
_PATH = re.compile(r"/v1/session(?:/[0-9]{1,2})?")


def is_session_path(path: str) -> bool:
    """Whether this is the session socket's path; a proxy may route by the worker's number after it."""
    return _PATH.fullmatch(path) is not None


async def tick_forever(forwarder: Forwarder) -> None:
    """Drive the forwarder's deadlines."""
    while True:
        await asyncio.sleep(_TICK_S)
        forwarder.tick(time.monotonic())


async def end_all(forwarder: Forwarder, ticking: asyncio.Task[None]) -> None:
    """Close every session and stop the tick."""
    ticking.cancel()
    forwarder.close_all()
    with contextlib.suppress(asyncio.CancelledError):
        await ticking
