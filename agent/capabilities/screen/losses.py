"""Whether the link becomes slower with each packet that it loses (sans-I/O).

Below us is TCP, which repeats what was lost and does not say so: we see that pictures are late. Reno and
CUBIC (RFC 5681, RFC 9438) also send less from then on, so that what was sent on at the old rate stands in a
queue; BBR does not. The two are told apart by the shortest wait among the pictures behind the loss.
"""

from __future__ import annotations

import math

LATE_S, LATE_SHARE = 0.05, 0.3
"""A picture that waited so much longer than the one before, or this share of a round trip, shows a loss."""
LONGER_S = 0.03
"""A queue so much longer than the one before the loss stands because the link has become slower."""
SURE_AFTER, SURE_AT_MOST = 2, 4
FORGET_S = 5.0


class LossWatch:
    """Tell it how long pictures waited. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._judged_no = 0
        self._is_judging = False
        self._least_s = math.inf
        self._before_s = self._queue_s = 0.0
        self._lost_at_s = -math.inf
        self._slower = 0

    @property
    def makes_slower(self) -> bool:
        """Whether the losses of late were followed by a slower link."""
        return self._slower >= SURE_AFTER

    def is_new(
        self, picture_no: int, queued_s: float, round_trip_s: float, newest_no: int, now_s: float
    ) -> bool:
        """Whether this picture shows a loss that was not known; `newest_no` is the last one that was sent.

        A lost packet makes the next picture late at once; a queue that grows makes each a little later.
        """
        if now_s - self._lost_at_s > FORGET_S:
            self._slower = 0
        is_late = queued_s - self._before_s > max(LATE_S, LATE_SHARE * round_trip_s)
        if not is_late or picture_no <= self._judged_no:
            return False
        self._judged_no, self._is_judging, self._least_s = newest_no, True, math.inf
        self._lost_at_s, self._queue_s = now_s, self._before_s
        return True

    def acknowledged(self, picture_no: int, queued_s: float) -> bool | None:
        """Whether the link has become slower by the loss; None while that is not known."""
        self._before_s = queued_s
        if not self._is_judging:
            return None
        self._least_s = min(self._least_s, queued_s)
        has_queue = self._least_s > self._queue_s + LONGER_S
        if has_queue and picture_no < self._judged_no:
            return None
        self._is_judging = False
        self._slower = min(self._slower + 1, SURE_AT_MOST) if has_queue else max(0, self._slower - 1)
        return has_queue
