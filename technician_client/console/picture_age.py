"""How old the picture is that the technician sees (sans-I/O). Times are seconds of our monotonic clock.

A picture's age at its painting is known by its capture time and the agent's clock. A picture grows old when
something newer exists that is not on the canvas, or when that cannot be known: the agent says that changes
wait (`screen.behind`), a picture waits for the page, or nothing has been heard of the agent.
"""

from collections.abc import Callable

UNPAINTED_USUAL_S = 0.5
LATE_HOLDS_S = 2.0
"""So long after a picture that was late already when it was painted, the next one is taken to be late too."""
LATE_S = 1.0


class PictureAge:
    """One channel's pictures. `clock_offset_ms` is the agent's clock minus ours, None while it is not known.

    Whatever the agent says of its clock, an age is at least 0 and at most the time since the channel was
    opened: nothing that is shown is older.
    """

    def __init__(self, clock_offset_ms: Callable[[], float | None], opened_s: float) -> None:
        self._clock_offset_ms = clock_offset_ms
        self._opened_s = opened_s
        self._behind_since_s: float | None = None
        self._unpainted: dict[int, tuple[float, float | None]] = {}
        self._painted: tuple[float, float] | None = None

    def age_s(self, agent_ms: int, now_s: float) -> float | None:
        """How long ago this moment of the agent's clock was; None while its clock is not known."""
        offset_ms = self._clock_offset_ms()
        if offset_ms is None:
            return None
        return min(max(0.0, now_s - (agent_ms - offset_ms) / 1000), max(0.0, now_s - self._opened_s))

    def behind(self, since_ms: int, now_s: float) -> None:
        """The agent says since when a change waits; 0 for none."""
        age_s = self.age_s(since_ms, now_s) if since_ms else None
        self._behind_since_s = now_s - (age_s or 0.0) if since_ms else None

    def handed_over(self, sequence: int, captured_at_ms: int, now_s: float) -> None:
        """The page has this picture, wholly."""
        age_s = self.age_s(captured_at_ms, now_s)
        self._unpainted[sequence] = (now_s, None if age_s is None else now_s - age_s)

    def painted(self, sequence: int, now_s: float) -> None:
        """It is on the canvas, and with it all before it."""
        done = [one for one in self._unpainted if one <= sequence]
        for one in done:
            _, captured_s = self._unpainted.pop(one)
            if captured_s is not None:
                self._painted = (now_s, captured_s)

    def forget_unpainted(self) -> None:
        """What the page has will not be painted; everything comes anew."""
        self._unpainted.clear()

    def late_s(self, now_s: float, silence_s: float) -> float:
        """How old the picture is if that is more than it should be; 0 if it is as new as can be.

        `silence_s`: for how long nothing was heard although an answer is due.
        """
        late_s = max(silence_s, 0.0)
        if self._behind_since_s is not None:
            late_s = max(late_s, now_s - self._behind_since_s)
        for handed_s, captured_s in self._unpainted.values():
            if now_s - handed_s > UNPAINTED_USUAL_S:
                late_s = max(late_s, now_s - (handed_s if captured_s is None else captured_s))
        if self._painted is not None:
            at_s, captured_s = self._painted
            if at_s - captured_s > LATE_S and now_s - at_s < LATE_HOLDS_S:
                late_s = max(late_s, now_s - captured_s)
        return late_s if late_s > LATE_S else 0.0
