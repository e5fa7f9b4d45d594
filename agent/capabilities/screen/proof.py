"""When which rows are proved to the viewer, and what follows when a proof fails (sans-I/O).

A band is a row of tiles. Every band that changed is proved once after its last change, so a still screen
is proved wholly within about two seconds, and then nothing is sent. Times are seconds of one monotonic
clock.
"""

from __future__ import annotations

import hashlib

import numpy as np

from agent.capabilities.screen import tiles
from protocol.limits import TILE_PIXELS
from protocol.messages.screen import BandProof

CALM_S = 0.3
"""So long after a picture bands are proved one after the other."""
WHOLE_SCREEN_S = 1.6
ACTIVE_INTERVAL_S = 1.0
HEAL_INTERVAL_S = 1.0
HEAL_INTERVAL_LIMIT_S = 32.0


class ProofRound:
    """Which band is to be proved next, and when."""

    def __init__(self, band_count: int) -> None:
        self._is_changed = np.zeros(band_count, np.bool_)
        self._is_barred = np.zeros(band_count, np.bool_)
        self._next = 0
        self._unproved_since_s = 0.0
        self._picture_at_s = 0.0
        self._proof_at_s = 0.0
        self._interval_s = WHOLE_SCREEN_S / band_count

    def changed(self, bands: tiles.Mask, now_s: float) -> None:
        """A picture with changes in these bands was made."""
        if not self._is_due.any():
            self._unproved_since_s = now_s
        self._is_changed |= bands
        self._picture_at_s = now_s

    def bar(self, bands: tiles.Mask) -> None:
        """These bands, and no others, are not proved for now: video is above them."""
        self._is_barred = bands

    @property
    def _is_due(self) -> tiles.Mask:
        is_due: tiles.Mask = self._is_changed & ~self._is_barred
        return is_due

    @property
    def due_s(self) -> float | None:
        """When `take` has something; None while everything is proved."""
        if not self._is_due.any():
            return None
        calm_s = max(self._picture_at_s + CALM_S, self._proof_at_s + self._interval_s)
        return min(calm_s, max(self._unproved_since_s, self._proof_at_s) + ACTIVE_INTERVAL_S)

    def take(self, now_s: float) -> int | None:
        """The band to prove now, in turn; from then on it counts as proved."""
        due_s = self.due_s
        if due_s is None or now_s < due_s:
            return None
        due = np.flatnonzero(self._is_due)
        band = int(due[due >= self._next][0]) if due[-1] >= self._next else int(due[0])
        self._is_changed[band] = False
        self._next = band + 1
        self._proof_at_s = now_s
        return band


def prove(words: tiles.Words, band: int, picture_no: int) -> BandProof:
    """The proof that the viewer has these pixels (of the whole display) in this band."""
    y = band * TILE_PIXELS
    rows = words[y : y + TILE_PIXELS]
    raw = np.empty(rows.size * 3 + 1, np.uint8)
    size = tiles.write_bgr(rows, raw)
    return BandProof(picture_no, y, len(rows), hashlib.sha256(raw.data[:size]).digest())


class HealPace:
    """A failed proof is healed by sending everything anew: at once, but ever less often if it is in vain."""

    def __init__(self) -> None:
        self.failures = 0
        self._is_wanted = False
        self._interval_s = HEAL_INTERVAL_S
        self._healed_at_s = float("-inf")

    def failed(self) -> None:
        """The viewer says that a band was not equal."""
        self.failures += 1
        self._is_wanted = True

    def settle(self) -> None:
        """Everything is sent anew for another reason."""
        self._is_wanted = False

    @property
    def due_s(self) -> float | None:
        """When to send everything anew; None while all is well."""
        return self._healed_at_s + self._interval_s if self._is_wanted else None

    def is_due(self, now_s: float) -> bool:
        """Whether to send everything anew now; if so, that counts as done."""
        due_s = self.due_s
        if due_s is None or now_s < due_s:
            return False
        is_again = now_s - self._healed_at_s < 2 * HEAL_INTERVAL_LIMIT_S
        self._interval_s = min(self._interval_s * 2, HEAL_INTERVAL_LIMIT_S) if is_again else HEAL_INTERVAL_S
        self._healed_at_s = now_s
        self._is_wanted = False
        return True
