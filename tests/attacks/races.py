"""Early actions against the consent broker: `python -m tests.attacks.races --count N --json`.

A technician that keeps no rule asks, opens channels with right, wrong, old and guessed grants, and acts,
before, while and after the person answers; the person allows some of it, refuses, stops, leaves, lets the
time run out, or the desktop dies. One race is one seed, in virtual time, so each can be repeated (`--seed`).

The oracle does not ask the agent: it knows what the person pressed, and when the indicator was there. An
effect without that, or at a later moment than its end, is a violation.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import structlog

from agent.absence import PersonFact
from agent.desktop import ipc_messages as ipc
from protocol.consent import INDICATOR_TIMEOUT_S
from protocol.errors import ErrorCode
from protocol.grantables import Grantable
from protocol.messages import session as messages
from protocol.messages.channel import ChannelOpened, CloseChannel
from protocol.messages.consent import Ask, AskAnswer, GrantEnded, ReleaseGrant
from tests.support.consent_stage import ConsentStage
from tests.support.virtual_time import run_virtually

GRANTABLES = tuple(Grantable)
MOMENTS_S = (0.0, 0.0, 0.0, 0.001, 0.01, 0.3, 2.0)  # most things at one moment: that is the race
LENGTH_S = 10
STEPS = 40


@dataclass
class Allowed:
    """What the person allowed for one permission, by the oracle's own book."""

    from_s: float
    until_s: float


@dataclass
class Race:
    """One session of a technician that keeps no rule, with one person; `violations` says what must not be."""

    seed: int
    violations: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._pressed: dict[Grantable, list[float]] = {each: [] for each in Grantable}
        self._allowed: dict[Grantable, list[Allowed]] = {each: [] for each in Grantable}
        self._grants: list[tuple[str, Grantable]] = [("g-" + "a" * 16, each) for each in Grantable]
        self._numbers = 0
        # a frame on a channel that is not open ends the session: who dares often learns little
        self._daring = self._random.choice((0.0, 0.0, 0.0, 0.05, 0.5))
        self._open: dict[int, str] = {}
        self._opened: set[int] = set()  # as the agent says
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """The whole race."""
        self._stage = ConsentStage(self._order, self._heard)
        self._now_s = asyncio.get_running_loop().time
        await asyncio.sleep(0)
        for number in range(1, STEPS):
            await asyncio.sleep(self._random.choice(MOMENTS_S))
            self._step(number)
            if self._stage.is_over:
                break
        await asyncio.sleep(2.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stage.close()
        self._judge()

    # -- the technician

    def _step(self, number: int) -> None:
        pick = self._random.random()
        if pick < 0.25 or number == 1:
            wished = self._random.sample(GRANTABLES, self._random.randint(1, 4))
            self._stage.say(Ask(number, [str(each) for each in wished], "", "", LENGTH_S))
        elif pick < 0.55:
            self._open_channel()
        elif pick < 0.85:
            self._act()
        elif pick < 0.89 and self._grants:
            self._stage.say(ReleaseGrant(self._random.choice(self._grants)[0]))
        elif pick < 0.92 and self._open:
            self._stage.say(CloseChannel(self._random.choice(list(self._open))))
        elif pick < 0.96:
            self._person_acts()
        else:
            self._stage.paint()

    def _open_channel(self) -> None:
        some = self._grants[-4:] if self._random.random() < 0.7 else self._grants
        grant_id, grantable = self._random.choice(some)
        is_honest = self._random.random() < 0.8
        capability = (grantable if is_honest else self._random.choice(GRANTABLES)).capability
        self._numbers += 1
        self._stage.open_channel(self._numbers, capability, grant_id)
        if self._random.random() < self._daring:  # an action right behind it, whatever the answer will be
            self._stage.act(self._numbers, capability)
        self._open[self._numbers] = capability

    def _act(self) -> None:
        if not self._open:
            return
        number, capability = self._random.choice(list(self._open.items()))
        if number not in self._opened and self._random.random() >= self._daring:
            return
        self._stage.act(number, capability)

    def _heard(self, message: messages.FromAgent) -> None:
        match message:
            case AskAnswer():
                self._grants += [(each.grant_id, Grantable(each.grantable)) for each in message.granted]
                self.seen["granted"] += len(message.granted)
            case ChannelOpened(number):
                self._opened.add(number)
                self._stage.act(number, self._open[number])
            case GrantEnded():
                self.seen["ended"] += 1
            case _:
                pass

    # -- the person

    def _order(self, order: ipc.ToDesktop) -> None:
        match order:
            case ipc.ShowPrompt():
                self._tasks.append(asyncio.create_task(self._answer(order)))
            case ipc.ShowIndicator():
                self._tasks.append(asyncio.create_task(self._show(order)))
            case _:
                pass

    async def _answer(self, prompt: ipc.ShowPrompt) -> None:
        await asyncio.sleep(self._random.choice(MOMENTS_S))
        pick = self._random.random()
        allowed: list[str] = []
        code = ""
        if pick < 0.75:
            allowed = self._random.sample(prompt.grantables, self._random.randint(1, len(prompt.grantables)))
        elif pick < 0.85:
            code = str(ErrorCode.E_CONSENT_DENIED)
        elif pick < 0.92:
            return  # never
        else:
            code = str(ErrorCode.E_CONSENT_TIMEOUT)
        for each in allowed:
            self._pressed[Grantable(each)].append(self._now_s())
        self._stage.desktop.say(ipc.PromptAnswered(prompt.prompt_no, allowed, code, "0" * 64, 2.0))

    async def _show(self, order: ipc.ShowIndicator) -> None:
        came_s = self._now_s()
        await asyncio.sleep(self._random.choice(MOMENTS_S))
        if self._random.random() < 0.05:
            return
        # in sight, and pressed before the order came: from here on, and as long as was asked for
        for each in map(Grantable, order.grantables):
            if any(came_s - INDICATOR_TIMEOUT_S <= at_s <= came_s for at_s in self._pressed[each]):
                self._allowed[each].append(Allowed(self._now_s(), self._now_s() + LENGTH_S))
        self._stage.desktop.say(ipc.IndicatorShown(order.session_id, order.show_no))

    def _person_acts(self) -> None:
        match self._random.choice(("stop", "die", "lock", "back", "back", "expire")):
            case "stop":
                self._stage.desktop.say(ipc.StopPressed(self._stage.session_id))
                self._end_all()
            case "die":
                self._stage.desktop.die()
                self._end_all()
            case "lock":
                self._tell(PersonFact.LOCKED)
                self._end_all()
            case "back":
                self._tell(PersonFact.BACK)
            case _:
                self._tasks.append(asyncio.create_task(asyncio.sleep(LENGTH_S)))

    def _tell(self, fact: PersonFact) -> None:
        if self._stage.link.seat is not None:
            self._stage.link.seat.absence.tell(fact)

    def _end_all(self) -> None:
        for pressed in self._pressed.values():
            pressed.clear()
        for times in self._allowed.values():
            for each in times:
                each.until_s = min(each.until_s, self._now_s())

    def _judge(self) -> None:
        for effect in self._stage.effects.seen:
            self.seen[effect.grantable] += 1
            times = self._allowed[effect.grantable]
            if not any(each.from_s <= effect.at_s <= each.until_s for each in times):
                self.violations.append(f"seed {self.seed}: {effect.grantable} at {effect.at_s:.3f}: {times}")


def run_races(first_seed: int, count: int) -> tuple[list[str], Counter[str]]:
    """All of them; the violations, and how much happened at all."""
    violations: list[str] = []
    seen: Counter[str] = Counter()
    for seed in range(first_seed, first_seed + count):
        race = Race(seed)
        run_virtually(race.run())
        violations += race.violations
        seen += race.seen
    return violations, seen


def main() -> int:
    """The command; exit status 1 if there was a violation."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.races", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    started_s = time.monotonic()
    violations, seen = run_races(given.seed, given.count)
    took_s = time.monotonic() - started_s
    result = {
        "adversary": "a technician with a valid certificate, whose client keeps no rule",
        "races": given.count,
        "first_seed": given.seed,
        "violations": violations,
        "upper_bound_95": 3 / given.count if not violations else None,
        "seen": dict(sorted(seen.items())),
        "took_s": round(took_s, 1),
    }
    print(json.dumps(result) if given.json else json.dumps(result, indent=2))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
