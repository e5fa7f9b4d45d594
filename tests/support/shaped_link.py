"""A narrow and long way between a real screen worker and its viewer, in real time."""

import select
import time
from collections import deque

import numpy as np

from protocol.messages.screen import FROM_AGENT_CODEC, FROM_TECHNICIAN_CODEC, PicturePart, PictureSeen
from tests.support.simulated_link import LinkProfile
from tests.support.viewer import Viewer
from tests.support.worker_host import WorkerHost

SAMPLE_INTERVAL_S = 0.005


class ShapedLink:
    """Reads from the worker only while the link's queue has room; acknowledges what the viewer has painted.

    `shown` holds when each picture was painted and when it was captured, of this machine's monotonic clock.
    """

    def __init__(self, host: WorkerHost, profile: LinkProfile) -> None:
        self._host, self._profile = host, profile
        self._busy_until_s = time.monotonic()
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._answers: deque[tuple[float, int]] = deque()
        self.viewer = Viewer()
        self.shown: list[tuple[float, float]] = []
        self.carried_bytes = 0

    def run(self, for_s: float) -> None:
        """Carry what comes for so long."""
        end_s = time.monotonic() + for_s
        while (now_s := time.monotonic()) < end_s:
            self._arrive(now_s)
            queued_bytes = max(0.0, self._busy_until_s - now_s) * self._profile.bytes_per_s
            reading = [self._host.link] if queued_bytes < self._profile.buffer_bytes else []
            first = [one[0] for waiting in (self._under_way, self._answers) for one in list(waiting)[:1]]
            due_s = [end_s, now_s + 0.02, *first]
            if select.select(reading, [], [], max(0.0, min(due_s) - now_s))[0]:
                for frame in self._host.link.receive():
                    self._carry(frame)

    def ages_s(self, from_s: float, until_s: float) -> list[float]:
        """How old the newest picture that was painted is, at even intervals."""
        painted, captured = np.array(self.shown).T
        at = np.arange(from_s, until_s, SAMPLE_INTERVAL_S)
        newest = np.searchsorted(painted, at, side="right") - 1
        return [float(age) for age in (at - captured[newest])[newest >= 0]]

    def _carry(self, frame: bytes) -> None:
        self.carried_bytes += len(frame)
        self._busy_until_s = (
            max(self._busy_until_s, time.monotonic()) + len(frame) / self._profile.bytes_per_s
        )
        self._under_way.append((self._busy_until_s + self._profile.round_trip_s / 2, frame))

    def _arrive(self, now_s: float) -> None:
        while self._under_way and self._under_way[0][0] <= now_s:
            _, frame = self._under_way.popleft()
            if self._host.hello is None:
                self._host.take_hello(frame)
                continue
            message = FROM_AGENT_CODEC.decode(frame)
            seen = self.viewer.show(message)
            if seen and isinstance(message, PicturePart):
                self.shown.append((time.monotonic(), message.captured_at_ms / 1000))
                self._answers.append((time.monotonic() + self._profile.round_trip_s / 2, seen))
        while self._answers and self._answers[0][0] <= now_s:
            self._host.link.send(FROM_TECHNICIAN_CODEC.encode(PictureSeen(self._answers.popleft()[1])))
