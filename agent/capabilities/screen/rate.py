"""How much of the screen may be under way to the viewer, and when the next picture may be made (sans-I/O).

The viewer acknowledges every picture once it is painted, so everything between the two counts as the link:
the sockets, the relay, decoding and painting. The model is that of BBR (draft-cardwell-ietf-ccwg-bbr, now
draft-ietf-ccwg-bbr; delivery rate samples as in draft-cheng-iccrg-delivery-rate-estimation): the greatest
delivery rate of the last rounds, the smallest round trip of the last seconds, a window of their product and a
picture, probes for more now and then. Where BBR looks at loss, this looks at the wait: if in a whole round
even the shortest wait was over QUEUE_TARGET_S, a queue stands; the window is lowered, and in the next round
the rate too. One lost packet delays some pictures of a round, a standing queue delays all.

Times are seconds of one monotonic clock.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum

from protocol.limits import PICTURES_IN_FLIGHT_LIMIT

PORTION_S, LARGEST_PORTION_S = 0.025, 0.08
PREVIEW_OVER_S = 0.2
QUEUE_TARGET_S, LARGEST_QUEUE_TARGET_S = 0.03, 0.1
FIRST_WINDOW_BYTES = 32 << 10
LARGEST_WINDOW_BYTES = 4 << 20
SMALLEST_BUDGET_BYTES = 4 << 10
PICTURES_AHEAD = 2
STEP_BYTES = 2 << 10
RATE_ROUNDS = 10
ROUND_TRIP_WINDOW_S = 10.0
ROUND_TRIP_SLACK_S = 0.002
REST_S = 10.0
PROBE_ROUND_TRIP_AFTER_S = 5.0
PROBE_RATE_ROUNDS = 8
FULL_ROUNDS = 2
IS_MORE = 1.1
PROBE_GAIN = 1.25
WINDOW_GAIN = 1.5
RATE_CUT = 0.75
LONG_QUEUE_CUT = 0.5
UNLIMITED_QUEUE_ROUNDS = 4


class Decision(Enum):
    """What to do about damage now. PREVIEW_FIRST is for a region that is too large to be sent exactly."""

    EXACT_NOW = "exact_now"
    PREVIEW_FIRST = "preview_first"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Allowance:
    """`budget_bytes`: what a picture may have now; `again_at_s`: when to ask again (inf: after an ack).

    If more than `preview_over_bytes` are to be sent exactly, something lossy goes first.
    """

    decision: Decision
    budget_bytes: int
    again_at_s: float
    preview_over_bytes: float = math.inf


@dataclass(frozen=True, slots=True)
class _Sent:
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

    def acknowledged(self, sent: _Sent, now_s: float, round_no: int) -> float:
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

    def queued_s(self, sent: _Sent, now_s: float) -> float:
        """How much longer this picture took than the fastest, less what its greater size explains."""
        rate = self.rate_bytes_per_s
        larger_bytes = max(0, sent.size_bytes - self._trip_bytes)
        own_s = min(larger_bytes / rate, 2 * PORTION_S) if rate else 0.0
        return max(0.0, now_s - sent.at_s - self.round_trip_s - own_s)

    def set_rate(self, rate: float, round_no: int) -> None:
        """Forget the greatest rates: a queue stands although we send no more than that."""
        smallest = SMALLEST_BUDGET_BYTES / max(self.round_trip_s, PORTION_S)
        self._rates.set(max(rate, smallest), round_no)

    def _note_trip(self, sent: _Sent, now_s: float) -> None:
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


class Phase(Enum):
    """The gain: how the pace relates to what the link is believed to deliver."""

    START = 2.0
    CRUISE = 1.0
    PROBE = PROBE_GAIN
    DRAIN = 0.75
    EMPTY = 0.5

    @property
    def window_gain(self) -> float:
        """How the window relates to what the link holds: room for the pictures behind a lost packet."""
        gain: float = self.value
        return gain if self is Phase.EMPTY else WINDOW_GAIN * gain


class RateControl:
    """Ask `allow` while there is damage; tell it each picture that was sent and each acknowledgement."""

    def __init__(self) -> None:
        self.link = LinkEstimate()
        self.phase = Phase.START
        self._in_flight: deque[_Sent] = deque()
        self.in_flight_bytes = 0
        self._is_limited = False
        self._limited_at_s = -math.inf
        self._tokens = float(FIRST_WINDOW_BYTES)
        self._tokens_at_s = -math.inf
        self._round_no = 0
        self._round_ends_bytes = 0
        self._round_queued_s = math.inf
        self._round_rate = 0.0
        self._was_round_limited = self._is_behind = False
        self._is_rate_known = False
        self._queued_rounds = 0
        self._full_rounds = 0
        self._cruised_rounds = 0
        self._compared_rate = 0.0

    @property
    def in_flight_pictures(self) -> int:
        """Sent, not acknowledged."""
        return len(self._in_flight)

    @property
    def window_bytes(self) -> float:
        """What may be under way."""
        held = self.phase.window_gain * self.link.rate_bytes_per_s * self.link.round_trip_s
        window = held + (STEP_BYTES if self.phase is Phase.EMPTY else self.portion_bytes + STEP_BYTES)
        if self.phase is Phase.START:
            window = max(window, FIRST_WINDOW_BYTES)
        return min(window, LARGEST_WINDOW_BYTES)

    @property
    def window_pictures(self) -> int:
        """How many pictures may be under way: two, and those that the way itself holds."""
        if self.phase is Phase.EMPTY:
            return 1
        held = WINDOW_GAIN * self.link.pictures_per_s * self.link.round_trip_s
        return min(PICTURES_AHEAD + int(held), PICTURES_IN_FLIGHT_LIMIT)

    @property
    def _picture_s(self) -> float:
        return 1 / self.link.pictures_per_s if self.link.pictures_per_s else 0.0

    @property
    def _queue_target_s(self) -> float:
        # the pictures that may be ahead make a queue of their own at a viewer that is slow to paint
        return min(max(QUEUE_TARGET_S, PICTURES_AHEAD * self._picture_s), LARGEST_QUEUE_TARGET_S)

    @property
    def portion_bytes(self) -> int:
        """The largest picture: what the link delivers in PORTION_S, or in the time that one picture takes.

        Where pictures are slow to paint, whatever their size, smaller ones would make the link seem slower,
        and so on downwards.
        """
        lasts_s = min(max(PORTION_S, PROBE_GAIN * self._picture_s), LARGEST_PORTION_S)
        known = int(self.link.rate_bytes_per_s * lasts_s)
        least = SMALLEST_BUDGET_BYTES if self._is_rate_known else FIRST_WINDOW_BYTES
        return min(max(least, known), LARGEST_WINDOW_BYTES)

    def allow(self, now_s: float) -> Allowance:
        """Whether a picture may be made now; there is damage."""
        self._refill(now_s)
        room = self.window_bytes - self.in_flight_bytes
        portion = self.portion_bytes
        if len(self._in_flight) >= self.window_pictures:
            # says nothing about bytes: a slow painter must not make pictures small as well
            self._is_behind = True
            return Allowance(Decision.WAIT, 0, math.inf)
        if self._in_flight and room < portion / 4:
            return self._wait(now_s, math.inf)
        lacking = portion / 4 - self._tokens
        if lacking > 0:
            return self._wait(now_s, now_s + lacking / self._pace())
        budget = max(SMALLEST_BUDGET_BYTES, int(min(self._tokens, portion, max(room, portion / 4))))
        preview_over = PREVIEW_OVER_S * self.link.rate_bytes_per_s if self._is_rate_known else math.inf
        return Allowance(Decision.EXACT_NOW, budget, now_s, preview_over)

    def _wait(self, now_s: float, until_s: float) -> Allowance:
        self._note_limited(now_s)
        return Allowance(Decision.WAIT, 0, until_s)

    def _note_limited(self, now_s: float) -> None:
        self._is_limited = True
        if now_s - self._limited_at_s > REST_S and self.phase is not Phase.START:
            self.phase = Phase.PROBE
        self._limited_at_s = now_s

    def sent(self, picture_no: int, size_bytes: int, now_s: float, *, is_cut: bool) -> None:
        """A picture has been handed over. `is_cut`: its budget kept something back."""
        if not self._in_flight:
            self.link.began(now_s)
        if is_cut:
            self._note_limited(now_s)
        link = self.link
        self._in_flight.append(
            _Sent(
                picture_no=picture_no,
                size_bytes=size_bytes,
                at_s=now_s,
                first_at_s=link.first_at_s,
                delivered_bytes=link.delivered_bytes,
                delivered_pictures=link.delivered_pictures,
                delivered_at_s=link.delivered_at_s,
                is_limited=self._is_limited,
            )
        )
        self.in_flight_bytes += size_bytes
        self._was_round_limited |= self._is_limited
        self._is_limited = False
        self._tokens -= size_bytes

    def acknowledged(self, picture_no: int, now_s: float) -> None:
        """The viewer has painted this picture and those before it; unknown ones are ignored."""
        newest = None
        while self._in_flight and self._in_flight[0].picture_no <= picture_no:
            newest = self._in_flight.popleft()
            self.in_flight_bytes -= newest.size_bytes
            self.link.delivered_bytes += newest.size_bytes
            self.link.delivered_pictures += 1
        if newest is None:
            return
        rate = self.link.acknowledged(newest, now_s, self._round_no)
        self._round_rate = max(self._round_rate, rate)
        self._is_rate_known |= newest.is_limited
        self._round_queued_s = min(self._round_queued_s, self.link.queued_s(newest, now_s))
        if self.phase is Phase.START and self.link.queued_s(newest, now_s) > 2 * self._queue_target_s:
            self.phase = Phase.DRAIN
        if newest.delivered_bytes >= self._round_ends_bytes:
            self._end_round(now_s)

    def forget_in_flight(self) -> None:
        """The viewer starts anew: what was under way will not be acknowledged."""
        self._in_flight.clear()
        self.in_flight_bytes = 0

    def _end_round(self, now_s: float) -> None:
        is_busy = self._was_round_limited or self._is_behind
        if is_busy and now_s - self.link.refreshed_at_s > PROBE_ROUND_TRIP_AFTER_S:
            self.link.refreshed_at_s = now_s
            self.phase = Phase.EMPTY
        elif self._round_queued_s > self._queue_target_s:
            self._queue_stands()
        elif is_busy:
            self._queued_rounds = 0
            self._advance_phase()
        else:
            self._queued_rounds = 0
        self._round_no += 1
        self._round_ends_bytes = self.link.delivered_bytes
        self._round_queued_s = math.inf
        self._round_rate = 0.0
        self._was_round_limited = self._is_behind = False

    def _queue_stands(self) -> None:
        self._queued_rounds += 1
        # what little was sent did not make this queue; it will not shrink by sending less, unless it stays
        if not self._was_round_limited and self._queued_rounds <= UNLIMITED_QUEUE_ROUNDS:
            return
        self._cruised_rounds = 0
        self.phase = Phase.DRAIN
        is_long = self._round_queued_s > self.link.round_trip_s + PORTION_S
        if self._queued_rounds > 1 and is_long:
            self.link.set_rate(min(self._round_rate, self.link.rate_bytes_per_s), self._round_no)
        elif self._queued_rounds > 1 or is_long:
            kept = LONG_QUEUE_CUT if is_long else RATE_CUT
            self.link.set_rate(kept * self.link.rate_bytes_per_s, self._round_no)

    def _advance_phase(self) -> None:
        has_more = self.link.rate_bytes_per_s > self._compared_rate * IS_MORE
        self._compared_rate = self.link.rate_bytes_per_s
        if self.phase is Phase.START:
            self._full_rounds = 0 if has_more else self._full_rounds + 1
            if self._full_rounds < FULL_ROUNDS:
                return
        if self.phase is Phase.PROBE:
            self.phase = Phase.PROBE if has_more else Phase.DRAIN
        else:
            self._cruised_rounds += 1
            is_time = self._cruised_rounds >= PROBE_RATE_ROUNDS
            self._cruised_rounds = 0 if is_time else self._cruised_rounds
            self.phase = Phase.PROBE if is_time else Phase.CRUISE

    def _pace(self) -> float:
        # the same step for all that share the link: who has less gains more by it
        step = STEP_BYTES / max(self.link.round_trip_s, PORTION_S)
        return self.phase.value * self.link.rate_bytes_per_s + step

    def _refill(self, now_s: float) -> None:
        passed_s = now_s - self._tokens_at_s
        self._tokens_at_s = now_s
        self._tokens = min(float(self.portion_bytes), self._tokens + passed_s * self._pace())
