"""From two lists of times to figures: how late pictures were seen, how many, how old they are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Marks = Sequence[tuple[int, int]]  # (counter, monotonic time in ns), oldest first
STALE_LOOKS_EVERY_NS = 10_000_000


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and tails, in milliseconds; count 0 has no figures."""

    count: int
    median: float | None = None
    p95: float | None = None
    p99: float | None = None
    worst: float | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a viewer saw of what was drawn. `stale_ms`: for how long the shown picture has been outdated."""

    latency_ms: Spread
    stale_ms: Spread
    drawn: int
    distinct: int
    pictures_per_s: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank of an ascending list that is not empty."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values: Sequence[float]) -> Spread:
    """Median (of an even count: the mean of both in the middle) and tails."""
    if not values:
        return Spread(0)
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    tails = [percentile(ordered, share) for share in (0.95, 0.99, 1.0)]
    return Spread(len(ordered), *(round(value, 2) for value in (median, *tails)))


def judge(drawn: Marks, seen: Marks, *, from_ns: int) -> Seen:
    """Pictures drawn before `from_ns` are warming up and do not count."""
    drawn_at = {counter: at_ns for counter, at_ns in drawn if at_ns >= from_ns}
    first_seen: dict[int, int] = {}
    for counter, at_ns in seen:
        if counter in drawn_at:
            first_seen.setdefault(counter, at_ns)
    late = [(at_ns - drawn_at[counter]) / 1e6 for counter, at_ns in first_seen.items()]
    return Seen(
        latency_ms=spread(late),
        stale_ms=spread(_staleness_ms(drawn, seen, from_ns)),
        drawn=len(drawn_at),
        distinct=len(first_seen),
        pictures_per_s=round(_rate(sorted(drawn_at.values()), len(first_seen)), 1),
    )


def _rate(times_ns: Sequence[int], seen: int) -> float:
    if len(times_ns) < 2:
        return 0.0
    period_ns = (times_ns[-1] - times_ns[0]) / (len(times_ns) - 1)
    return seen / (len(times_ns) * period_ns / 1e9) if period_ns else 0.0


def _staleness_ms(drawn: Marks, seen: Marks, from_ns: int) -> list[float]:
    """At even moments: how long ago the shown picture was replaced at the source; 0 for the newest."""
    if not drawn or not seen:
        return []
    replaced_ns = {counter: later[1] for (counter, _), later in pairwise(drawn)}
    replaced_ns[0] = drawn[0][1]
    found = []
    place = 0
    for now_ns in range(max(from_ns, drawn[0][1]), drawn[-1][1], STALE_LOOKS_EVERY_NS):
        while place + 1 < len(seen) and seen[place + 1][1] <= now_ns:
            place += 1
        if seen[place][1] > now_ns:
            continue
        outdated_ns = replaced_ns.get(seen[place][0], now_ns)
        found.append(max(0, now_ns - outdated_ns) / 1e6)
    return found


def psnr_db(squared_error_mean: float) -> float | None:
    """Peak signal to noise; None for equal pictures."""
    return None if squared_error_mean == 0 else round(10 * math.log10(255**2 / squared_error_mean), 1)


def middle_of(values: Sequence[float | None]) -> float | None:
    """The median of the repeats that have a figure."""
    known = [value for value in values if value is not None]
    return spread(known).median if known else None
