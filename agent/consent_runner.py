"""Runs a ConsentMachine against the person at the desktop and the loop's clock. It has no opinion."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from protocol.consent import (
    ClosePrompt,
    ConsentMachine,
    Effect,
    GiveGrants,
    RefuseAll,
    ShowIndicator,
    ShowPrompt,
)
from protocol.errors import ErrorCode, SupportError
from protocol.grantables import Grantable
from protocol.policy import Consent


@dataclass(frozen=True, slots=True)
class PersonAnswer:
    """What the person did with the prompt; `code` is "" or why it is a refusal."""

    allowed: frozenset[Grantable]
    code: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one ask. Grants have been minted for what is in `granted`."""

    granted: frozenset[Grantable]
    refused: dict[Grantable, ErrorCode]


class Person(Protocol):
    """The person at the device, as one session reaches them."""

    async def ask(self, prompt: ShowPrompt) -> PersonAnswer:
        """Show the prompt; cancelling takes it away. Raises SupportError when nobody can be asked."""
        ...

    async def show_indicator(self, shown: ShowIndicator) -> None:
        """Return when the person can see it. Raises SupportError when it cannot be shown."""
        ...


class ConsentRunner:
    """One ask, from start to outcome. Cancelling `run` withdraws the question."""

    def __init__(self, machine: ConsentMachine, person: Person, give: Callable[[GiveGrants], None]) -> None:
        """`give` mints the grants, and writes to the audit log first; what it raises refuses them."""
        self._machine = machine
        self._person = person
        self._give = give
        self._facts: asyncio.Queue[Callable[[], list[Effect]]] = asyncio.Queue()
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, consent: Consent, *, is_anybody_there: bool, is_standing: bool = False) -> Outcome:
        """Carry out the machine's effects until it is over. `is_standing`: all was allowed beforehand."""
        now_s = asyncio.get_running_loop().time()
        try:
            effects = self._machine.start(
                consent, is_anybody_there=is_anybody_there, now_s=now_s, is_standing=is_standing
            )
            while True:
                for effect in effects:
                    outcome = self._carry_out(effect)
                    if outcome is not None:
                        return outcome
                effects = await self._next_effects()
        finally:
            if not self._machine.is_over:
                self._machine.withdraw()
            await self._close()

    def _carry_out(self, effect: Effect) -> Outcome | None:
        match effect:
            case ShowPrompt():
                self._start(self._ask(effect))
            case ShowIndicator():
                self._start(self._show(effect))
            case ClosePrompt():
                for task in self._running:
                    task.cancel()
            case GiveGrants():
                return self._give_or_refuse(effect)
            case RefuseAll(refused):
                return Outcome(frozenset(), refused)
        return None

    def _give_or_refuse(self, effect: GiveGrants) -> Outcome:
        try:
            self._give(effect)
        except SupportError as exc:
            return Outcome(frozenset(), effect.refused | dict.fromkeys(effect.granted, exc.code))
        return Outcome(effect.granted, effect.refused)

    async def _ask(self, prompt: ShowPrompt) -> None:
        answer = await self._person.ask(prompt)
        now_s = asyncio.get_running_loop().time()
        if answer.code == ErrorCode.E_CONSENT_TIMEOUT:
            self._facts.put_nowait(self._machine.time_out)
        elif answer.code == ErrorCode.E_READBACK_MISMATCH:
            self._facts.put_nowait(self._machine.mismatch)
        else:
            self._facts.put_nowait(lambda: self._machine.allow(answer.allowed, now_s=now_s))

    async def _show(self, shown: ShowIndicator) -> None:
        await self._person.show_indicator(shown)
        self._facts.put_nowait(self._machine.indicator_shown)

    def _start(self, step: Coroutine[Any, Any, None]) -> None:
        self._running.add(asyncio.create_task(self._watched(step)))

    async def _watched(self, step: Coroutine[Any, Any, None]) -> None:
        try:
            await step
        except SupportError:
            self._facts.put_nowait(self._machine.nobody)

    async def _next_effects(self) -> list[Effect]:
        try:
            async with asyncio.timeout_at(self._machine.deadline_s):
                fact = await self._facts.get()
        except TimeoutError:
            return self._machine.tick(asyncio.get_running_loop().time())
        return fact()

    async def _close(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
