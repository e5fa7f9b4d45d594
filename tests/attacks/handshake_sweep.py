"""Every cut and every turned bit of the tunnel's handshake: `python -m tests.attacks.handshake_sweep --json`.

A handshake is three flights: the technician's hello, all that the device says, and all that the technician
says after it. The adversary is a relay that changes one flight; it wins when both ends are done and do not
have the same exporter and the real chains of each other, or when one takes a word of the other's that was
not said. With no success in n trials the chance of one is below 3/n (95 %).
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from protocol.errors import SupportError, WrongState
from protocol.identity import Identity
from protocol.tunnel import HandshakeDone, Plaintext, Tunnel, TunnelEnd
from tests.support.organisation import acme

FLIGHTS = (0, 1, 2)
FLIGHT_NAMES = ("the technician's hello", "the device's flight", "the technician's end")
TAIL_BYTES = 16
FROM_DEVICE, FROM_TECHNICIAN = b"ready", b"go"


class Verdict(StrEnum):
    """What came of one trial."""

    NOT_DONE = "at least one end was not done"
    SAME = "both done, same keys and chains: what was changed means nothing"
    DIFFERENT = "both done, and they do not agree"
    LIED_TO = "an end took words that the other one did not say"


@dataclass(frozen=True)
class Trial:
    """`byte` is where the bit was, in the flight."""

    verdict: Verdict
    byte: int


@cache
def identities() -> tuple[Identity, Identity]:
    """The device and the technician of every trial."""
    return acme().device(), acme().technician()


class Pair:
    """Both ends, and what each has heard."""

    def __init__(self) -> None:
        device, technician = identities()
        self.ends = (Tunnel(TunnelEnd.TECHNICIAN, technician), Tunnel(TunnelEnd.DEVICE, device))
        self.done: dict[Tunnel, HandshakeDone] = {}
        self.heard: dict[Tunnel, bytes] = dict.fromkeys(self.ends, b"")
        self.failed: set[Tunnel] = set()
        for end in self.ends:
            end.start()

    def flight(self, number: int) -> bytes:
        """All that waits at the end whose turn it is."""
        return b"".join(self.ends[number % 2].outgoing())

    def deliver(self, number: int, flight: bytes) -> None:
        """Hand a flight to the other end."""
        end = self.ends[1 - number % 2]
        if end in self.failed:
            return
        try:
            for event in end.feed(flight):
                if isinstance(event, HandshakeDone):
                    self.done[end] = event
                elif isinstance(event, Plaintext):
                    self.heard[end] += event.content
        except (SupportError, WrongState):
            self.failed.add(end)

    def say(self) -> None:
        """Each end that is done says its word, and hears the other's."""
        technician, device = self.ends
        for end, word in ((device, FROM_DEVICE), (technician, FROM_TECHNICIAN)):
            if end in self.done and end not in self.failed:
                end.send(word)
        for number in (1, 2):
            self.deliver(number, self.flight(number))

    def verdict(self) -> Verdict:
        """Who won."""
        technician, device = self.ends
        if self.heard[technician] not in (b"", FROM_DEVICE) or self.heard[device] not in (
            b"",
            FROM_TECHNICIAN,
        ):
            return Verdict.LIED_TO
        if self.failed or len(self.done) < 2:
            return Verdict.NOT_DONE
        own_device, own_technician = identities()
        is_same = (
            self.done[technician].exporter == self.done[device].exporter
            and self.done[technician].peer_chain == own_device.chain
            and self.done[device].peer_chain == own_technician.chain
        )
        return Verdict.SAME if is_same else Verdict.DIFFERENT


def _run(number: int, change: Callable[[bytes], bytes]) -> Pair:
    pair = Pair()
    for each in FLIGHTS:
        flight = pair.flight(each)
        pair.deliver(each, change(flight) if each == number else flight)
    pair.deliver(1, pair.flight(1))
    pair.say()
    return pair


def flip_trial(number: int, bit: int) -> Trial:
    """One handshake in which this bit of this flight is turned; past its end it starts again."""
    where = 0

    def turned(flight: bytes) -> bytes:
        nonlocal where
        where = bit // 8 % len(flight)
        changed = bytearray(flight)
        changed[where] ^= 1 << bit % 8
        return bytes(changed)

    pair = _run(number, turned)
    return Trial(pair.verdict(), where)


def truncation_trial(number: int, left_bytes: int) -> Verdict:
    """One handshake in which only the first bytes of this flight arrive, and then nothing of that end."""
    pair = Pair()
    for each in FLIGHTS[: number + 1]:
        flight = pair.flight(each)
        if each == number and left_bytes < len(flight):  # negative: all but so many
            pair.deliver(each, flight[:left_bytes])
            receiver = pair.ends[1 - number % 2]
            return Verdict.NOT_DONE if receiver not in pair.done else pair.verdict()
        pair.deliver(each, flight)
    return (
        Verdict.SAME if _run(number, lambda flight: flight).verdict() is Verdict.SAME else Verdict.DIFFERENT
    )


@cache
def flight_bytes(number: int) -> bytes:
    """A flight of this number; another handshake's differs by a few bytes in its length."""
    pair = Pair()
    for each in FLIGHTS:
        flight = pair.flight(each)
        if each == number:
            return flight
        pair.deliver(each, flight)
    raise AssertionError(number)


def sweep(share: int = 1) -> dict[str, object]:
    """All of it, or every `share`-th; counts by flight, and the harmless bytes."""
    started_s = time.monotonic()
    flips: dict[str, dict[str, int]] = {}
    cuts: dict[str, dict[str, int]] = {}
    harmless: dict[str, list[int]] = {}
    for number, name in enumerate(FLIGHT_NAMES):
        size = len(flight_bytes(number))
        trials = [flip_trial(number, bit) for bit in range(0, 8 * size, share)]
        flips[name] = Counter(str(trial.verdict) for trial in trials)
        harmless[name] = sorted({trial.byte for trial in trials if trial.verdict is Verdict.SAME})
        # signatures differ in length, so the last bytes are counted from the end
        places = [*range(0, size - TAIL_BYTES, share), *range(-TAIL_BYTES, 0)]
        cuts[name] = Counter(str(truncation_trial(number, at)) for at in places)
    won = (Verdict.DIFFERENT, Verdict.LIED_TO)
    trials_total = sum(sum(count.values()) for count in (*flips.values(), *cuts.values()))
    return {
        "adversary": "a relay that turns one bit of a flight, or cuts it",
        "flips": flips,
        "cuts": cuts,
        "bytes_in_which_a_bit_means_nothing": harmless,
        "trials": trials_total,
        "successes": sum(count[word] for count in (*flips.values(), *cuts.values()) for word in won),
        "upper_bound_95": 3 / trials_total,
        "took_s": round(time.monotonic() - started_s, 1),
    }


def main() -> int:
    """Run the sweep; 1 if the adversary ever won."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--share", type=int, default=1, help="only every SHARE-th bit and byte")
    given = parser.parse_args()
    found = sweep(given.share)
    print(json.dumps(found, indent=None if given.json else 2))
    return 1 if found["successes"] else 0


if __name__ == "__main__":
    sys.exit(main())
