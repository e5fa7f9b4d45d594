"""A link in virtual time, and senders of pictures on it: what a viewer at its other end would see, and when.

Loss shows as delay, as it does above TCP: a lost packet arrives a round trip later, and what follows waits.
"""

from __future__ import annotations

import heapq
import itertools
import random
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from agent.capabilities.screen.pacing import PICTURE_INTERVAL_S
from agent.capabilities.screen.portions import TileLedger
from agent.capabilities.screen.rate import Allowance, Decision, RateControl
from tests.bench.link_terms import LinkTerms
from tests.bench.shaped_path import ShapedPath

PACKET_BYTES = 1448
PIECE_BYTES, ACKNOWLEDGEMENT_BYTES = 4096, 120
SAMPLE_INTERVAL_S = 0.005


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """Round trip without a queue; `buffer_bytes` is what the link queues before the sender is blocked."""

    round_trip_s: float
    bytes_per_s: float
    loss: float = 0.0
    jitter_s: float = 0.002
    buffer_bytes: int = 1 << 20
    paint_s: float = 0.004


def megabits(amount: float) -> float:
    """In bytes a second."""
    return amount * 125_000


NEAR = LinkProfile(0.040, megabits(20))
FAR = LinkProfile(0.150, megabits(5), loss=0.01)
SLOW = LinkProfile(0.300, megabits(1))
LOOPBACK = LinkProfile(0.001, megabits(4000), jitter_s=0.001)


class VirtualTime:
    """Calls things in order of their time; never sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, when_s: float, call: Callable[[], None]) -> None:
        """Call it then, or now if that is over."""
        heapq.heappush(self._calls, (max(when_s, self.now_s), next(self._numbers), call))

    def run(self, until_s: float) -> None:
        """Let time pass."""
        while self._calls and self._calls[0][0] <= until_s:
            self.now_s, _, call = heapq.heappop(self._calls)
            call()
        self.now_s = until_s


class SimulatedLink:
    """One bottleneck with a queue, first in, first out, for all that use it."""

    def __init__(self, time: VirtualTime, profile: LinkProfile, seed: int = 1) -> None:
        self.time = time
        self.profile = profile
        self._random = random.Random(seed)
        self._busy_until_s = 0.0
        self.carried_bytes = 0

    @property
    def queue_bytes(self) -> float:
        """What waits in it."""
        return max(0.0, self._busy_until_s - self.time.now_s) * self.profile.bytes_per_s

    @property
    def has_room_at_s(self) -> float:
        """When the queue will take something again."""
        return self._busy_until_s - self.profile.buffer_bytes / self.profile.bytes_per_s

    def stall(self, for_s: float) -> None:
        """Nothing is carried for so long, nothing is lost."""
        self._busy_until_s = max(self._busy_until_s, self.time.now_s) + for_s

    def send(self, size_bytes: int, not_before_s: float) -> float:
        """Queue a message; when its last packet arrives. What was sent before arrives by `not_before_s`."""
        arrival_s = not_before_s
        self.carried_bytes += size_bytes
        for _ in range(-(-size_bytes // PACKET_BYTES)):
            one_bytes = min(PACKET_BYTES, size_bytes)
            size_bytes -= one_bytes
            self._busy_until_s = (
                max(self._busy_until_s, self.time.now_s) + one_bytes / self.profile.bytes_per_s
            )
            arrival_s = max(arrival_s, self._busy_until_s + self.one_way_s())
        return arrival_s

    def one_way_s(self) -> float:
        """Without the queue."""
        is_lost = self._random.random() < self.profile.loss
        late_s = self.profile.round_trip_s if is_lost else 0.0
        return self.profile.round_trip_s / 2 + self._random.uniform(0, self.profile.jitter_s) + late_s


class RenoLink(SimulatedLink):
    """Each loss also halves what TCP sends on from then, as Reno does (see `ShapedPath`)."""

    def __init__(self, time: VirtualTime, profile: LinkProfile, seed: int = 1) -> None:
        super().__init__(time, profile, seed)
        terms = LinkTerms(profile.round_trip_s, profile.bytes_per_s * 8, profile.loss)
        self._there, self._back = ShapedPath(terms, seed=seed), ShapedPath(terms, seed=-seed)

    @property
    def has_room_at_s(self) -> float:
        """When the queue will take something again."""
        return self.time.now_s + self._there.wait_s(PIECE_BYTES, self.time.now_s)

    def send(self, size_bytes: int, not_before_s: float) -> float:
        """Queue a message; when its last packet arrives. What was sent before arrives by `not_before_s`."""
        arrival_s = not_before_s
        self.carried_bytes += size_bytes
        while size_bytes > 0:
            arrival_s = max(arrival_s, self._there.arrival_s(min(PIECE_BYTES, size_bytes), self.time.now_s))
            size_bytes -= PIECE_BYTES
        return arrival_s

    def one_way_s(self) -> float:
        """Of an acknowledgement."""
        return self._back.arrival_s(ACKNOWLEDGEMENT_BYTES, self.time.now_s) - self.time.now_s


@dataclass(frozen=True, slots=True)
class Workload:
    """Changes of a screen of `tiles` tiles: each touches the next `step` of them, at `cost_bytes` a tile."""

    changes_per_s: float
    tiles: int
    step: int
    cost_bytes: int

    def touched(self, number: int) -> list[int]:
        """The tiles of this change."""
        first = number * self.step
        if self.step == self.tiles:
            return list(range(self.tiles))
        return [(first + index) % self.tiles for index in range(self.step)]


# sizes from what was measured: a letter 200 bytes, a terminal line 3.2 kB, drag 6 kB, a full screen 190 kB
TYPING = Workload(5, 510, 1, 200)
SCROLL = Workload(60, 510, 28, 115)
DRAG = Workload(60, 510, 30, 200)
FULL_SCREEN = Workload(30, 510, 510, 370)


class SimulatedSender:
    """A screen that changes, its rate control and its viewer."""

    def __init__(self, link: SimulatedLink, workload: Workload, control: RateControl | None = None) -> None:
        self.link, self.time, self.workload = link, link.time, workload
        self.control = control or RateControl()
        self._ledger = TileLedger((workload.tiles,))
        self._changed_at_s = np.full(workload.tiles, -1.0)
        self._unshown_since_s = np.full(workload.tiles, np.inf)
        self._changes: list[float] = []
        self._sent_at_s = np.full(workload.tiles, -1.0)
        self._shown_at_s = np.full(workload.tiles, -1.0)
        self._arrives_by_s = self._painted_by_s = 0.0
        self._picture_at_s = 0.0
        self._picture_no = 0
        self._newest_shown_s = -1.0
        self._is_asking = False
        self._ends_at_s = 0.0
        self.latencies_s: list[float] = []
        self.ages_s: list[float] = []
        self.oldest_s: list[float] = []
        self.sent: list[tuple[float, int]] = []
        self.shown_pictures = 0
        self.shown_bytes = 0

    def load(self, for_s: float) -> None:
        """Change the screen for so long, and note the age of what is shown."""
        self._ends_at_s = self.time.now_s + for_s
        self.time.at(self.time.now_s, self._change)
        self.time.at(self.time.now_s, self._sample)

    @property
    def is_exact(self) -> bool:
        """Whether the viewer has everything."""
        return bool((self._shown_at_s >= self._changed_at_s).all())

    def _change(self) -> None:
        if self.time.now_s >= self._ends_at_s:
            return
        touched = self.workload.touched(len(self._changes))
        self._changed_at_s[touched] = self.time.now_s
        self._unshown_since_s[touched] = np.minimum(self._unshown_since_s[touched], self.time.now_s)
        self._changes.append(self.time.now_s)
        self.time.at(self.time.now_s + 1 / self.workload.changes_per_s, self._change)
        self._ask()

    def _ask(self) -> None:
        now_s = self.time.now_s
        found = self._changed_at_s > self._sent_at_s
        if not found.any():
            return
        if now_s < self._picture_at_s or self.link.has_room_at_s > now_s:
            self._ask_at(max(self._picture_at_s, self.link.has_room_at_s))
            return
        allowed = self.control.allow(now_s)
        if allowed.decision is Decision.WAIT:
            if allowed.again_at_s < np.inf:
                self._ask_at(allowed.again_at_s)
            return
        self._send(found, allowed)
        self._ask_at(self._picture_at_s)

    def _ask_at(self, when_s: float) -> None:
        if self._is_asking:
            return
        self._is_asking = True

        def ask() -> None:
            self._is_asking = False
            self._ask()

        self.time.at(when_s + 1e-6, ask)

    def _send(self, found, allowed: Allowance) -> None:
        now_s = self.time.now_s
        budget_bytes: float = allowed.budget_bytes
        order = self._ledger.order(found, budget_bytes, int(now_s * 1000))
        if self._ledger.costs(order).sum() <= allowed.whole_bytes:
            budget_bytes = allowed.whole_bytes
        size_bytes = 0
        gone: list[int] = []
        while len(order) and size_bytes < budget_bytes:
            count = self._ledger.fitting(order, budget_bytes - size_bytes)
            batch, order = order[:count], order[count:]
            part_bytes = 80 + self.workload.cost_bytes * len(batch)
            self._ledger.sent(batch, part_bytes)
            self._sent_at_s[batch] = now_s
            gone += batch.tolist()
            size_bytes += part_bytes
        self._picture_no += 1
        self._picture_at_s = now_s + PICTURE_INTERVAL_S
        self.control.sent(self._picture_no, size_bytes, now_s, is_cut=bool(len(order)))
        self.sent.append((now_s, size_bytes))
        self._arrives_by_s = self.link.send(size_bytes, self._arrives_by_s)
        shown = _Shown(self._picture_no, now_s, gone, size_bytes)
        self._painted_by_s = max(self._arrives_by_s, self._painted_by_s) + self.link.profile.paint_s
        self.time.at(self._painted_by_s, lambda: self._show(shown))

    def _show(self, shown: _Shown) -> None:
        self._shown_at_s[shown.tiles] = shown.at_s
        self._unshown_since_s[shown.tiles] = np.inf
        left = np.zeros(self.workload.tiles, np.bool_)
        left[shown.tiles] = self._changed_at_s[shown.tiles] > shown.at_s
        number = bisect_right(self._changes, shown.at_s)
        self.latencies_s.append(self.time.now_s - self._changes[number - 1])
        while left.any():
            again = [tile for tile in self.workload.touched(number) if left[tile]]
            self._unshown_since_s[again] = self._changes[number]
            left[again] = False
            number += 1
        self._newest_shown_s = shown.at_s
        self.shown_pictures += 1
        self.shown_bytes += shown.size_bytes
        self.time.at(self.time.now_s + self.link.one_way_s(), lambda: self._acknowledge(shown.picture_no))

    def _acknowledge(self, picture_no: int) -> None:
        self.control.acknowledged(picture_no, self.time.now_s)
        self._ask()

    def _sample(self) -> None:
        waiting_since_s = float(self._unshown_since_s.min())
        if waiting_since_s < np.inf:
            self.ages_s.append(self.time.now_s - max(self._newest_shown_s, waiting_since_s))
            self.oldest_s.append(self.time.now_s - waiting_since_s)
        if self.time.now_s < self._ends_at_s:
            self.time.at(self.time.now_s + SAMPLE_INTERVAL_S, self._sample)


@dataclass(frozen=True, slots=True)
class _Shown:
    picture_no: int
    at_s: float
    tiles: list[int]
    size_bytes: int
