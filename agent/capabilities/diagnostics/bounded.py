"""A blocking source in a thread of its own, given up after its time.

Not the loop's executor: a source that never returns (a dead network disk) would hold one of its threads,
and the program's end waits for those.
"""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from protocol.errors import SupportError

T = TypeVar("T")


class SourceStuck(SupportError):
    """A source did not answer in time, or still has not answered an earlier question."""


class BoundedSources:
    """Asks each named source in a few threads at most; a stuck one is not asked again until it returns."""

    def __init__(self, timeout_s: float, at_once_limit: int) -> None:
        self._timeout_s = timeout_s
        self._at_once_limit = at_once_limit
        self._asked: Counter[str] = Counter()  # changed on the loop's thread alone

    async def ask(self, name: str, source: Callable[[], T]) -> T:
        """What the source returns or raises.

        Raises:
            SourceStuck: it does not answer.
        """
        if self._asked[name] >= self._at_once_limit:
            raise SourceStuck("still not answering")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._asked[name] += 1
        thread = threading.Thread(
            target=self._run, args=(name, source, answer), name=f"diagnostics {name}", daemon=True
        )
        thread.start()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await answer
        except TimeoutError:
            if answer.done() and not answer.cancelled():
                raise  # the source's own
            raise SourceStuck(f"no answer within {self._timeout_s:g} s") from None

    def _run(self, name: str, source: Callable[[], T], answer: "asyncio.Future[T]") -> None:
        try:
            result = source()
        except Exception as exc:  # noqa: BLE001 - a thread's root: whatever it raised is handed to who asked
            self._deliver(name, answer, partial(answer.set_exception, exc))
        else:
            self._deliver(name, answer, partial(answer.set_result, result))

    def _deliver(self, name: str, answer: "asyncio.Future[T]", settle: Callable[[], None]) -> None:
        def returned() -> None:
            self._asked[name] -= 1
            if not answer.done():
                settle()

        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            answer.get_loop().call_soon_threadsafe(returned)
