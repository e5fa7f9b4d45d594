"""How long an agent takes to answer a right and a wrong support code, as the relay sees it (COD-13).

    python -m tests.bench.codes --runs 5000 --at-once 4 --json

Real tunnels and real SPAKE2 in this process, over wires in memory: what is measured is from a question to its
answer, as the technician's end gets it. `auc` is the chance that a right answer took longer than a wrong one:
0.5 tells nothing apart, and `auc_z` counts standard deviations from it (Mann-Whitney U test).
"""

import argparse
import asyncio
import json
import random
import sys
import time
from bisect import bisect_left, bisect_right
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from agent.pairing import PairingTerms, pair_as_device
from protocol.aio.channel_io import ChannelIO
from protocol.aio.tunnel_io import TunnelIO
from protocol.certificates import Role
from protocol.errors import ErrorCode, Refused
from protocol.identity import visitor_identity
from protocol.limits import CODE_REPLY_S
from protocol.messages.pairing import PAIRING_CODEC, PairingConfirmation, PairingElement
from protocol.pairing import Binding, TechnicianPairing
from protocol.tunnel import Tunnel, TunnelEnd
from tests.support.wires import wire_pair

SECRET, OTHER = "1234567890", "1234567891"
NAMEPLATE = "0417"
ORDER_SEED = 13


@dataclass(frozen=True)
class Took:
    """Milliseconds from a question to its answer."""

    element_ms: float
    confirmation_ms: float


class OneGuess:
    """What `CodeDesk` hands out, without a desk."""

    secret = SECRET

    def failed(self, code: ErrorCode) -> None:
        """Nothing is kept."""


async def one_pairing(secret: str) -> Took:
    """One technician who says this secret."""
    device, technician = (
        visitor_identity(role, now=datetime.now(UTC)) for role in (Role.DEVICE, Role.TECHNICIAN)
    )
    near, far = wire_pair()
    tunnels = (
        TunnelIO(near, Tunnel(TunnelEnd.DEVICE, device)),
        TunnelIO(far, Tunnel(TunnelEnd.TECHNICIAN, technician)),
    )
    done, _ = await asyncio.gather(*(tunnel.handshake() for tunnel in tunnels))
    ends = [ChannelIO(tunnel) for tunnel in tunnels]
    pumps = [asyncio.create_task(end.run()) for end in ends]
    binding = Binding(NAMEPLATE, technician.chain[0], device.chain[0], done.exporter)
    answering = asyncio.create_task(_answer(ends[0], binding))
    try:
        return await _ask(ends[1], TechnicianPairing(secret, binding))
    finally:
        await asyncio.gather(answering, return_exceptions=True)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _answer(end: ChannelIO, binding: Binding) -> None:
    with suppress(Refused):  # the wrong one
        await pair_as_device(end.control, PairingTerms(binding, OneGuess))


async def _ask(end: ChannelIO, pairing: TechnicianPairing) -> Took:
    element = PAIRING_CODEC.encode(PairingElement(pairing.element()))
    element_ms, answer = await _round(end, element)
    assert isinstance(answer, PairingElement)
    confirmation = PAIRING_CODEC.encode(PairingConfirmation(pairing.confirm(answer.element)))
    confirmation_ms, _ = await _round(end, confirmation)
    return Took(element_ms, confirmation_ms)


async def _round(end: ChannelIO, message: bytes) -> tuple[float, object]:
    await end.control.send(message)
    asked_s = time.perf_counter()
    answer = PAIRING_CODEC.decode(await end.control.receive())
    return (time.perf_counter() - asked_s) * 1000, answer


def told_apart(right: list[float], wrong: list[float]) -> dict[str, float]:
    """Medians, extremes, and whether one side is slower."""
    ordered = sorted(wrong)
    below = sum((bisect_left(ordered, one) + bisect_right(ordered, one)) / 2 for one in right)
    auc = below / (len(right) * len(wrong))
    deviation = ((len(right) + len(wrong) + 1) / (12 * len(right) * len(wrong))) ** 0.5
    return {
        "right_median_ms": round(median(right), 3),
        "wrong_median_ms": round(median(wrong), 3),
        "right_min_ms": round(min(right), 3),
        "wrong_min_ms": round(min(wrong), 3),
        "right_max_ms": round(max(right), 3),
        "wrong_max_ms": round(max(wrong), 3),
        "auc": round(auc, 4),
        "auc_z": round((auc - 0.5) / deviation, 2),
    }


async def measured(runs: int, at_once: int) -> dict[str, object]:
    """So many of each, in pairs, so that whatever else the machine does meets both.

    Which of a pair is first is by chance: in turn, each of an even number at once would have one kind alone.
    """
    found: dict[str, list[Took]] = {SECRET: [], OTHER: []}
    chance = random.Random(ORDER_SEED)
    turns = iter([secret for _ in range(runs) for secret in chance.sample([SECRET, OTHER], 2)])

    async def one_after_another(first_s: float) -> None:
        await asyncio.sleep(first_s)
        for secret in turns:
            found[secret].append(await one_pairing(secret))

    began_s = time.monotonic()
    await asyncio.gather(*(one_after_another(number * CODE_REPLY_S / at_once) for number in range(at_once)))
    right, wrong = found[SECRET], found[OTHER]
    return {
        "adversary": "a relay or technician that times the answers to right and wrong codes",
        "runs_each": runs,
        "at_once": at_once,
        "element": told_apart([one.element_ms for one in right], [one.element_ms for one in wrong]),
        "confirmation": told_apart(
            [one.confirmation_ms for one in right], [one.confirmation_ms for one in wrong]
        ),
        "took_s": round(time.monotonic() - began_s, 1),
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200, help="of each kind; one takes about half a second")
    parser.add_argument(
        "--at-once", type=int, default=4, help="pairings side by side, begun one after another"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON on standard output")
    given = parser.parse_args()
    found = asyncio.run(measured(given.runs, given.at_once))
    print(json.dumps(found) if given.json else json.dumps(found, indent=2))


if __name__ == "__main__":
    sys.exit(main())
