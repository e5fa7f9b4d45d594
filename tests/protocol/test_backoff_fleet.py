"""REL-03, the waits alone: 10,000 links that lose their relay at one moment, in virtual time, real back-off.

The relay here takes so many a second and refuses the others at once, at no cost. What refusing and shaking
hands costs a real one is measured by `python -m tests.bench.outage`, and is not shown here.
"""

import heapq
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from protocol.aio.backoff import LONGEST_S, Backoff

LINKS = 10_000
BACK_WITHIN_S = 120.0


@dataclass
class Fleet:
    """`tries`: how many came in each second; `back_s`: when each was taken, after the relay's return."""

    takes_per_s: int
    away_s: float
    tries: Counter[int] = field(default_factory=Counter)
    back_s: list[float] = field(default_factory=list)

    def run(self, seed: int) -> None:
        """From the loss of all links to the last one that is back."""
        dice = random.Random(seed)
        waits = [Backoff(draw=dice.uniform) for _ in range(LINKS)]
        due = [(wait.next_delay_s(), link) for link, wait in enumerate(waits)]
        heapq.heapify(due)
        taken: Counter[int] = Counter()
        while due:
            at_s, link = heapq.heappop(due)
            second = int(at_s)
            self.tries[second] += 1
            if at_s >= self.away_s and taken[second] < self.takes_per_s:
                taken[second] += 1
                self.back_s.append(at_s - self.away_s)
            else:
                heapq.heappush(due, (at_s + waits[link].next_delay_s(), link))


@pytest.mark.parametrize("takes_per_s", [100, 300])
@pytest.mark.parametrize("away_s", [0.0, 5.0, 300.0])
def test_rel_03_ten_thousand_are_back_in_two_minutes_at_a_relay_that_takes_a_hundred_a_second(
    takes_per_s: int, away_s: float
) -> None:
    fleet = Fleet(takes_per_s, away_s)
    fleet.run(seed=1)
    assert len(fleet.back_s) == LINKS
    assert max(fleet.back_s) <= BACK_WITHIN_S


def test_rel_03_the_longer_the_relay_is_away_the_more_evenly_they_come() -> None:
    fleet = Fleet(takes_per_s=300, away_s=300.0)
    fleet.run(seed=1)
    settled = [fleet.tries[second] for second in range(120, 300)]
    mean = sum(settled) / len(settled)
    assert mean == pytest.approx(LINKS / (LONGEST_S / 2), rel=0.05)
    assert max(settled) <= 1.25 * mean
    assert min(settled) >= 0.75 * mean


def test_rel_03_the_control_without_chance_they_come_in_waves() -> None:
    waits = Backoff(draw=lambda least, most: most)
    at_s, moments = 0.0, set()
    while at_s < 300.0:
        at_s += waits.next_delay_s()
        moments.add(int(at_s))
    assert len(moments) < 20, "all of them at once, and then nobody for half a minute"
