"""What the link to the viewer is believed to be, from pictures that were acknowledged (sans-I/O).

The model is that of BBR (draft-ietf-ccwg-bbr; delivery rate samples as in
draft-cheng-iccrg-delivery-rate-estimation): the greatest delivery rate of the last rounds, the smallest round
trip of the last seconds. Times are seconds of one monotonic clock.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

PORTION_S = 0.025
SMALLEST_BUDGET_BYTES = 4 << 10
RATE_ROUNDS = 10
ROUND_TRIP_WINDOW_S = 10.0
ROUND_TRIP_SLACK_S = 0.002


@dataclass(frozen=True, slots=True)
class Sent:
    """A picture under way, and how far deliveries were when it left."""

    picture_no: int
    size_bytes: int
    at_s: float
    first_at_s: float
    delivered_bytes: int
    delivered_pictures: int
    delivered_at_s: float
    is_limited: bool


class _Greatest:
    """The greatest value of the last RATE_ROUNDS rounds; 0 without any."""

    def __init__(self) -> None:
        self._values: deque[tuple[int, float]] = deque()

    @property
    def value(self) -> float:
        return self._values[0][1] if self._values else 0.0

    def note(self, value: float, round_no: int) -> None:
        while self._values and self._values[-1][1] <= value:
            self._values.pop()
        self._values.append((round_no, value))
        while self._values[0][0] <= round_no - RATE_ROUNDS:
            self._values.popleft()

    def set(self, value: float, round_no: int) -> None:
        self._values.clear()
        self._values.append((round_no, value))


class LinkEstimate:
    """Delivery rate (greatest of some rounds) and round trip (smallest of some seconds)."""

    def __init__(self) -> None:
        self.delivered_bytes = self.delivered_pictures = 0
        self.delivered_at_s = 0.0
        self.first_at_s = 0.0
        self.refreshed_at_s = -math.inf
        self._rates = _Greatest()
        self._pictures = _Greatest()
        self._trips: deque[tuple[float, float, int]] = deque()
        self._trip_bytes = 0

    @property
    def rate_bytes_per_s(self) -> float:
        """0 before the first acknowledgement."""
        return self._rates.value

    @property
    def pictures_per_s(self) -> float:
        """How many pictures the viewer has painted, at its best; 0 before the first acknowledgement."""
        return self._pictures.value

    @property
    def round_trip_s(self) -> float:
        """0 before the first acknowledgement."""
        return self._trips[0][1] if self._trips else 0.0

    def began(self, now_s: float) -> None:
        """The first picture after everything had been acknowledged is about to be sent."""
        self.first_at_s = self.delivered_at_s = now_s

    def acknowledged(self, sent: Sent, now_s: float, round_no: int) -> float:
        """`sent` is the newest picture of those that were acknowledged; the rate that this one shows."""
        self.delivered_at_s = now_s
        self._note_trip(sent, now_s)
        took_s = max(sent.at_s - sent.first_at_s, now_s - sent.delivered_at_s, 1e-4)
        self.first_at_s = sent.at_s
        rate = (self.delivered_bytes - sent.delivered_bytes) / took_s
        if sent.is_limited or rate >= self.rate_bytes_per_s:
            self._rates.note(rate, round_no)
        self._pictures.note((self.delivered_pictures - sent.delivered_pictures) / took_s, round_no)
        return rate

    def queued_s(self, sent: Sent, now_s: float) -> float:
        """How much longer this picture took than the fastest, less what its greater size explains."""
        rate = self.rate_bytes_per_s
        larger_bytes = max(0, sent.size_bytes - self._trip_bytes)
        own_s = min(larger_bytes / rate, 2 * PORTION_S) if rate else 0.0
        return max(0.0, now_s - sent.at_s - self.round_trip_s - own_s)

    def set_rate(self, rate: float, round_no: int) -> None:
        """Forget the greatest rates: a queue stands although we send no more than that."""
        smallest = SMALLEST_BUDGET_BYTES / max(self.round_trip_s, PORTION_S)
        self._rates.set(max(rate, smallest), round_no)

    def _note_trip(self, sent: Sent, now_s: float) -> None:
        trip_s = now_s - sent.at_s
        if not self._trips or trip_s <= self.round_trip_s + ROUND_TRIP_SLACK_S:
            self.refreshed_at_s = now_s
        while self._trips and self._trips[-1][1] >= trip_s:
            self._trips.pop()
        self._trips.append((now_s, trip_s, sent.size_bytes))
        while self._trips[0][0] < now_s - ROUND_TRIP_WINDOW_S:
            self._trips.popleft()
            self.refreshed_at_s = now_s
        self._trip_bytes = self._trips[0][2]
