"""How much of the screen may be under way to the viewer, and when the next picture may be made (sans-I/O).

The viewer acknowledges every picture once it is painted, so everything between the two counts as the link:
the sockets, the relay, decoding and painting. The model is that of BBR (draft-ietf-ccwg-bbr; see
`link_estimate.py`): a window of the delivery rate times the round trip, and a picture; probes for more now
and then. Where BBR looks at loss, this looks at the wait: if in a whole round even the shortest wait was over
the queue target, a queue stands; the window is lowered, and in the next round the rate too. One lost packet
delays some pictures of a round, a standing queue delays all. Where TCP sends less after each loss
(`losses.py`), we do so as soon as one is seen, and keep less under way.

Who gets more of a shared link tolerates a shorter queue, so that shares become equal: the queue is the same
for all, and the one with more gives way first (as with TCP Vegas and Copa, whose rate falls with the queue).

A wait of more than another round trip is a link that stalls or has become slow: nothing more is sent until
what is under way has arrived, and how fast that arrived is the rate from then on.

Times are seconds of one monotonic clock.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum

from agent.capabilities.screen.link_estimate import (
    PORTION_S,
    SMALLEST_BUDGET_BYTES,
    LinkEstimate,
    Sent,
)
from agent.capabilities.screen.losses import LossWatch
from agent.capabilities.screen.pacing import PICTURE_INTERVAL_S
from protocol.limits import PICTURES_IN_FLIGHT_LIMIT

LARGEST_PORTION_S = 0.08
WHOLE_S, PREVIEW_OVER_S = 0.05, 0.2
QUEUE_TARGET_S, QUEUE_TARGET_BYTES_PER_S = 0.03, 1.25e6
SHORTEST_QUEUE_TARGET_S, LONGEST_QUEUE_TARGET_S = 0.02, 0.06
LARGEST_QUEUE_TARGET_S = 0.1
STALL_S = 0.1
FIRST_WINDOW_BYTES = 32 << 10
LARGEST_WINDOW_BYTES = 4 << 20
PICTURES_AHEAD, FIRST_PICTURES_AHEAD = 2, 4
STEP_BYTES = 2 << 10
REST_S = 10.0
PROBE_ROUND_TRIP_AFTER_S = 5.0
PROBE_RATE_ROUNDS = 8
FULL_ROUNDS = 2
IS_MORE = 1.1
PROBE_GAIN = 1.25
WINDOW_GAIN = 1.5
RATE_CUT = 0.75
LONG_QUEUE_CUT = 0.5
LOSS_CUT, LOSS_WINDOW_GAIN, LOSS_STEP_BYTES, LOSS_BUDGET_BYTES = 0.7, 0.6, 1 << 10, 2 << 10
UNLIMITED_QUEUE_ROUNDS = 4


class Decision(Enum):
    """What to do about damage now."""

    EXACT_NOW = "exact_now"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one picture may have, or when to ask for it again: at `again_at_s` (inf: after an ack).

    The first picture that is over `budget_bytes` is cut, and goes on in the next. One that is likely to cost
    no more than `whole_bytes` is sent whole, since what is cut cannot be copied any more when it moves. If
    more than `preview_over_bytes` are to be sent exactly, something lossy goes first. Video gets a share of
    `rate_bytes_per_s`, what the link delivers (inf: not known).
    """

    decision: Decision
    budget_bytes: int
    again_at_s: float
    preview_over_bytes: float = math.inf
    whole_bytes: float = 0.0
    rate_bytes_per_s: float = math.inf


class Phase(Enum):
    """The gain: how the pace relates to what the link is believed to deliver."""

    START = 2.0
    CRUISE = 1.0
    PROBE = PROBE_GAIN
    DRAIN = 0.75
    EMPTY = 0.5
    HOLD = 0.0

    @property
    def window_gain(self) -> float:
        """How the window relates to what the link holds: room for the pictures behind a lost packet."""
        gain: float = self.value
        is_without = self in (Phase.START, Phase.EMPTY, Phase.HOLD)
        return gain if is_without else WINDOW_GAIN * gain


class RateControl:
    """Ask `allow` while there is damage; tell it each picture that was sent and each acknowledgement."""

    def __init__(self) -> None:
        self.link = LinkEstimate()
        self.phase = Phase.START
        self._in_flight: deque[Sent] = deque()
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
        self._held: tuple[float, int] | None = None
        self._losses = LossWatch()
        self._rate_before_loss = 0.0

    @property
    def in_flight_pictures(self) -> int:
        """Sent, not acknowledged."""
        return len(self._in_flight)

    @property
    def window_bytes(self) -> float:
        """What may be under way."""
        held = self.phase.window_gain * self.link.rate_bytes_per_s * self.link.round_trip_s
        if self._losses.makes_slower:
            held *= LOSS_WINDOW_GAIN
        window = held + self._step_bytes
        if self.phase not in (Phase.EMPTY, Phase.HOLD):
            window += self.portion_bytes
        if self.phase is Phase.START:
            window = max(window, FIRST_WINDOW_BYTES)
        return min(window, LARGEST_WINDOW_BYTES)

    @property
    def window_pictures(self) -> int:
        """How many pictures may be under way: two, and those that the way itself holds."""
        if self.phase in (Phase.EMPTY, Phase.HOLD):
            return 1
        held = WINDOW_GAIN * self.link.pictures_per_s * self.link.round_trip_s
        if self.phase is Phase.START:
            return min(FIRST_PICTURES_AHEAD + int(Phase.START.value * held), PICTURES_IN_FLIGHT_LIMIT)
        return min(PICTURES_AHEAD + int(held), PICTURES_IN_FLIGHT_LIMIT)

    @property
    def _step_bytes(self) -> int:
        return LOSS_STEP_BYTES if self._losses.makes_slower else STEP_BYTES

    @property
    def _smallest_budget_bytes(self) -> int:
        return LOSS_BUDGET_BYTES if self._losses.makes_slower else SMALLEST_BUDGET_BYTES

    @property
    def _picture_s(self) -> float:
        return 1 / self.link.pictures_per_s if self.link.pictures_per_s else 0.0

    @property
    def _queue_target_s(self) -> float:
        rate = max(self.link.rate_bytes_per_s, 1.0)
        fair_s = QUEUE_TARGET_S * math.sqrt(QUEUE_TARGET_BYTES_PER_S / rate)
        fair_s = min(max(fair_s, SHORTEST_QUEUE_TARGET_S), LONGEST_QUEUE_TARGET_S)
        # the pictures that may be ahead make a queue of their own at a viewer that is slow to paint
        slow_s = PICTURES_AHEAD * max(0.0, self._picture_s - PICTURE_INTERVAL_S)
        return min(max(fair_s, slow_s), LARGEST_QUEUE_TARGET_S)

    @property
    def portion_bytes(self) -> int:
        """The largest picture: what the link delivers in PORTION_S, or in the time that one picture takes.

        Where pictures are slow to paint, whatever their size, smaller ones would make the link seem slower,
        and so on downwards.
        """
        lasts_s = min(max(PORTION_S, PROBE_GAIN * self._picture_s), LARGEST_PORTION_S)
        known = int(self.link.rate_bytes_per_s * lasts_s)
        least = self._smallest_budget_bytes if self._is_rate_known else FIRST_WINDOW_BYTES
        return min(max(least, known), LARGEST_WINDOW_BYTES)

    def allow(self, now_s: float) -> Allowance:
        """Whether a picture may be made now; there is damage."""
        self._refill(now_s)
        self._notice_stall(now_s)
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
        budget = max(self._smallest_budget_bytes, int(min(self._tokens, portion, max(room, portion / 4))))
        if not self._is_rate_known:
            return Allowance(Decision.EXACT_NOW, budget, now_s)
        rate = self.link.rate_bytes_per_s
        return Allowance(Decision.EXACT_NOW, budget, now_s, PREVIEW_OVER_S * rate, WHOLE_S * rate, rate)

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
            Sent(
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
        queued_s = self.link.queued_s(newest, now_s)
        if (
            self.phase is Phase.START
            and self.link.delivered_bytes - newest.delivered_bytes == newest.size_bytes
        ):
            # nothing was ahead of it: it took long by its size alone, at a rate that is not known yet
            queued_s = 0.0
        if self._in_flight and queued_s > self._stall_s:
            self.phase = Phase.HOLD
        self._notice_loss(newest, queued_s, now_s)
        self._judge_loss(newest, queued_s)
        if self.phase is Phase.HOLD:
            self._hold(now_s)
            return
        self._round_queued_s = min(self._round_queued_s, queued_s)
        if self.phase is Phase.START and queued_s > 2 * self._queue_target_s:
            self.phase = Phase.DRAIN
        if newest.delivered_bytes >= self._round_ends_bytes:
            self._end_round(now_s)

    def forget_in_flight(self) -> None:
        """The viewer starts anew: what was under way will not be acknowledged."""
        self._in_flight.clear()
        self.in_flight_bytes = 0
        self._held = None
        if self.phase is Phase.HOLD:
            self.phase = Phase.CRUISE

    @property
    def _stall_s(self) -> float:
        """A wait longer than a lost packet explains."""
        return self.link.round_trip_s + STALL_S

    def _notice_stall(self, now_s: float) -> None:
        if not self._in_flight or not self.link.round_trip_s:
            return
        oldest = self._in_flight[0]
        queued_s = self.link.queued_s(oldest, now_s)
        if queued_s > self._stall_s:
            self.phase = Phase.HOLD
        self._notice_loss(oldest, queued_s, now_s)

    def _notice_loss(self, late: Sent, queued_s: float, now_s: float) -> None:
        """The rate goes down at once where that has helped before."""
        newest = self._in_flight[-1] if self._in_flight else late
        trip_s = self.link.round_trip_s
        if self.phase is Phase.START or not self._losses.is_new(
            late.picture_no, queued_s, trip_s, newest.picture_no, now_s, self.link.delivered_bytes
        ):
            return
        self._rate_before_loss = self.link.rate_bytes_per_s
        self._cruised_rounds = 0
        if self._losses.makes_slower:
            self.link.set_rate(LOSS_CUT * self._rate_before_loss, self._round_no)

    def _judge_loss(self, newest: Sent, queued_s: float) -> None:
        was_cut = self._losses.makes_slower
        is_slower = self._losses.acknowledged(
            newest.picture_no, queued_s, self.link.rate_bytes_per_s * self.link.round_trip_s
        )
        if is_slower and not was_cut:
            self.link.set_rate(LOSS_CUT * self.link.rate_bytes_per_s, self._round_no)
        elif is_slower is False and was_cut:
            self.link.set_rate(max(self._rate_before_loss, self.link.rate_bytes_per_s), self._round_no)

    def _hold(self, now_s: float) -> None:
        """Nothing leaves before everything under way has arrived; a queue that empties shows the rate."""
        delivered_bytes = self.link.delivered_bytes
        if self._held is None:
            self._held = now_s, delivered_bytes
        if self._in_flight:
            return
        began_s, began_bytes = self._held
        if delivered_bytes > began_bytes:
            shown = (delivered_bytes - began_bytes) / max(now_s - began_s, 1e-4)
            self.link.set_rate(min(shown, self.link.rate_bytes_per_s), self._round_no)
        self._held = None
        self.phase = Phase.CRUISE
        self._queued_rounds = self._cruised_rounds = 0
        self._begin_round()

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
        self._begin_round()

    def _begin_round(self) -> None:
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
            # a round that only the count of pictures held back says nothing of the link
            is_full = self._was_round_limited and not self._is_behind
            self._full_rounds = 0 if has_more else self._full_rounds + is_full
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
        step = self._step_bytes / max(self.link.round_trip_s, PORTION_S)
        return self.phase.value * self.link.rate_bytes_per_s + step

    def _refill(self, now_s: float) -> None:
        passed_s = now_s - self._tokens_at_s
        self._tokens_at_s = now_s
        self._tokens = min(float(self.portion_bytes), self._tokens + passed_s * self._pace())
