"""Whether the link becomes slower with each packet that it loses (sans-I/O).

Below us is TCP, which repeats what was lost and does not say so: we see that pictures are late. Reno and
CUBIC (RFC 5681, RFC 9438) also send less from then on, so that what was sent on at the old rate stands in a
queue; BBR does not. The two are told apart by the shortest wait among the pictures behind the loss.
"""

from __future__ import annotations

import math
from collections import deque

LATE_S, LATE_SHARE = 0.05, 0.3
"""A picture that waited so much longer than the one before, or this share of a round trip, shows a loss."""
LONGER_S = 0.03
"""A queue so much longer than the one before the loss stands because the link has become slower."""
SLOWER_COUNTS = 2
SURE_AFTER, SURE_AT_MOST = 4, 8
FORGET_S = 15.0
LOSSES_KEPT = 5
SEGMENT_BYTES = 1448
RENO_SEGMENTS, MORE_THAN_RENO = 1.22, 2.0
"""Reno keeps 1.22 segments under way for the root of those from one loss to the next (Mathis et al. 1997)."""


class LossWatch:
    """Tell it how long pictures waited. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._judged_no = 0
        self._is_judging = False
        self._least_s = math.inf
        self._before_s = self._queue_s = 0.0
        self._lost_at_s = -math.inf
        self._slower = 0
        self._is_sure = False
        self._lost_at_bytes: deque[int] = deque(maxlen=LOSSES_KEPT)

    @property
    def makes_slower(self) -> bool:
        """Whether the losses of late were followed by a slower link."""
        return self._is_sure

    def is_new(
        self,
        picture_no: int,
        queued_s: float,
        round_trip_s: float,
        newest_no: int,
        now_s: float,
        delivered_bytes: int,
    ) -> bool:
        """Whether this picture shows a loss that was not known; `newest_no` is the last one that was sent.

        A lost packet makes the next picture late at once; a queue that grows makes each a little later.
        """
        if now_s - self._lost_at_s > FORGET_S:
            self._slower = 0
            self._is_sure = False
            self._lost_at_bytes.clear()
        is_late = queued_s - self._before_s > max(LATE_S, LATE_SHARE * round_trip_s)
        if not is_late or picture_no <= self._judged_no:
            return False
        self._judged_no, self._is_judging, self._least_s = newest_no, True, math.inf
        self._lost_at_s, self._queue_s = now_s, self._before_s
        self._lost_at_bytes.append(delivered_bytes)
        return True

    def acknowledged(self, picture_no: int, queued_s: float, held_bytes: float) -> bool | None:
        """Whether the link has become slower by the loss; None while that is not known."""
        self._before_s = queued_s
        if not self._is_judging:
            return None
        self._least_s = min(self._least_s, queued_s)
        has_queue = self._least_s > self._queue_s + LONGER_S and not self._is_more_than_reno(held_bytes)
        if has_queue and picture_no < self._judged_no:
            return None
        self._is_judging = False
        self._slower = (
            min(self._slower + SLOWER_COUNTS, SURE_AT_MOST) if has_queue else max(0, self._slower - 1)
        )
        self._is_sure = self._slower >= (1 if self._is_sure else SURE_AFTER)
        return has_queue

    def _is_more_than_reno(self, held_bytes: float) -> bool:
        """Whether more is under way than a link could hold that had become slower by all these losses."""
        if len(self._lost_at_bytes) < 2:
            return False
        apart_bytes = (self._lost_at_bytes[-1] - self._lost_at_bytes[0]) / (len(self._lost_at_bytes) - 1)
        apart, held = apart_bytes / SEGMENT_BYTES, held_bytes / SEGMENT_BYTES
        return held > MORE_THAN_RENO * RENO_SEGMENTS * math.sqrt(apart)
