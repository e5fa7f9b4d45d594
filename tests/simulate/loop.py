"""An event loop whose time is virtual, and in which a program can be killed as SIGKILL does it."""

import asyncio
from asyncio import events
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any

PROGRAM: ContextVar[str] = ContextVar("program", default="")
"""Which program the running code belongs to; what it starts belongs to it too."""
START_S = 1000.0
_STEP_LIMIT = 200_000


class Stuck(Exception):
    """Nothing will ever happen again in this schedule, or far too much."""


class _NumberedTask(asyncio.Task[Any]):
    """A task whose place in a set does not depend on where it lies in memory."""

    def __init__(self, coro: Coroutine[Any, Any, Any], *, number: int, **terms: Any) -> None:
        self._number = number
        context: Context | None = terms.get("context")
        self.program = PROGRAM.get() if context is None else context.get(PROGRAM, "")
        super().__init__(coro, **terms)
        self._log_destroy_pending = False  # a killed program's tasks are never finished

    def __hash__(self) -> int:
        return self._number


class _Jump:
    """Stands where a selector stands: instead of waiting, the clock jumps."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout_s: float | None) -> list[object]:
        self._loop.jump(timeout_s)
        return []

    def close(self) -> None:
        pass


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order asyncio promises, without waiting for anything."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = START_S
        self._selector = _Jump(self)
        self._clock_resolution = 1e-9
        self._dead: set[str] = set()
        self._tasks: list[asyncio.Task[Any]] = []  # what a killed program was doing must not be cleaned up
        self.steps = 0
        self.at_step: dict[int, Callable[[], None]] = {}
        self.failures: list[BaseException | str] = []
        self.set_task_factory(self._number_task)
        self.set_exception_handler(self._note_failure)

    def time(self) -> float:
        return self._now_s

    def jump(self, timeout_s: float | None) -> None:
        """The next timer is due in so many seconds: then it is now."""
        self.steps += 1
        if timeout_s is None or self.steps > _STEP_LIMIT:
            raise Stuck("no timer and nothing to run" if timeout_s is None else "too many steps")
        self._now_s += timeout_s
        if self.at_step:
            interrupt = self.at_step.pop(self.steps, None)
            if interrupt is not None:
                interrupt()

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = super().call_soon(callback, *args, context=context)
        if self._dead and self._is_dead(handle):
            handle.cancel()
        return handle

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = super().call_at(when, callback, *args, context=context)
        if self._dead and self._is_dead(handle):
            handle.cancel()
        return handle

    def start(self, program: str, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run this as a part of a program."""
        context = copy_context()
        context.run(PROGRAM.set, program)
        return self.create_task(work, context=context)

    def kill(self, program: str) -> None:
        """Not one more step of this program is run, also none of its `finally`."""
        self._dead.add(program)
        for handle in (*self._ready, *self._scheduled):  # asyncio's own queues
            if self._is_dead(handle):
                handle.cancel()

    def unheard(self) -> list[BaseException]:
        """What ended tasks and nobody looked at: a fault of whoever started them.

        Whoever would have looked in a killed program was killed before it could.
        """
        ended = [task for task in self._tasks if task.done() and not task.cancelled()]
        lost = [task for task in ended if getattr(task, "_log_traceback", False)]
        lost = [task for task in lost if getattr(task, "program", "") not in self._dead]
        return [failure for task in lost if (failure := task.exception()) is not None]

    def is_dead(self, program: str) -> bool:
        """Whether it was killed."""
        return program in self._dead

    def _is_dead(self, handle: asyncio.Handle) -> bool:
        context: Context | None = handle._context  # asyncio keeps it there
        return context is not None and context.get(PROGRAM, "") in self._dead

    def _number_task(
        self, loop: events.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **terms: Any
    ) -> "asyncio.Task[Any]":
        task = _NumberedTask(coro, number=len(self._tasks), loop=loop, **terms)
        self._tasks.append(task)
        return task

    def _note_failure(self, loop: events.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.failures.append(context.get("exception") or str(context.get("message")))

    def _process_events(self, event_list: object) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


async def forever() -> None:
    """Never returns: what a killed program does after its last step."""
    await asyncio.get_running_loop().create_future()
