"""Token buckets with a bounded number of keys (pure: the clock is passed in)."""

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """How many tokens a bucket holds, and how fast it fills again."""

    burst: float
    per_second: float


# a fleet behind one address comes back at once after an outage; failures cost more than log-ins
LOGIN_RATE = Rate(burst=400, per_second=20)
LOGIN_COST = 1.0
FAILED_LOGIN_COST = 5.0
OPEN_SESSION_RATE = Rate(burst=20, per_second=1)
# a nameplate has four digits: whoever tries them all is to need days, and a person who mistypes one none
NAMEPLATE_RATE = Rate(burst=10, per_second=0.1)
VISIT_RATE = Rate(burst=20, per_second=0.1)
# each of these costs the database, and a whole list or everybody's link
LIST_RATE = Rate(burst=60, per_second=2)
# of one organisation together, however many people it has
ORGANISATION_LIST_RATE = Rate(burst=200, per_second=10)
FACTS_RATE = Rate(burst=10, per_second=0.2)
ANCHOR_RATE = Rate(burst=10, per_second=0.1)

# of one link, whatever it says: who sends more is read more slowly, and nobody else notices
MESSAGE_RATE = Rate(burst=100, per_second=50)

KEYS_LIMIT = 50_000


class RateLimit:
    """One bucket a key; the least recently used keys are forgotten beyond `KEYS_LIMIT`."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key: tokens, at_s

    def take(self, key: str, now_s: float, cost: float = 1.0) -> bool:
        """Whether the key still has `cost` tokens; if so they are taken."""
        tokens = self._tokens(key, now_s)
        is_allowed = tokens >= cost
        self._keep(key, tokens - cost if is_allowed else tokens, now_s)
        return is_allowed

    def charge(self, key: str, now_s: float, cost: float) -> None:
        """Take tokens for something that already happened; the bucket stops at empty."""
        self._keep(key, max(0.0, self._tokens(key, now_s) - cost), now_s)

    @property
    def keys(self) -> int:
        """How many keys are remembered."""
        return len(self._buckets)

    def _tokens(self, key: str, now_s: float) -> float:
        tokens, at_s = self._buckets.get(key, (self._rate.burst, now_s))
        return min(self._rate.burst, tokens + max(0.0, now_s - at_s) * self._rate.per_second)

    def _keep(self, key: str, tokens: float, now_s: float) -> None:
        self._buckets[key] = (tokens, now_s)
        self._buckets.move_to_end(key)
        while len(self._buckets) > KEYS_LIMIT:
            self._buckets.popitem(last=False)


class Pace:
    """How long one sender has to wait before its next message, so that it keeps to a rate."""

    def __init__(self, rate: Rate = MESSAGE_RATE) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._at_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """Count one message; 0 while the sender keeps to the rate. The clock never goes back."""
        if self._at_s:
            gained = max(0.0, now_s - self._at_s) * self._rate.per_second
            self._tokens = min(self._rate.burst, self._tokens + gained)
        self._at_s = now_s
        self._tokens -= 1
        return max(0.0, -self._tokens / self._rate.per_second)
