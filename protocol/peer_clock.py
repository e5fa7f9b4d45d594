"""The peer's monotonic clock by the session's heartbeats (sans-I/O). Times are milliseconds.

Source: RFC 5905 section 8 (offset and round-trip delay of an exchange, its error at most half the delay) and
section 10 (the filter that trusts the exchange with the least delay, and it less and less as it ages).
"""

from collections import deque
from dataclasses import dataclass

CLOCK_SAMPLES = 8
DRIFT = 200e-6
"""How far two clocks may run apart: 100 ppm each, which a computer's quartz keeps."""
ROUNDING_MS = 1.0
"""Clock readings travel as whole milliseconds, cut."""
WAITING_LIMIT = 16


@dataclass(frozen=True, slots=True)
class _Sample:
    sent_at_ms: float
    round_trip_ms: float
    offset_ms: float

    def error_ms(self, now_ms: float) -> float:
        return self.round_trip_ms / 2 + ROUNDING_MS + DRIFT * max(0.0, now_ms - self.sent_at_ms)


class PeerClock:
    """Tell it every heartbeat that is sent, and every answer.

    The sending times are our own record: the peer says by its answers what its clock shows, and nothing else.
    A peer that lies about that is wrong about its own clock, which is all that the offset is good for.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, float] = {}
        self._samples: deque[_Sample] = deque(maxlen=CLOCK_SAMPLES)
        self._best: _Sample | None = None

    def asked(self, beat_no: int, now_ms: float) -> None:
        """A heartbeat with this number is being sent."""
        self._waiting[beat_no] = now_ms
        if len(self._waiting) > WAITING_LIMIT:
            del self._waiting[next(iter(self._waiting))]

    def answered(self, beat_no: int, answered_at_ms: float, now_ms: float) -> None:
        """The answer to that heartbeat came; one that nobody waits for is ignored."""
        sent_at_ms = self._waiting.get(beat_no)
        if sent_at_ms is None or now_ms < sent_at_ms:
            return
        # answers come in order
        self._waiting = {number: at_ms for number, at_ms in self._waiting.items() if number > beat_no}
        middle_ms = (sent_at_ms + now_ms) / 2
        self._samples.append(_Sample(sent_at_ms, now_ms - sent_at_ms, answered_at_ms - middle_ms))
        self._best = min(self._samples, key=lambda sample: sample.error_ms(now_ms))

    @property
    def round_trip_ms(self) -> float | None:
        """The newest round trip; None before the first answer."""
        return self._samples[-1].round_trip_ms if self._samples else None

    @property
    def offset_ms(self) -> float | None:
        """The peer's clock minus ours; None before the first answer."""
        return self._best.offset_ms if self._best else None

    def error_ms(self, now_ms: float) -> float | None:
        """How wrong the offset of an honest peer is at most; None before the first answer."""
        return self._best.error_ms(now_ms) if self._best else None

    def oldest_ms(self, sent_at_ms: float, now_ms: float) -> float | None:
        """How old at most something is that an honest peer stamped with its clock; None: nobody can tell.

        The error counts in full, so that what is held back in one direction alone does not look young.
        """
        offset_ms, error_ms = self.offset_ms, self.error_ms(now_ms)
        if offset_ms is None or error_ms is None:
            return None
        return now_ms - (sent_at_ms - offset_ms) + error_ms

    def waiting_ms(self, now_ms: float) -> float:
        """For how long the oldest heartbeat without an answer has been waiting; 0 if there is none."""
        return max(0.0, now_ms - min(self._waiting.values())) if self._waiting else 0.0
