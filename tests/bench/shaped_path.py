"""One direction of a shaped TCP link, as arithmetic: when is the byte that arrives now at the far end.

A TCP proxy cannot lose anything; what loss does to a TCP stream is modelled instead: everything behind a lost
segment waits for its repetition (one round trip), and the sender's window is halved and grows by one segment
a round trip (Reno: RFC 5681), so that the rate is at most window / round trip.
"""

import random

from tests.bench.link_terms import LinkTerms

SEGMENT_BYTES = 1448
FIRST_WINDOW_SEGMENTS = 10  # RFC 6928
WINDOW_AT_LEAST_SEGMENTS = 2.0


class ShapedPath:
    """Feed it pieces in order with the time; it says when each arrives."""

    def __init__(self, terms: LinkTerms, *, seed: int = 1) -> None:
        self._terms = terms
        self._dice = random.Random(seed)
        self._window_segments = float(FIRST_WINDOW_SEGMENTS)
        self._free_at_s = 0.0  # when the narrowest place has sent everything before
        self._stalled_until_s = 0.0

    def queued_bytes(self, now_s: float) -> int:
        """What waits at the narrowest place."""
        return max(0, round((self._free_at_s - now_s) * self._bytes_per_s()))

    def wait_s(self, size_bytes: int, now_s: float) -> float:
        """How long until its buffer takes so much more; the sender is held back until then."""
        over_bytes = self.queued_bytes(now_s) + size_bytes - self._terms.buffer_bytes
        return max(0.0, over_bytes / self._bytes_per_s())

    def arrival_s(self, size_bytes: int, now_s: float) -> float:
        """When the last byte of this piece is at the far end; never before the piece ahead of it."""
        self._lose_some(size_bytes, now_s)
        self._free_at_s = max(self._free_at_s, now_s) + size_bytes / self._bytes_per_s()
        return max(self._free_at_s + self._terms.one_way_s, self._stalled_until_s)

    def _bytes_per_s(self) -> float:
        bandwidth = self._terms.bits_per_s / 8
        if not self._terms.loss:
            return bandwidth
        return min(bandwidth, self._window_segments * SEGMENT_BYTES / self._terms.round_trip_s)

    def _lose_some(self, size_bytes: int, now_s: float) -> None:
        if not self._terms.loss:
            return
        segments = max(1, -(-size_bytes // SEGMENT_BYTES))
        for _ in range(segments):
            if self._dice.random() < self._terms.loss:
                self._window_segments = max(WINDOW_AT_LEAST_SEGMENTS, self._window_segments / 2)
                sent_s = max(self._free_at_s, now_s)
                self._stalled_until_s = sent_s + self._terms.one_way_s + self._terms.round_trip_s
        self._window_segments += segments / self._window_segments
